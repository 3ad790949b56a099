"""The needle suite: one sentence hidden in a long text, at every depth and length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from ...tasks.corpus import Corpus
from .questions import Insert, Question, hidden_question

DEPTHS = (0.1, 0.3, 0.5, 0.7, 0.9)
PLACES = (
    "Paris", "London", "Berlin", "Madrid", "Rome", "Vienna", "Dublin",
    "Oslo", "Lisbon", "Athens", "Cairo", "Tokyo", "Delhi", "Boston",
    "Chicago", "Denver", "Toronto", "Sydney", "Lima", "Nairobi",
)  # fmt: skip


def needle_questions(
    haystack: Corpus, lengths: Sequence[int], samples: int, seed: int, tokenizer: Any
) -> Iterator[Question]:
    """`samples` questions for each length, cycling through the depths."""
    for length in lengths:
        for at in range(samples):
            number, depth = divmod(at, len(DEPTHS))
            yield _needle(haystack, length, DEPTHS[depth], number, seed, tokenizer)


def _needle(
    haystack: Corpus, length: int, depth: float, number: int, seed: int, tokenizer: Any
) -> Question:
    rng = random.Random(f"needle {seed} {length} {depth} {number}")
    place, code = rng.choice(PLACES), f"{rng.randrange(10_000, 100_000)}"
    question = Question(
        suite="needle",
        task="single",
        length=length,
        depth=depth,
        number=number,
        text=f"What is the special magic number of {place}?",
        answers=(code,),
    )
    insert = Insert(f" The special magic number of {place} is {code}.", depth)
    return hidden_question(question, [insert], haystack, rng, tokenizer)
