"""GGUF files that are broken on purpose: told from their headers, before anything is read or made."""

from __future__ import annotations

import os
import re
import struct
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode, ModelError
from fastkv_cli.models import resolve_model
from fastkv_cli.models.gguf_header import read_header

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
HUGE = 2**62


def packed(text: str | bytes, length: int | None = None) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data) if length is None else length) + data


def value(kind: int, content: Any) -> bytes:
    if isinstance(content, bytes):  # as it stands
        return struct.pack("<I", kind) + content
    if kind == STRING:
        return struct.pack("<I", kind) + packed(content)
    form = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q"}[kind]
    return struct.pack("<I", kind) + struct.pack(form, content)


def listed(kind: int, items: list[Any], count: int | None = None) -> tuple[int, bytes]:
    head = struct.pack("<IQ", kind, len(items) if count is None else count)
    return ARRAY, head + b"".join(value(kind, item)[4:] for item in items)


@dataclass
class File:
    """A GGUF file of one layer, whose parts can be changed."""

    version: int = 3
    entries: dict[str, tuple[int, Any]] = field(default_factory=dict)
    tensors: dict[str, list[Any]] = field(default_factory=dict)
    extra: bytes = b""  # further entries, as they stand
    num_entries: int | None = None
    num_tensors: int | None = None
    behind: int = 0

    def write(self, path: Path) -> Path:
        entries = b"".join(packed(key) + value(*entry) for key, entry in self.entries.items())
        infos = b"".join(
            packed(name.removesuffix("*"))
            + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
            for name, (dims, kind, offset, _) in self.tensors.items()
        )
        head = struct.pack(
            "<4sIQQ",
            b"GGUF",
            self.version,
            len(self.tensors) if self.num_tensors is None else self.num_tensors,
            len(self.entries) if self.num_entries is None else self.num_entries,
        )
        whole = head + entries + self.extra + infos
        path.write_bytes(whole)
        size = sum(size for *_, size in self.tensors.values())
        os.truncate(path, len(whole) + -len(whole) % 32 + size + self.behind)
        return path


def good() -> File:
    file = File()
    file.entries = {
        "general.architecture": (STRING, "llama"),
        "llama.block_count": (U32, 1),
        "llama.context_length": (U32, 256),
        "llama.embedding_length": (U32, 64),
        "llama.feed_forward_length": (U32, 128),
        "llama.attention.head_count": (U32, 4),
        "llama.attention.head_count_kv": (U32, 2),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        "llama.rope.dimension_count": (U32, 16),
        "llama.rope.freq_base": (F32, 1e4),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.tokens": listed(STRING, list("abcdefgh")),
        "tokenizer.ggml.token_type": listed(I32, [1] * 8),
        "tokenizer.ggml.merges": listed(STRING, ["a b"]),
        "tokenizer.ggml.eos_token_id": (U32, 2),
    }
    shapes = {
        "token_embd": (64, 8),
        "output_norm": (64,),
        "blk.0.attn_norm": (64,),
        "blk.0.ffn_norm": (64,),
        "blk.0.attn_q": (64, 64),
        "blk.0.attn_k": (64, 32),
        "blk.0.attn_v": (64, 32),
        "blk.0.attn_output": (64, 64),
        "blk.0.ffn_gate": (64, 128),
        "blk.0.ffn_up": (64, 128),
        "blk.0.ffn_down": (128, 64),
    }
    offset = 0
    for name, shape in shapes.items():
        size = 4 * (shape[0] * shape[1] if len(shape) > 1 else shape[0])
        file.tensors[f"{name}.weight"] = [shape, 0, offset, size]
        offset += size
    return file


def entry(key: str, *new: Any) -> Callable[[File], None]:
    return lambda file: file.entries.update({key: new[0] if len(new) == 1 else new})


def without(key: str) -> Callable[[File], None]:
    return lambda file: (file.entries.pop(key, None), file.tensors.pop(key, None))[0] and None


def tensor(index: int, new: Any, name: str = "blk.0.attn_q.weight") -> Callable[[File], None]:
    return lambda file: file.tensors[name].__setitem__(index, new)


def attributes(**new: Any) -> Callable[[File], None]:
    return lambda file: vars(file).update(new)


def repeated(content: bytes, times: int) -> Callable[[File], None]:
    return attributes(extra=content * times, num_entries=15 + times)


