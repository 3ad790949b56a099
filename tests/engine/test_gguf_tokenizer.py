"""Tokenizers of GGUF files: those of transformers where it knows them, and the rule of each file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import SPECIAL_TOKENS
from tokenizers import Tokenizer

from fastkv_cli.engine.model.gguf_tokenizer import build_tokenizer
from fastkv_cli.errors import ModelError
from fastkv_cli.models.gguf_header import Items

TEXTS = [
    "Hello world, it's 1998 and  two  spaces\n\n\n  def f(x):\n\treturn x_2\r\n",
    "Ça, 日本語テキスト — 42% naïve Straße HTTPServer don'T",
    "Привет, мир! 한국어 1234567 हिन्दी مرحبا",
    "😀 emoji ﬁ ① <|im_start|>user",
    " ",
    "",
]
PIECES = ["H", "e", "l", "o", "w", "r", "d", "a", "s", "1", "\u2581", "\u2581\u2581", "ll", "llo"]
PIECES += [
    "He",
    "Hello",
    "\u2581w",
    "or",
    "\u2581wor",
    "ld",
    "\u2581world",
    "\u2581a",
    "\n",
    "\n\n",
]


def facts_of(kind: str, tokens: list[str], **more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"general.architecture": "llama", "tokenizer.ggml.model": kind}
    facts |= {"tokenizer.ggml.tokens": Items(str, len(tokens), tuple(tokens))}
    for key, value in more.items():
        is_list = isinstance(value, list | tuple)
        stated = Items(type(value[0]), len(value), tuple(value)) if is_list else value
        facts["general.architecture" if key == "architecture" else f"tokenizer.ggml.{key}"] = stated
    return facts


def theirs(facts: dict[str, Any]) -> Any:
    """What transformers makes of the same metadata."""
    module = pytest.importorskip("transformers.integrations.gguf")
    names = {"model": "tokenizer_type", "pre": "pre_tokenizer_type"}
    read = {}
    for key, value in facts.items():
        if key.startswith("tokenizer.ggml."):
            name = key.removeprefix("tokenizer.ggml.")
            read[names.get(name, name)] = list(value.values) if isinstance(value, Items) else value
    return module.convert_gguf_tokenizer(facts["general.architecture"], read)[0]


@pytest.fixture(scope="module")
def byte_level(tiny_models: dict[str, Path]) -> dict[str, Any]:
    document = Tokenizer.from_file(str(tiny_models["llama"] / "tokenizer.json"))
    vocab = document.get_vocab()
    tokens = sorted(vocab, key=vocab.__getitem__)
    import json

    model = json.loads((tiny_models["llama"] / "tokenizer.json").read_text())["model"]
    return facts_of(
        "gpt2",
        tokens,
        merges=[" ".join(pair) for pair in model["merges"]],
        token_type=[3 if token in SPECIAL_TOKENS else 1 for token in tokens],
        bos_token_id=1,
        eos_token_id=2,
    )


def ids(tokenizer: Any, text: str) -> list[int]:
    encoded: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return encoded


@pytest.mark.parametrize(
    "rule",
    ["llama-bpe", "qwen2", "qwen35", "gpt-4o", "tekken", "dbrx", "smaug-bpe", "lfm2", "default"],
)
def test_texts_are_split_as_transformers_splits_them(rule: str, byte_level: dict[str, Any]) -> None:
    facts = byte_level | {"tokenizer.ggml.pre": rule}
    ours, known = build_tokenizer(facts, "a"), theirs(facts)
    for text in TEXTS:
        expected = known.pre_tokenizer.pre_tokenize_str(text)
        assert ours.pre_tokenizer.pre_tokenize_str(text) == expected, text
        assert ids(ours, text) == ids(known, text), text
        assert ours.decode(ids(ours, text), skip_special_tokens=False) == text


def test_rules_that_transformers_does_not_read(byte_level: dict[str, Any]) -> None:
    def numbers(rule: str) -> list[str]:
        tokenizer = build_tokenizer(byte_level | {"tokenizer.ggml.pre": rule}, "a")
        return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str("in 12345\n\n7")]

    one_by_one = ["in", "Ġ", "1", "2", "3", "4", "5", "ĊĊ", "7"]
    by_three = ["in", "Ġ", "123", "45", "ĊĊ", "7"]
    whole = ["in", "Ġ12345", "Ċ", "Ċ", "7"]
    for rule in ("smollm", "refact", "starcoder"):
        assert numbers(rule) == one_by_one, rule
    assert numbers("chatglm-bpe") == numbers("glm4") == by_three
    assert numbers("olmo") == numbers("granite-docling") == whole


def test_decomposed_letters_are_composed_for_qwen(byte_level: dict[str, Any]) -> None:
    tokenizer = build_tokenizer(byte_level | {"tokenizer.ggml.pre": "qwen2"}, "a")
    assert ids(tokenizer, "e\u0301") == ids(tokenizer, "\u00e9")


@pytest.mark.parametrize("architecture", ["llama", "phi3", "gemma3"])
def test_pieces_are_joined_as_transformers_joins_them(architecture: str) -> None:
    in_bytes = [f"<0x{number:02X}>" for number in range(256)]
    pieces = [p.replace("\u2581\u2581", "  ") if architecture == "gemma3" else p for p in PIECES]
    tokens = ["<unk>", "<s>", "</s>", *in_bytes, *pieces, "<tool>"]
    facts = facts_of(
        "llama",
        tokens,
        architecture=architecture,
        scores=[0.0] * 259 + [-float(number) for number in range(len(PIECES) + 1)],
        token_type=[2, 3, 3] + [6] * 256 + [1] * len(PIECES) + [4],
        bos_token_id=1,
        eos_token_id=2,
        unknown_token_id=0,
    )
    ours, known = build_tokenizer(facts, "a"), theirs(facts)
    for text in (*TEXTS, "Hello  world a", " Hello</s> world\n\n", "<tool>Hello", "  Hello"):
        assert ids(ours, text) == ids(known, text), text
        assert ours.decode(ids(ours, text)) == known.decode(ids(known, text)), text
    assert [ours.id_to_token(each) for each in ids(ours, "Hello world")][-1] == "\u2581world"
    assert ours.encode("Hello").ids[0] == 1, "a text begins with BOS unless the file says otherwise"
    without = build_tokenizer(facts | {"tokenizer.ggml.add_bos_token": False}, "a")
    assert without.encode("Hello").ids == ids(ours, "Hello")


def test_control_tokens_stay_whole_whatever_their_letters(byte_level: dict[str, Any]) -> None:
    tokens = [*byte_level["tokenizer.ggml.tokens"].values, "<｜User｜>", "<think>"]
    kinds = [*byte_level["tokenizer.ggml.token_type"].values, 3, 4]
    more = facts_of("gpt2", tokens, token_type=kinds)
    tokenizer = build_tokenizer(byte_level | more, "a")
    assert tokenizer.get_vocab_size() == len(tokens)
    text = "<｜User｜>Hello<think>"
    found = ids(tokenizer, text)
    assert (found[0], found[-1]) == (len(tokens) - 2, len(tokens) - 1)
    assert tokenizer.decode(found) == "Hello<think>", "only the control token is special"
    assert tokenizer.decode(found, skip_special_tokens=False) == text


def test_tokenizers_that_are_not_known_are_one_line(byte_level: dict[str, Any]) -> None:
    for change, words in (
        ({"tokenizer.ggml.pre": "unheard of"}, "with the rule 'unheard of', which is not"),
        ({"tokenizer.ggml.model": "t5"}, "of kind 't5', which is not supported"),
        ({"tokenizer.ggml.model": "bert"}, "of kind 'bert'"),
    ):
        with pytest.raises(ModelError, match=f"a has a tokenizer {words}"):
            build_tokenizer(byte_level | change, "a")
    without = {key: value for key, value in byte_level.items() if "merges" not in key}
    with pytest.raises(ModelError, match="a tokenizer without merges"):
        build_tokenizer(without, "a")
