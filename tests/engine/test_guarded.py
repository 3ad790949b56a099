"""Tokenizers that break down: an error of the model, without a word of Rust's on stderr."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.cli.app import run
from fastkv_cli.engine.model.guarded import GuardedTokenizer, explained_panics
from fastkv_cli.errors import ExitCode, ModelError

Capture = pytest.CaptureFixture[str]
Spoil = Callable[[dict[str, Any]], object]


def split(pattern: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def added(number: int, content: str, **more: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": content, "special": False} | flags | more


HOSTILE: dict[str, tuple[Spoil, str]] = {
    "panic at load": (
        lambda t: t.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        r"breaks down \(Precompiled",
    ),
    "panic at an index": (
        lambda t: t.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8="}),
        r"breaks down \(index out of bounds",
    ),
    "panic of a length": (
        lambda t: t.update(pre_tokenizer={"type": "FixedLength", "length": 0}),
        r"breaks down \(chunk size",
    ),
    "panic of a normalizer": (
        lambda t: t.update(normalizer={"type": "Prepend", "prepend": ""}),
        "breaks down",
    ),
    "endless expression": (
        lambda t: t.update(pre_tokenizer=split(r"(\w|\w|\w\w| |\s)+\z(?!)")),
        r"breaks down \(Onig: Regex search error: retry-limit-in-match over",
    ),
    "growing by a long text": (
        lambda t: t.update(normalizer={"type": "Prepend", "prepend": "a" * 10**6}),
        "makes texts 1,000,000 times as long",
    ),
    "growing step by step": (
        lambda t: t.update(
            normalizer={
                "type": "Sequence",
                "normalizers": [
                    {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
                ] * 40,
            }
        ),
        "makes texts 1,099,511,627,776 times as long",
    ),
    "no expression": (lambda t: t.update(pre_tokenizer=split("((")), r"breaks down \(Oniguruma"),
    "unknown parts": (lambda t: t.update(pre_tokenizer={"type": "Nothing"}), "breaks down"),
    "no model": (lambda t: t.pop("model"), "breaks down"),
    "merges of unknown tokens": (
        lambda t: t["model"].update(merges=[["zzz", "yyy"]]),
        r"breaks down \(Token `zzz` out of vocabulary",
    ),
    "merges of numbers": (lambda t: t["model"].update(merges=[1]), "breaks down"),
    "negative ids": (lambda t: t["model"]["vocab"].update(a=-1), "breaks down"),
    "ids beyond the model's": (
        lambda t: t["model"].update(
            vocab={token: 1000 * number for token, number in t["model"]["vocab"].items()}
        ),
        "gives token [0-9,]+, and the model knows 384 tokens",
    ),
    "added tokens beyond the model's": (
        lambda t: t["added_tokens"].append(added(500, "committee")),
        "gives token [0-9,]+, and the model knows 384|breaks down",
    ),
    "added tokens of no shape": (lambda t: t.update(added_tokens=[7]), "breaks down"),
    "vocabulary a list": (lambda t: t["model"].update(vocab=[1, 2]), "breaks down"),
    "no vocabulary": (lambda t: t["model"].update(vocab={}, merges=[]), "gives no tokens for a text"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_tokenizers_end_in_one_line(
    name: str, options: list[str], tiny_models: dict[str, Path], capfd: Capture
) -> None:
    shutil.copytree(tiny_models["llama"], "model")
    path = Path("model/tokenizer.json")
    tokenizer = json.loads(path.read_text())
    spoil, words = HOSTILE[name]
    spoil(tokenizer)
    path.write_text(json.dumps(tokenizer))
    Path("a.txt").write_text("The committee met 14 times in 1999, and 3 times in 1998.\n" * 4)
    code = run(["ask", "a.txt", "Who met?", *options, "--model", "./model"])
    out, err = capfd.readouterr()
    assert (code, out) == (ExitCode.MODEL, ""), err
    assert err.startswith("fastkv: ")
    assert err.count("\n") == 1
    assert re.search(words, err), err


@pytest.fixture
def guarded(tiny_models: dict[str, Path]) -> GuardedTokenizer:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_models["llama"])
    return GuardedTokenizer(tokenizer, "tiny", len(tokenizer))


def test_a_guarded_tokenizer_is_a_tokenizer(guarded: GuardedTokenizer) -> None:
    ids = guarded("The dog, 日本", add_special_tokens=False)["input_ids"]
    assert guarded.decode(ids) == "The dog, 日本"
    assert guarded.is_fast
    assert guarded("")["input_ids"] == []


def test_a_panic_in_decoding_is_an_error_too(guarded: GuardedTokenizer, capfd: Capture) -> None:
    # OverflowError of the binding: no such id fits 32 bits
    with pytest.raises(ModelError, match="tokenizer of tiny breaks down"):
        guarded.decode([2**40])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_none_of_the_tokenizer_s_passes(kind: type[BaseException]) -> None:
    with pytest.raises(kind), explained_panics("tiny"):
        raise kind


def test_what_others_write_in_the_meantime_comes_out(capfd: Capture) -> None:
    for number in range(3):
        with explained_panics("tiny"):
            os.write(2, b"a bar %d\n" % number)
            sys.stderr.flush()
    assert capfd.readouterr().err == "a bar 0\na bar 1\na bar 2\n"


def test_a_closed_stderr_does_no_harm() -> None:
    code = (
        "import os; os.close(2)\n"
        "from fastkv_cli.engine.model.guarded import explained_panics\n"
        "with explained_panics('tiny'): print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"
