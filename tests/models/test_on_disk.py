"""Models in the folders of other programs: found, described, named; broken ones are one line."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_stores import (
    LLAMA_CONFIG,
    hub_model,
    ollama_model,
    small_gguf,
    split_gguf,
)

from fastkv_cli.config import EMBEDDED_MODEL
from fastkv_cli.errors import ExitCode, ModelError, UsageError
from fastkv_cli.models import full_name, known_model_names, resolve_model
from fastkv_cli.models.on_disk import find_models
from fastkv_cli.session.model_listing import ListedModel, list_models

LIBRARY = "registry.ollama.ai/library"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any program's models."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "fastkv"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("OLLAMA_MODELS", "LLAMA_CACHE", "XDG_CACHE_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def stores(home: Path, without_package: None) -> Path:
    """One home with models in the stores of all programs, whole and broken."""
    gguf = small_gguf(home / "a.gguf")
    ollama = home / ".ollama" / "models"
    ollama_model(ollama, f"{LIBRARY}/qwen3/4b", gguf)
    ollama_model(ollama, f"{LIBRARY}/llama3.2/latest", gguf)
    ollama_model(ollama, "registry.ollama.ai/someone/tuned/1b", gguf)
    ollama_model(ollama, "hf.co/org/repo-GGUF/Q4_K_M", gguf)
    ollama_model(ollama, f"{LIBRARY}/gone/7b", None)
    ollama_model(ollama, f"{LIBRARY}/far/7b", None, digest="../../../../a.gguf")
    ollama_model(ollama, f"{LIBRARY}/lora/7b", gguf, kind="application/vnd.ollama.image.adapter")
    ollama_model(ollama, f"{LIBRARY}/cloud/7b", gguf, kind="application/vnd.ollama.image.tensor")
    ollama_model(ollama, f"{LIBRARY}/json/7b", gguf).write_text("{")
    ollama_model(ollama, f"{LIBRARY}/list/7b", gguf).write_text('{"layers": [7]}')
    ollama_model(ollama, f"{LIBRARY}/large/7b", gguf).write_text(" " * 2**21)
    ollama_model(ollama, f"{LIBRARY}/bert/335m", small_gguf(home / "b.gguf", "bert"))
    studio = home / ".lmstudio" / "models"
    small_gguf(studio / "org" / "one" / "One-Q4_K_M.gguf")
    small_gguf(studio / "org" / "one" / "mmproj-One.gguf", "clip")
    small_gguf(studio / "org" / "two" / "Two-Q4_K_M.gguf")
    small_gguf(studio / "org" / "two" / "Two-Q8_0.gguf")
    split_gguf(studio / "org" / "half", "Half")[1].unlink()
    split_gguf(studio / "org" / "split", "Split")
    broken = studio / "org" / "broken"
    broken.mkdir()
    (broken / "circle.gguf").symlink_to("circle.gguf")
    (broken / "nowhere.gguf").symlink_to("nowhere")
    (broken / "again").symlink_to("..")
    (broken / "cut.gguf").write_bytes(gguf.read_bytes()[:3000])
    os.mkfifo(broken / "pipe.gguf")
    small_gguf(home / ".cache" / "llama.cpp" / "org_three_Three-Q4_0.gguf")
    hub = home / "hf" / "hub"
    hub_model(hub, "org/llama", LLAMA_CONFIG)
    hub_model(hub, "org/pinned", LLAMA_CONFIG, main=False)
    hub_model(hub, "org/bert", {"model_type": "bert"})
    (hub_model(hub, "org/lost", LLAMA_CONFIG) / "model.safetensors").unlink()
    small_gguf(hub_model(hub, "org/quants", None) / "Quants-Q4_K_M.gguf")
    return home


USABLE = {
    "org/llama": "Hugging Face",
    f"org/pinned@{'a' * 40}": "Hugging Face",
    "hf:org/quants": "Hugging Face",
    "ollama:qwen3:4b": "Ollama",
    "ollama:llama3.2:latest": "Ollama",
    "ollama:someone/tuned:1b": "Ollama",
    "ollama:hf.co/org/repo-GGUF:Q4_K_M": "Ollama",
    "lmstudio:org/one": "LM Studio",
    "lmstudio:org/split": "LM Studio",
    "lmstudio:org/two/Two-Q4_K_M": "LM Studio",
    "lmstudio:org/two/Two-Q8_0": "LM Studio",
    "llama.cpp:org_three_Three-Q4_0": "llama.cpp",
}
PROBLEMS = {
    EMBEDDED_MODEL: "it is not downloaded yet",
    "org/bert": "is of type 'bert', which is not supported",
    "org/lost": "the weights of org/lost are incomplete: model.safetensors is missing",
    "ollama:gone:7b": "its weights are missing: fetch it again with ollama pull",
    "ollama:far:7b": "its manifest is damaged: fetch it again with ollama pull",
    "ollama:lora:7b": "it is an adapter to another model",
    "ollama:cloud:7b": "it has no GGUF file on this machine",
    "ollama:json:7b": "its manifest is damaged",
    "ollama:list:7b": "its manifest is damaged",
    "ollama:large:7b": "its manifest is too large to be one",
    "ollama:bert:335m": "is a GGUF file of type 'bert', which is not supported",
    "lmstudio:org/half": "part 2 of 2 is missing",
    "lmstudio:org/broken": "cut.gguf is not a GGUF file that can be read (it is cut off",
    "{studio}/org/broken/circle.gguf": "cannot be read (Too many levels of symbolic links)",
    "{studio}/org/broken/nowhere.gguf": "is a broken link",
    "{studio}/org/broken/pipe.gguf": "is not a file",
}


def by_name(listed: list[ListedModel]) -> dict[str, ListedModel]:
    return {each.found.name: each for each in listed}


def content_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file; links are not followed."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and pipes")
def test_every_store_is_listed_and_left_as_it_is(stores: Path) -> None:
    before = content_of(stores)
    listed = by_name(list_models())
    usable = {name: each for name, each in listed.items() if each.facts is not None}
    assert {name: str(each.found.place) for name, each in usable.items()} == USABLE
    studio = stores / ".lmstudio" / "models"
    expected = {name.format(studio=studio): why for name, why in PROBLEMS.items()}
    problems = {name: each.problem for name, each in listed.items() if each.facts is None}
    assert problems.keys() == expected.keys()
    wrong = {name: problems[name] for name, why in expected.items() if why not in problems[name]}
    assert wrong == {}
    assert all("\n" not in problem for problem in problems.values())

    facts = usable["ollama:qwen3:4b"].facts
    assert facts is not None
    sizes = facts.sizes
    layer = 2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32
    assert (facts.family, facts.window) == ("Llama", 4096)
    assert (sizes.num_weights, sizes.layer_weights) == (2 * layer + 16 * 32 + 32, 2 * layer)
    assert sizes.kv_per_token == 2 * 2 * 16
    assert sizes.matrix_weights == 2 * (layer - 64) + 16 * 32
    assert 32 <= facts.bits < 34  # float32, and the header

    whole = usable["lmstudio:org/split"].facts
    assert whole is not None
    assert whole.sizes == sizes

    facts = usable["org/llama"].facts
    assert facts is not None
    assert (facts.window, facts.sizes.num_kv_heads, facts.sizes.head_dim) == (32_768, 2, 8)
    assert facts.sizes.num_weights == 16 * 32 + 32 * 32 + 2 * 16 * 32 + 64 * 32
    memory = usable["org/llama"].memory
    assert memory is not None
    # 10 pages go in whole, 300 in parts of 2,048 tokens
    assert memory[10].full_kv_bytes > 2 * memory[300].full_kv_bytes
    assert content_of(stores) == before


def test_names_complete_without_reading_headers(stores: Path) -> None:
    # That a file is cut off or missing is found out when it is opened.
    unread = {"lmstudio:org/broken", "org/lost"}
    assert set(known_model_names()) == {EMBEDDED_MODEL, *unread, *USABLE}


def test_names_and_parts_of_names(stores: Path, tmp_path: Path) -> None:
    def resolved(name: str) -> str:
        files = resolve_model(name, offline=True)
        assert files.name == full_name(name)
        return files.name

    assert resolved("ollama:qwen3:4b") == "ollama:qwen3:4b"
    assert resolved("ollama:qwen3") == "ollama:qwen3:4b"  # the only tag
    assert resolved("ollama:llama3.2") == "ollama:llama3.2:latest"
    assert resolved("lmstudio:org/one") == "lmstudio:org/one"
    assert resolved("lmstudio:org/two/Two-Q8_0.gguf") == "lmstudio:org/two/Two-Q8_0"
    for part in ("qwen3-4b", "QWEN3:4B", "qwen3"):
        assert resolved(part) == "ollama:qwen3:4b"
    assert resolved("org-three") == "llama.cpp:org_three_Three-Q4_0"
    assert full_name("org/name") == "org/name"  # of the hub, as ever
    assert full_name("smollm2") == EMBEDDED_MODEL

    for name in ("lmstudio:org/two", "two-q"):
        with pytest.raises(UsageError, match=r"Two-Q4_K_M, lmstudio:org/two/Two-Q8_0: give one"):
            resolve_model(name, offline=True)
    refused = {
        "ollama:nothing": "there is no model ollama:nothing on this disk: list them",
        "nothing": "unknown model 'nothing': give smollm2-135m",
        "q3": "unknown model 'q3'",
        "ollama:gone:7b": "cannot be used, as its weights are missing",
        "lmstudio:org/half": "lmstudio:org/half part 2 of 2 is missing",
        "ollama:bert": "ollama:bert:335m is a GGUF file of type 'bert'",
    }
    for name, words in refused.items():
        with pytest.raises(ModelError, match=words) as raised:
            resolve_model(name, offline=True)
        assert raised.value.exit_code == ExitCode.MODEL


def test_a_file_of_that_name_wins(
    stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small_gguf(tmp_path / "qwen3")
    files = resolve_model("qwen3", offline=True)
    assert (files.name, full_name("qwen3")) == ("qwen3", "qwen3")


def test_variables_move_the_stores(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = small_gguf(tmp_path / "elsewhere" / "llama" / "small.gguf")
    ollama_model(tmp_path / "elsewhere" / "ollama", f"{LIBRARY}/small/1b", gguf)
    hub_model(tmp_path / "elsewhere" / "hub", "org/small", LLAMA_CONFIG)
    monkeypatch.setenv("LLAMA_CACHE", str(gguf.parent))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "elsewhere" / "ollama"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere" / "hub"))
    names = [model.name for model in find_models()]
    assert names == [EMBEDDED_MODEL, "org/small", "ollama:small:1b", "llama.cpp:small"]


@pytest.fixture
def locked(stores: Path) -> Iterator[list[Path]]:
    """Folders that cannot be read."""
    folders = [stores / ".ollama" / "models" / "manifests" / "hf.co", stores / "hf" / "hub"]
    for folder in folders:
        folder.chmod(0)
    yield folders
    for folder in folders:
        folder.chmod(stat.S_IRWXU)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read everything"
)
def test_folders_without_permission_are_one_line_each(locked: list[Path]) -> None:
    problems = {each.found.name: each.problem for each in list_models() if each.problem}
    assert [problems[str(folder)] for folder in locked] == [
        "cannot be read (Permission denied)"
    ] * 2


def test_a_store_of_ten_thousand_files(home: Path) -> None:
    folder = home / ".cache" / "llama.cpp"
    first = small_gguf(folder / "model-0.gguf")
    for number in range(1, 10_000):
        (folder / f"model-{number}.gguf").hardlink_to(first)
    started = time.monotonic()
    assert len(known_model_names()) == 10_001
    listed = list_models(time_limit_s=1.0)
    assert time.monotonic() - started < 60  # on a busy machine
    assert len(listed) == 10_001
    late = [each for each in listed if each.problem == "not read yet"]
    assert late
    assert late[0].hint == f"fastkv models info {late[0].found.name}"
