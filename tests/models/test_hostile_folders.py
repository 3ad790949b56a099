"""Model folders that are broken on purpose: one line, exit 5 or 6, and no waiting."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

Capture = pytest.CaptureFixture[str]
POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def set_keys(file: str, **keys: Any) -> Callable[[], None]:
    def spoil() -> None:
        path = Path("model", file)
        settings = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(settings | keys))

    return spoil


def text(file: str, content: str | bytes) -> Callable[[], None]:
    data = content.encode() if isinstance(content, str) else content

    def spoil() -> None:
        Path("model", file).unlink(missing_ok=True)
        Path("model", file).write_bytes(data)

    return spoil


def replaced(file: str, make: Callable[[Path], Any]) -> Callable[[], None]:
    def spoil() -> None:
        Path("model", file).unlink(missing_ok=True)
        make(Path("model", file))

    return spoil


def templates(value: Any) -> Callable[[], None]:
    """The chat template in tokenizer_config.json, as it was before it had a file."""

    def spoil() -> None:
        Path("model/chat_template.jinja").unlink()
        set_keys("tokenizer_config.json", chat_template=value)()

    return spoil


def sparse(file: str, size: int) -> Callable[[], None]:
    return replaced(file, lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), size))


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def weights(change: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    """The header of the weights, changed; the values stay where they are."""

    def spoil() -> None:
        path = Path("model/model.safetensors")
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        change(header)
        new = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(new)) + new + data[8 + length :])

    return spoil


EMBEDDINGS = "model.embed_tokens.weight"
NESTED = "[" * 100_000 + "]" * 100_000
NO_JSON: dict[str, str | bytes] = {
    "nested": NESTED,
    "empty": "",
    "list as": "[]",
    "bytes as": b"\xff\xfe\x00{",
    "digits in": '{"eos_token_id": ' + "9" * 100_000 + "}",
    "half of": '{"a": ',
}
INDEX = "model.safetensors.index.json"


def indexed(*shards: Any) -> Callable[[], None]:
    def spoil() -> None:
        Path("model/model.safetensors").unlink()
        index = {"weight_map": {str(number): shard for number, shard in enumerate(shards)}}
        Path("model", INDEX).write_text(json.dumps(index))

    return spoil


HOSTILE: dict[str, tuple[Callable[[], None], str]] = {
    # whatever is no file
    **{
        f"pipe as {file}": (replaced(file, os.mkfifo), rf"{file} of ./model is a named pipe")
        for file in (
            "config.json",
            "generation_config.json",
            "tokenizer_config.json",
            "tokenizer.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "chat_template.jinja",
            "model.safetensors",
            "other.safetensors",
            INDEX,
        )
    },
    "folder as weights": (replaced("model.safetensors", Path.mkdir), "is a folder, not a file"),
    "folder as config": (replaced("config.json", Path.mkdir), "is a folder, not a file"),
    "folder as tokenizer": (replaced("tokenizer.json", Path.mkdir), "is a folder, not a file"),
    "socket as weights": (replaced("model.safetensors", bind), "is a socket, not a file"),
    "device as weights": (
        replaced("model.safetensors", lambda path: path.symlink_to("/dev/zero")),
        "is a device, not a file",
    ),
    "link out of the folder": (
        replaced("config.json", lambda path: path.symlink_to("/etc/passwd")),
        "is not JSON",
    ),
    "link to itself": (replaced("config.json", lambda path: path.symlink_to(path.name)), "config"),
    "pointer as weights": (text("model.safetensors", POINTER), "Git LFS pointer.*`git lfs pull`"),
    "pointer as tokenizer": (text("tokenizer.json", POINTER), "Git LFS pointer.*`git lfs pull`"),
    "pointer as config": (text("config.json", POINTER), "Git LFS pointer"),
    "adapter": (set_keys("adapter_config.json", base_model_name_or_path="/else"), "an adapter"),
    # JSON
    **{
        f"{kind} {file}": (text(file, content), "JSON|tokenizer|empty")
        for file in ("config.json", "generation_config.json", "tokenizer_config.json")
        for kind, content in NO_JSON.items()
    },
    "tokenizer nested": (text("tokenizer.json", NESTED), "tokenizer of ./model breaks down"),
    "tokenizer empty": (text("tokenizer.json", ""), "tokenizer of ./model breaks down"),
    "tokenizer a list": (text("tokenizer.json", "[1]"), "tokenizer of ./model breaks down"),
    "config of 1 GB": (sparse("config.json", 10**9), "1,000 MB, which is more than 17 MB"),
    "tokenizer of 1 GB": (sparse("tokenizer.json", 10**9), "1,000 MB, which is more than 268 MB"),
    "template of 100 MB": (sparse("chat_template.jinja", 10**8), "100 MB, which is more than"),
    # the values of config.json
    **{
        f"{key} {value!r}"[:60]: (
            set_keys("config.json", **{key: value}),
            rf"{key}|fit its weights",
        )
        for key in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "vocab_size",
            "max_position_embeddings",
        )
        for value in (0, -1, 2**40, 1.5, "64", True, [64], float("nan"))
    },
    "layers": (set_keys("config.json", num_hidden_layers=10**9), "1,000,000,000 layers"),
    "a layer too many": (set_keys("config.json", num_hidden_layers=5), r"layers\.4\..* is missing"),
    "hidden size of others": (set_keys("config.json", hidden_size=128), "does not fit its weights"),
    "head_dim": (set_keys("config.json", head_dim=24), "does not fit its weights"),
    "heads": (set_keys("config.json", num_attention_heads=6), "heads"),
    "kv heads": (set_keys("config.json", num_key_value_heads=3), "num_key_value_heads"),
    "vocabulary": (
        set_keys("config.json", vocab_size=500),
        "embed_tokens.* is of shape 384×64, not",
    ),
    "epsilon": (set_keys("config.json", rms_norm_eps="small"), "rms_norm_eps"),
    "a scalar of Granite": (
        set_keys("config.json", model_type="granite", logits_scaling=0.0),
        "logits_scaling",
    ),
    "more experts for a token than there are": (
        set_keys("config.json", num_experts=2, num_experts_per_tok=3),
        "num_experts_per_tok",
    ),
    "tied": (set_keys("config.json", tie_word_embeddings="yes"), "tie_word_embeddings"),
    "rope a list": (set_keys("config.json", rope_parameters=[1]), "rope_parameters"),
    "rope theta": (
        set_keys("config.json", rope_parameters={"rope_type": "default", "rope_theta": 0.0}),
        "rotary|rope",
    ),
    "rope type": (
        set_keys("config.json", rope_parameters={"rope_type": "odd", "rope_theta": 1e4}),
        "./model",
    ),
    "rope factor": (
        set_keys(
            "config.json",
            rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": "NaN"},
        ),
        "./model",
    ),
    "rope factor of nothing": (
        set_keys(
            "config.json",
            rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 1e-320},
        ),
        "rotary embeddings that cannot|rope",
    ),
    "labels": (set_keys("config.json", num_labels=10**9), "num_labels"),
    "labels beside a text part": (
        set_keys("config.json", model_type="gemma3", text_config={}, num_labels=10**9),
        "num_labels",
    ),
    "labels of images": (
        set_keys(
            "config.json", model_type="gemma3", text_config={}, vision_config={"num_labels": -1}
        ),
        "num_labels",
    ),
    "padding": (set_keys("config.json", pad_token_id=10**6), "./model"),
    "model type": (set_keys("config.json", model_type={"a": 1}), "not supported"),
    "long model type": (set_keys("config.json", model_type="x" * 10**6), "not supported"),
    "quantized": (set_keys("config.json", quantization_config="q"), "quantization_config"),
    "quantized and large": (
        set_keys("config.json", quantization_config={"bits": 4}, intermediate_size=2**30),
        "does not fit its weights",
    ),
    # ends of answers
    **{
        f"eos {value!r} in {file}": (
            set_keys(file, eos_token_id=value),
            f"the {file} of ./model gives .* for eos_token_id",
        )
        for file in ("generation_config.json", "config.json")
        for value in (2.5, "2", True, [[2]], {"a": 1}, [2, None], 2**70)
    },
    # the tokenizer's
    "tokenizer class": (set_keys("tokenizer_config.json", tokenizer_class=[1]), "./model"),
    "template a number": (templates(7), "chat template is not text"),
    "templates without names": (templates([1]), "./model"),
    "template of numbers": (templates([{"name": "default", "template": 7}]), "is not text"),
    # weights
    "empty weights": (text("model.safetensors", b""), "cannot read model.safetensors"),
    "header beyond the file": (
        text("model.safetensors", struct.pack("<Q", 2**62) + b"{}"),
        "cannot read model.safetensors",
    ),
    "header no JSON": (
        text("model.safetensors", struct.pack("<Q", 4) + b"\xff\xff\xff\xff"),
        "cannot read model.safetensors",
    ),
    "header nested": (
        text("model.safetensors", struct.pack("<Q", len(NESTED)) + NESTED.encode()),
        "cannot read model.safetensors",
    ),
    "sparse weights": (sparse("model.safetensors", 8 * 2**30), "cannot read model.safetensors"),
    "overlapping": (
        weights(lambda h: h[EMBEDDINGS].update(data_offsets=[0, 384 * 64 * 4])),
        "cannot read model.safetensors",
    ),
    "offsets": (
        weights(lambda h: h[EMBEDDINGS].update(data_offsets=[0, 2**62])),
        "cannot read model.safetensors",
    ),
    "backwards": (
        weights(lambda h: h[EMBEDDINGS].update(data_offsets=[9, 1])),
        "cannot read model.safetensors",
    ),
    "shape": (
        weights(lambda h: h[EMBEDDINGS].update(shape=[64, 384])),
        "embed_tokens.* is of shape 64×384, not 384×64",
    ),
    "shape overflow": (
        weights(lambda h: h[EMBEDDINGS].update(shape=[2**62, 2**62])),
        "cannot read model.safetensors",
    ),
    "type": (weights(lambda h: h[EMBEDDINGS].update(dtype="I32")), "is stored as I32"),
    "unknown type": (weights(lambda h: h[EMBEDDINGS].update(dtype="Q9")), "cannot read model.saf"),
    "renamed": (weights(lambda h: h.update(other=h.pop(EMBEDDINGS))), "embed_tokens.* is missing"),
    # the index of several files
    "up": (indexed("../../etc/passwd"), "names '../../etc/passwd', which is not a file beside it"),
    "absolute": (indexed("/etc/passwd.safetensors"), "which is not a file beside it"),
    "pickle": (indexed("pytorch_model.bin"), "which is not a file beside it"),
    "numbers": (indexed(7), "which is not a file beside it"),
    "lists": (indexed([1]), "which is not a file beside it"),
    "gone": (indexed("a.safetensors"), "a.safetensors is missing"),
    "index a list": (
        lambda: (indexed("a")(), Path("model", INDEX).write_text("[]"))[0],
        "is not a JSON object",
    ),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_folders_end_in_one_line(
    name: str, options: list[str], tiny_models: dict[str, Path], capfd: Capture
) -> None:
    shutil.copytree(tiny_models["llama"], "model")
    spoil, words = HOSTILE[name]
    spoil()
    code = run(["ask", "a.txt", "Who met?", *options, "--model", "./model"])
    out, err = capfd.readouterr()
    assert (code, out) == (ExitCode.MODEL, ""), err
    assert re.fullmatch(r"fastkv: [^\n]{1,500}\n", err), err
    assert re.search(words, err), err
    assert ": " in err.removeprefix("fastkv: ")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("phi3-longrope", {"long_factor": [0.0] * 8}),
        ("phi3-partial", {"partial_rotary_factor": 9}),
        ("phi3-partial", {"partial_rotary_factor": 0}),
        ("ministral3", {"llama_4_scaling_beta": "x"}),
        ("ministral3", {"llama_4_scaling_beta": float("nan")}),
        ("ministral3", {"original_max_position_embeddings": 0}),
        ("ministral3", {"factor": 0}),
        ("llama3-rope", {"factor": "x"}),
    ],
    ids=str,
)
def test_rotary_embeddings_of_nonsense_are_told_when_loading(
    name: str,
    keys: dict[str, Any],
    options: list[str],
    tiny_models: dict[str, Path],
    capfd: Capture,
) -> None:
    shutil.copytree(tiny_models[name], "model")
    rope = json.loads(Path("model/config.json").read_text())["rope_parameters"]
    set_keys("config.json", rope_parameters=rope | keys)()
    capfd.readouterr()  # of making the tiny model
    assert run(["ask", "a.txt", "Who met?", *options, "--model", "./model"]) == ExitCode.MODEL
    assert re.fullmatch(r"fastkv: .*\./model.*\n", capfd.readouterr().err)


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("config.json", {"unknown": float("inf"), "auto_map": {"AutoConfig": "evil.Config"}}),
        ("tokenizer_config.json", {"model_max_length": 10**40}),
        ("generation_config.json", {"eos_token_id": None}),
        ("processor_config.json", {"processor_class": 7}),
        ("trainer_state.json", {"a": 1}),
    ],
)
def test_what_does_not_matter_may_be_anything(
    file: str, keys: dict[str, Any], options: list[str], tiny_models: dict[str, Path]
) -> None:
    shutil.copytree(tiny_models["llama"], "model")
    set_keys(file, **keys)()
    os.mkfifo("model/pytorch_model.bin")
    os.mkfifo("model/training_args.bin")
    Path("model/README.md").symlink_to("nowhere")
    assert run(["ask", "a.txt", "Who met?", *options, "--model", "./model"]) == ExitCode.OK


def test_links_to_files_elsewhere_are_files(
    options: list[str], tiny_models: dict[str, Path]
) -> None:
    """As the Hugging Face cache has them."""
    Path("model").mkdir()
    for file in tiny_models["llama"].iterdir():
        Path("model", file.name).symlink_to(file)
    assert run(["ask", "a.txt", "Who met?", *options, "--model", "./model"]) == ExitCode.OK


def test_weights_beside_those_of_the_model_are_not_loaded(
    options: list[str], tiny_models: dict[str, Path], capfd: Capture
) -> None:
    shutil.copytree(tiny_models["llama"], "model")
    arguments = ["ask", "a.txt", "Who met?", *options, "--dtype", "bfloat16", "--model", "./model"]
    assert run(arguments) == ExitCode.OK
    expected = capfd.readouterr().out
    shutil.copy(tiny_models["mistral"] / "model.safetensors", "model/other.safetensors")
    assert run([*arguments, "--no-store"]) == ExitCode.OK
    assert capfd.readouterr().out == expected


def test_weights_that_are_no_numbers_are_told(
    options: list[str], tiny_models: dict[str, Path], capfd: Capture
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_models["llama"], "model")
    stored = load_file("model/model.safetensors")
    stored["model.layers.1.mlp.up_proj.weight"].fill_(torch.nan)
    save_file(stored, "model/model.safetensors", {"format": "pt"})
    assert run(["ask", "a.txt", "Who met?", *options, "--model", "./model"]) == ExitCode.MODEL
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("fastkv: ./model gives no numbers (its logits are NaN or infinite)")


def test_a_model_larger_than_the_memory_is_told_before_it_is_loaded(
    options: list[str],
    tiny_models: dict[str, Path],
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A machine that small cannot be had for real.
    monkeypatch.setattr("fastkv_cli.engine.model.stored.available_memory_bytes", lambda: 100_000)
    shutil.copytree(tiny_models["llama"], "model")
    assert run(["ask", "a.txt", "Who met?", *options, "--model", "./model"]) == ExitCode.MEMORY
    assert "of memory on cpu, and 0.1 MB are free: take " in capfd.readouterr().err