TOKENS = "tokenizer.ggml.tokens"
HOSTILE: dict[str, tuple[Callable[[File], None], str]] = {
    "entries": (attributes(num_entries=HUGE), "names 11 tensors and 4,611"),
    "tensors": (attributes(num_tensors=HUGE), "names 4,611"),
    "entries behind the end": (attributes(num_entries=9000), "GGUF file that can be read"),
    "tensors behind the end": (attributes(num_tensors=9000), "GGUF file that can be read"),
    "version": (attributes(version=99), "its version is 99"),
    "byte order": (attributes(version=3 << 24), "its version is"),
    "length of a key": (attributes(extra=packed("", HUGE), num_entries=16), "text of 4,611"),
    "length of a text": (entry("general.name", STRING, packed("", HUGE)), "text of 4,611"),
    "long text": (entry("general.name", STRING, packed("", 10**6)), "it is cut off"),
    "no UTF-8": (entry("general.name", STRING, packed(b"\xff\xfe")), "codec can't decode"),
    "type of a value": (entry("general.name", 99, b""), "type 99, which is unknown"),
    "length of a list": (entry(TOKENS, listed(STRING, [], HUGE)), "lists have 4,611"),
    "length of numbers": (entry("x", listed(U32, [], 3_000_000)), "it is cut off"),
    "many items": (
        lambda file: file.entries.update(
            {f"x{n}": (ARRAY, struct.pack("<IQ", BOOL, 900_000) + bytes(900_000)) for n in range(5)}
        ),
        "lists have 4,500,",
    ),
    "nested lists": (entry("x", ARRAY, struct.pack("<IQ", ARRAY, 1) * 50), "type 9, which"),
    "key twice": (
        attributes(extra=packed("general.architecture") + value(STRING, "llama"), num_entries=16),
        "'general.architecture' twice",
    ),
    "tensor twice": (
        lambda file: file.tensors.update({"output_norm.weight*": file.tensors["output_norm.weight"]}),
        "'output_norm.weight' twice",
    ),
    "dimensions": (tensor(0, (64, 64, 1, 1, 1)), "5 dimensions"),
    "no dimensions": (tensor(0, ()), "0 dimensions"),
    "size of a dimension": (tensor(0, (HUGE, HUGE)), "it is cut off|overlap"),
    "dimension of nothing": (tensor(0, (0, 64)), "is of shape"),
    "type of a block": (tensor(1, 250), "type 250, which is unknown"),
    "half a block": (lambda file: file.tensors.update(x=[(33,), 2, 0, 0]), "'x' is of shape"),
    "offset": (tensor(2, HUGE), "it is cut off"),
    "offset out of line": (tensor(2, 3), "not aligned"),
    "one over another": (tensor(2, 0), "overlap"),
    "alignment": (entry("general.alignment", U32, 48), "its alignment is 48"),
    "alignment of nothing": (entry("general.alignment", U32, 0), "its alignment is 0"),
    "alignment in words": (entry("general.alignment", STRING, "32"), "its alignment is 32"),
    "huge alignment": (entry("general.alignment", U32, 2**31), "its alignment is"),
    "zeros behind": (attributes(behind=8 * 2**30), "8,589,934,592 bytes after its tensors"),
    # the model's sizes
    **{
        f"{key} {content!r}": (entry(f"llama.{key}", kind, content), f"llama.{key}|go together")
        for key in ("block_count", "embedding_length", "attention.head_count", "context_length")
        for kind, content in ((U32, 0), (U32, 2**32 - 1), (I32, -1), (F32, 1.5), (BOOL, True),
                              (STRING, "1"), (U64, HUGE))
    },
    "no block count": (without("llama.block_count"), "does not give its llama.block_count"),
    "no architecture": (without("general.architecture"), "of type 'None'"),
    "architecture a number": (entry("general.architecture", U32, 7), "of type '7'"),
    "a layer too many": (entry("llama.block_count", U32, 2), "7|9 tensors are missing"),
    "other vocabulary": (entry("llama.vocab_size", U32, 7_136_238), "llama.vocab_size"),
    "other width": (entry("llama.embedding_length", U32, 128), "contradicts itself"),
    "other heads": (entry("llama.attention.head_count", U32, 8), "contradicts itself|together"),
    "odd heads": (entry("llama.attention.head_count_kv", U32, 3), "do not go together"),
    "more heads than width": (entry("llama.attention.head_count", U32, 128), "not go together"),
    "no KV heads": (entry("llama.attention.head_count_kv", U32, 0), "head_count_kv"),
    "rotated": (entry("llama.rope.dimension_count", U32, 2**30), "do not go together"),
    "epsilon": (entry("llama.attention.layer_norm_rms_epsilon", F32, float("nan")), "gives nan"),
    "base": (entry("llama.rope.freq_base", F32, 0.0), "gives 0.0 for llama.rope.freq_base"),
    "scaling": (entry("llama.rope.scaling.type", U32, 1), "gives 1 for llama.rope.scaling.type"),
    "wide": (entry("llama.feed_forward_length", U32, 2**31 - 1), "contradicts itself"),
    "no tensor": (
        lambda file: file.tensors.update(other=file.tensors.pop("blk.0.ffn_up.weight")), "1 tensors are missing, as blk.0.ffn_up.weight"),
    # the tokenizer
    "no tokens": (without(TOKENS), "has no tokenizer"),
    "tokens of numbers": (entry(TOKENS, listed(U32, [1] * 8)), f"gives a list for {TOKENS}"),
    "tokens a text": (entry(TOKENS, STRING, "abcdefgh"), f"for {TOKENS}"),
    "few tokens": (entry(TOKENS, listed(STRING, ["a"])), "1 tokens, and 8 of"),
    "few types": (entry("tokenizer.ggml.token_type", listed(I32, [1])), "8 tokens, and 1 of"),
    "scores in words": (entry("tokenizer.ggml.scores", listed(STRING, ["a"] * 8)), "scores"),
    "merges of numbers": (entry("tokenizer.ggml.merges", listed(I32, [1])), "merges"),
    "end token": (entry("tokenizer.ggml.eos_token_id", U32, 8), "gives 8 for .*eos_token_id"),
    "end token in words": (entry("tokenizer.ggml.eos_token_id", STRING, "a"), "eos_token_id"),
    "template": (entry("tokenizer.chat_template", U32, 1), "gives 1 for tokenizer.chat_template"),
}  # fmt: skip


