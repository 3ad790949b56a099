"""Text as it comes must be the text that there is in the end."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import transformers

from fastkv_cli.engine.text_stream import TextStream

SAMPLES = [
    "The quick brown fox jumps over the lazy dog. " * 12,
    "naïve café – “quoted” … 北京的狐狸跑得很快。🦊🦊 emoji 👩‍👩‍👧 and back again, " * 6,
    "1, 2, 3 .  spaces  , and\n\nnew lines\n - lists\n" * 10,
]


class Counting:
    """A tokenizer that notes how many tokens it is given to decode."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.most = 0

    def decode(self, token_ids: list[int], **settings: Any) -> str:
        self.most = max(self.most, len(token_ids))
        text: str = self.tokenizer.decode(token_ids, **settings)
        return text


@pytest.fixture(scope="module")
def tokenizer(tiny_models: dict[str, Path]) -> Any:
    return transformers.AutoTokenizer.from_pretrained(tiny_models["llama"])


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_pieces_are_the_text(tokenizer: Any, sample: str) -> None:
    token_ids = tokenizer(sample)["input_ids"]
    assert len(token_ids) > 100
    stream = TextStream(tokenizer)
    pieces = [stream.push(token_id) for token_id in token_ids]
    assert "".join([*pieces, stream.flush()]) == sample
    assert not any("\ufffd" in piece for piece in pieces)  # no piece ends inside a character


def test_any_tokens_at_all(tokenizer: Any) -> None:
    """Special ones, halves of characters: what was given is what all of them say together."""
    for seed in range(30):
        token_ids = random.Random(seed).choices(range(len(tokenizer)), k=150)
        stream = TextStream(tokenizer)
        given = "".join(stream.push(token_id) for token_id in token_ids) + stream.flush()
        assert given == tokenizer.decode(token_ids, skip_special_tokens=True)


def test_a_long_answer_is_not_decoded_anew_for_every_token(tokenizer: Any) -> None:
    counting = Counting(tokenizer)
    stream = TextStream(counting)
    for token_id in tokenizer("a fox and a dog " * 200)["input_ids"]:
        stream.push(token_id)
    assert counting.most < 40
