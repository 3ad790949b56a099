"""The ruler suite: synthetic tasks like RULER's (arXiv 2404.06654), sized for a small model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...tasks.corpus import Corpus
from .needle import PLACES
from .questions import Insert, Question, hidden_question

NAMES = (
    "Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace",
    "Henry", "Irene", "Jack", "Karen", "Leo", "Maria", "Nathan",
    "Olivia", "Peter", "Rachel", "Simon", "Thomas", "Victor",
)  # fmt: skip
NUM_KEYS = 4
NUM_VALUES = 2

# Hidden sentences, question and answers of a task; the first insert holds the answer.
Drawn = tuple[list[Insert], str, tuple[str, ...]]


def ruler_questions(
    haystack: Corpus, lengths: Sequence[int], samples: int, seed: int, tokenizer: Any
) -> Iterator[Question]:
    """`samples` questions for each length, cycling through the tasks, at random depths."""
    names = list(TASKS)
    for length in lengths:
        for at in range(samples):
            number, task = divmod(at, len(names))
            yield _draw(haystack, length, names[task], number, seed, tokenizer)


def _draw(
    haystack: Corpus, length: int, task: str, number: int, seed: int, tokenizer: Any
) -> Question:
    rng = random.Random(f"ruler {seed} {task} {length} {number}")
    inserts, asked, answers = TASKS[task](rng)
    question = Question(
        suite="ruler",
        task=task,
        length=length,
        depth=inserts[0].depth,
        number=number,
        text=asked,
        answers=answers,
    )
    return hidden_question(question, inserts, haystack, rng, tokenizer)


def _multi_key(rng: random.Random) -> Drawn:
    """Several needles with different keys; one is asked for."""
    places = rng.sample(PLACES, NUM_KEYS)
    codes = _codes(rng, NUM_KEYS)
    inserts = [
        Insert(f" The special magic number of {place} is {code}.", _depth(rng))
        for place, code in zip(places, codes, strict=True)
    ]
    return inserts, f"What is the special magic number of {places[0]}?", (codes[0],)


def _multi_value(rng: random.Random) -> Drawn:
    """Several needles with the same key; all their values are asked for."""
    place, codes = rng.choice(PLACES), _codes(rng, NUM_VALUES)
    inserts = [
        Insert(f" One of the special magic numbers of {place} is {code}.", _depth(rng))
        for code in codes
    ]
    asked = f"What are the {NUM_VALUES} special magic numbers of {place}?"
    return inserts, asked, tuple(codes)


def _variable_tracking(rng: random.Random) -> Drawn:
    """A value, and a second name that is assigned it later in the text; that name is asked for."""
    first, second, other = rng.sample(NAMES, 3)
    code, wrong = _codes(rng, 2)
    early, late = sorted((_depth(rng), _depth(rng)))
    inserts = [
        Insert(f" The locker of {second} has the same number as the locker of {first}.", late),
        Insert(f" The locker of {first} has the number {code}.", early),
        Insert(f" The locker of {other} has the number {wrong}.", _depth(rng)),
    ]
    return inserts, f"What is the number of the locker of {second}?", (code,)


TASKS: dict[str, Callable[[random.Random], Drawn]] = {
    "multi-key": _multi_key,
    "multi-value": _multi_value,
    "variable-tracking": _variable_tracking,
}


def _codes(rng: random.Random, count: int) -> list[str]:
    return [str(code) for code in rng.sample(range(10_000, 100_000), count)]


def _depth(rng: random.Random) -> float:
    return round(rng.uniform(0.05, 0.95), 2)