def test_the_file_that_is_spoilt_is_good(tmp_path: Path) -> None:
    path = good().write(tmp_path / "a.gguf")
    assert resolve_model(str(path), offline=True).gguf == path


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_headers_end_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    file, (spoil, words) = good(), HOSTILE[name]
    spoil(file)
    path = file.write(tmp_path / "a.gguf")
    started = time.monotonic()
    with pytest.raises(ModelError, match=words) as raised:
        resolve_model(str(path), offline=True)
    assert time.monotonic() - started < 20
    assert raised.value.hint
    assert re.fullmatch(r"[^\n]{1,400}", str(raised.value))
    assert not (tmp_path / "home").exists()


def test_a_header_takes_no_memory_that_the_file_does_not_hold(tmp_path: Path) -> None:
    """8 GB of zeros behind the counts of a header: what they claim to be is not made."""
    path = tmp_path / "a.gguf"
    for kind in (STRING, U64, BOOL):
        head = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + packed("x")
        path.write_bytes(head + value(*listed(kind, [], 2**30)))
        os.truncate(path, 8 * 2**30)
        tracemalloc.start()
        with pytest.raises(ModelError, match="lists have 1,073,741,824 items"):
            read_header(path, "a")
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a GGUF file"),
        (b"GGUF", "not a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 0), "a GGUF file of type 'None'"),
        (bytes(4096), "it does not begin with GGUF"),
    ],
    ids=["empty", "four letters", "pointer", "no entries", "zeros"],
)
def test_files_that_are_no_models(
    content: bytes, words: str, options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("a.gguf").write_bytes(content)
    if not any(content):
        os.truncate("a.gguf", 8 * 2**30 if content else 0)
    code = run(["ask", "a.txt", "Who met?", *options, "--model", "a.gguf"])
    out, err = capfd.readouterr()
    assert (code, out) == (ExitCode.MODEL, ""), err
    assert re.fullmatch(r"fastkv: [^\n]+\n", err)
    assert re.search(words, err)


def test_a_pipe_is_no_model(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("a.gguf")
    assert run(["ask", "a.txt", "Who met?", *options, "--model", "a.gguf"]) == ExitCode.MODEL
    assert capfd.readouterr().err.startswith("fastkv: there is no model at a.gguf")


def test_what_cannot_be_prepared_leaves_nothing(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(Path("home").absolute()))
    file = good()
    file.entries["tokenizer.ggml.model"] = (STRING, "unheard of")
    file.write(Path("a.gguf"))
    assert run(["ask", "a.txt", "Who met?", *options, "--model", "a.gguf"]) == ExitCode.MODEL
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    left = [path.name for path in Path("home/models").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []


def test_more_than_the_memory_holds_is_told_first(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A machine that small cannot be had for real.
    monkeypatch.setattr("fastkv_cli.engine.model.stored.available_memory_bytes", lambda: 10_000)
    good().write(Path("a.gguf"))
    assert run(["ask", "a.txt", "Who met?", *options, "--model", "a.gguf"]) == ExitCode.MEMORY
    assert "the weights of a.gguf take" in capfd.readouterr().err
