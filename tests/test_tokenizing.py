"""A text is tokenized in pieces, and its tokens are those of one piece, whatever the tokenizer."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from prompt_families import FAMILIES, make_tokenizer
from tokenizer_styles import STYLES, make_styled

from fastkv_cli.errors import ModelError
from fastkv_cli.prompts.prompt import tokenize_text
from fastkv_cli.prompts.tokenizing import (
    PIECE_CHARACTERS,
    TokenizedText,
    join_pieces,
    tokenize_pieces,
)

MARKS = ["\u0301", "\u0323", "\u0308", "\u0327"]
# What random texts are made of. Many of these are one word without end to some tokenizer.
UNITS = {
    "words": [
        *["The", "committee", "met", "page", "Isn't", "é", "<think>", ","],
        *["", " ", "\n", "    "] * 3,
    ],
    "blanks": [" ", "  ", "    ", "\n", "\r\n", "\t", " \n", "\u3000", "\u00a0", "x", "1"],
    "long blanks": [" " * 200, "\n" * 50, "x"],
    "one blank": [" "],
    "digits": list("0123456789"),
    "numbers": list("0123456789., "),
    "one letter": ["a"],
    "letters": list("abcdefghijklmnopqrstuvwxyz"),
    "letters of both cases": list("abcdefgABCDEFG"),
    "signs": list("!?#$%&()*-=/\\"),
    "emoji": ["😀", "🏳️‍🌈", "👩‍👩‍👧‍👦", "🇩🇪", "\ufe0f", "\u200d"],
    "marks": ["e", *MARKS, "a", " ", "한", "\u1112", "\u1161", "\u11ab"],
    "many marks": ["e", *MARKS * 30],
    "cjk": [*"日本語の文書を読む委員会、。", "document"],
    "hidden": ["\u200b", "\u00ad", "\u2060", "a", "the", "\U000e0041", " "],
}
LENGTH = 5000


def random_text(kind: str, length: int = LENGTH) -> str:
    chance = random.Random(kind)
    return "".join(chance.choices(UNITS[kind], k=length))[:length]


def random_characters() -> str:
    chance = random.Random(5)
    ranges = [(32, 127), (0xA0, 0x3000), (0x3000, 0xD800), (0x1F300, 0x1FA00)]
    return "".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(LENGTH))


def encode_whole(tokenizer: Any, text: str) -> TokenizedText:
    (whole,) = tokenize_pieces(tokenizer, text, size=len(text))
    return whole


def assert_same(tokenizer: Any, text: str, size: int = 400) -> int:
    """The tokens of pieces are those of the whole text; gives the number of pieces."""
    whole = encode_whole(tokenizer, text)
    pieces = list(tokenize_pieces(tokenizer, text, size=size))
    joined = join_pieces(pieces)
    assert joined.starts.tolist() == whole.starts.tolist()
    assert joined.token_ids.tolist() == whole.token_ids.tolist()
    return len(pieces)


@pytest.mark.parametrize("style", STYLES)
def test_pieces_have_the_tokens_of_the_whole(style: str) -> None:
    tokenizer = make_styled(style)
    for kind in UNITS:
        assert_same(tokenizer, random_text(kind))
    assert_same(tokenizer, random_characters())


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_pieces_have_them_in_every_family(family: str) -> None:
    tokenizer = make_tokenizer(FAMILIES[family])
    for kind in ("words", "letters", "digits", "emoji", "cjk"):
        assert assert_same(tokenizer, random_text(kind)) > 5


def test_pieces_of_the_embedded_model(embedded_dir: Path) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(embedded_dir)
    for kind in ("words", "blanks", "numbers", "letters", "emoji", "hidden"):
        assert_same(tokenizer, random_text(kind))


@pytest.mark.parametrize("style", ["gpt-2", "llama-2", "llama-3", "mistral-tekken", "qwen"])
def test_a_word_without_end_is_taken_apart(style: str) -> None:
    """Memory would grow with it otherwise: no piece is much longer than it is to be."""
    tokenizer = make_styled(style)
    for kind in ("one letter", "letters", "digits", "one blank", "signs", "emoji", "cjk"):
        sizes: list[int] = []
        text = random_text(kind, 30_000)
        list(tokenize_pieces(tokenizer, text, lambda _, size: sizes.append(size), 2000))  # noqa: B023
        assert max(sizes) <= 2000 + 2 * 4096 + 128, kind


def test_a_word_is_entered_behind_its_beginning() -> None:
    """Tekken's letters of no case go with capitals unless a small letter came before them."""
    tokenizer = make_styled("mistral-tekken")
    for beginning in ("a", "A", "1"):
        assert assert_same(tokenizer, f"{beginning}{'漢字' * 6000}Bx Bx", 1000) > 5


def test_marks_are_sorted_only_together() -> None:
    """NFC moves the mark below before all those above, however many there are."""
    tokenizer = make_styled("qwen")
    above, below = MARKS[:2]
    assert_same(tokenizer, f"e{above * 5000}{below} and more " * 2)


def test_a_short_text_is_one_piece() -> None:
    tokenizer = make_styled("llama-3")
    text = random_text("words", PIECE_CHARACTERS)
    assert len(list(tokenize_pieces(tokenizer, text))) == 1
    assert assert_same(tokenizer, text * 2, PIECE_CHARACTERS) == 2


def test_no_control_token_comes_of_a_piece() -> None:
    """Nor of what two pieces share, nor of what lies across the end of one."""
    tokenizer = make_tokenizer(FAMILIES["qwen-3"])
    think = tokenizer.convert_tokens_to_ids("<think>")
    for shift in range(40):  # so that it stands at each place of a piece's end
        text = f"{'x' * shift}{'the committee <think> met ' * 100}"
        assert think in tokenizer(text, add_special_tokens=False)["input_ids"]
        tokens = join_pieces(tokenize_pieces(tokenizer, text, size=400))
        assert think not in tokens.token_ids
        assert tokens.token_ids == encode_whole(tokenizer, text).token_ids


def test_a_text_of_many_pieces_is_data() -> None:
    tokenizer = make_tokenizer(FAMILIES["qwen-3"])
    unit = "The committee <|im_end|> met </document> 14 <think> times. "
    text = unit * (2 * PIECE_CHARACTERS // len(unit))
    tokens = tokenize_text(tokenizer, text)
    assert not set(tokens.token_ids) & set(tokenizer.added_tokens_decoder)
    decoded = tokenizer.decode(tokens.token_ids)
    assert len(decoded) == len(text)
    assert "</document" not in decoded


def test_what_is_called_before_a_piece_may_end_it() -> None:
    def stop(done: int, _size: int) -> None:
        if done > 2000:
            raise ModelError("stopped")

    pieces = tokenize_pieces(make_styled("gpt-2"), random_text("words"), stop, 400)
    assert sum(len(piece.starts) for piece in [next(pieces), next(pieces)]) > 0
    with pytest.raises(ModelError, match="stopped"):
        list(pieces)
