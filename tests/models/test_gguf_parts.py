"""Split GGUF files: all parts are one model, and a missing or foreign part is one line."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest
from gguf_families import make_model, write_family

from fastkv_cli.engine.model.gguf_plan import check_plan, plan_tensors
from fastkv_cli.errors import ModelError
from fastkv_cli.models import resolve_model
from fastkv_cli.models.files import REVISION_DIGITS
from fastkv_cli.models.gguf_parts import part_files, read_model


@pytest.fixture(scope="module")
def split(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A tiny Llama in three parts."""
    folder = tmp_path_factory.mktemp("split")
    model = make_model("llama")
    write_family(folder / "a.gguf", "llama", model, tiny_models["llama"], tensors_per_part=20)
    write_family(folder / "whole.gguf", "llama", model, tiny_models["llama"])
    return sorted(folder.glob("a-*.gguf"))


def refuse(path: Path) -> str:
    with pytest.raises(ModelError) as raised:
        resolve_model(str(path), offline=True)
    assert raised.value.hint
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_parts_are_found_from_any_of_them(split: list[Path]) -> None:
    assert [path.name for path in split] == [f"a-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert all(part_files(path) == split for path in split)
    odd = [Path(name) for name in ("a.gguf", "a-00004-of-00003.gguf", "a-00000-of-00000.gguf")]
    assert all(part_files(path) == [path] for path in odd)
    parts, whole = read_model(split[1], "a"), read_model(split[0].with_name("whole.gguf"), "a")
    assert parts.shapes == whole.shapes
    assert parts.facts.items() >= whole.facts.items()
    for name, tensor in parts.tensors.items():
        other = whole.tensors[name]
        values = tensor.file.read_bytes()[tensor.start :][: tensor.num_bytes]
        assert values == other.file.read_bytes()[other.start :][: other.num_bytes], name


def test_a_split_model_has_one_name_and_one_hash(split: list[Path], tmp_path: Path) -> None:
    links = [tmp_path / path.name for path in split]  # as the hub's cache holds them
    for number, (link, path) in enumerate(zip(links, split, strict=True)):
        blob = tmp_path / f"blob{number}"
        shutil.copy(path, blob)
        link.symlink_to(blob)
    sha256s = "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in split)
    revision = hashlib.sha256(sha256s.encode()).hexdigest()[:REVISION_DIGITS]
    for path in (*split, *links, split[1]):
        files = resolve_model(str(path), offline=True)
        assert files.revision == revision
        assert files.gguf is not None
        assert files.gguf.name == "a-00001-of-00003.gguf"


def test_parts_that_do_not_make_one_model(split: list[Path], tmp_path: Path) -> None:
    def copied(folder: str, *names: str) -> list[Path]:
        (tmp_path / folder).mkdir()
        made = [tmp_path / folder / name for name in names]
        for number, path in enumerate(made):
            shutil.copy(split[number % 3], path)
        return made

    names = [path.name for path in split]
    missing = copied("missing", *names)
    missing[1].unlink()
    assert re.search(f"of its 3 parts, {names[1]} is missing: fetch all", refuse(missing[0]))
    swapped = copied("swapped", names[0], names[2], names[1])
    assert re.search(rf"{names[1]} says that it is part 2 \(from 0\) of 3", refuse(swapped[0]))
    renamed = copied("renamed", "model.gguf")
    assert re.search("model.gguf is one of 3 parts, and its name", refuse(renamed[0]))
    twice = copied("twice", *names)
    whole = split[0].with_name("whole.gguf").read_bytes()
    twice[2].write_bytes(whole)
    assert re.search(r"says that it is part 0 \(from 0\) of 1", refuse(twice[0]))
    cut = copied("cut", *names)
    cut[2].write_bytes(cut[2].read_bytes()[:-40_000])
    assert re.search("part|cut off", refuse(cut[0]))


def test_a_plan_is_complete_and_fits(split: list[Path]) -> None:
    model = make_model("llama")
    config = model.config.to_dict()
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    plan = plan_tensors(read_model(split[0], "a"), config)
    check_plan(plan, shapes, "a")
    queries = next(tensor for tensor in plan if tensor.name == "blk.0.attn_q.weight")
    assert (queries.info.file, queries.info.kind, queries.shape) == (split[0], "F32", (64, 64))
    for changed, words in (
        (plan[1:], "a is incomplete: it lacks the values of "),
        ([*plan, plan[0]], "a holds .* twice"),
    ):
        with pytest.raises(ModelError, match=words):
            check_plan(changed, shapes, "a")
    wider = shapes | {"model.layers.0.mlp.up_proj.weight": (100, 64)}
    with pytest.raises(ModelError, match=r"blk.0.ffn_up.weight is of shape 128×64, not 100×64"):
        check_plan(plan, wider, "a")
    fewer = {name: shape for name, shape in shapes.items() if not name.endswith("q_proj.bias")}
    with pytest.raises(ModelError, match=r"blk.0.attn_q.bias, and its settings make no"):
        check_plan(plan, fewer, "a")
