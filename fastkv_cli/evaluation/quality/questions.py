"""What an evaluation asks: one question on one text, with the answers that count as right."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import UsageError
from ...prompts.prompt import Prompt, ask_task, build_prompt
from ...tasks.corpus import Corpus

MIN_TEXT_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Question:
    """One question on one text.

    Attributes:
        suite: "needle", "ruler" or "qa".
        task: the kind of question inside the suite.
        length: tokens of the whole prompt that were aimed at.
        depth: where in the text the answer stands, 0 its beginning, 1 its end.
        number: tells questions apart that are alike in all of the above.
        text: the question.
        answers: what the model's answer must contain.
        document_ids: the tokens of the text.
    """

    suite: str
    task: str
    length: int
    depth: float
    number: int
    text: str
    answers: tuple[str, ...]
    document_ids: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """A name of its own, the same in every run with the same seed and settings."""
        return f"{self.suite}/{self.task}/{self.length}/{self.depth:.2f}/{self.number}"

    def prompt(self, tokenizer: Any) -> Prompt:
        """The prompt that `fastkv ask` would put to the model."""
        return build_prompt(tokenizer, self.document_ids, ask_task(self.text))


@dataclass(frozen=True, slots=True)
class Insert:
    """A sentence to hide in a text, at a depth between 0 and 1."""

    text: str
    depth: float


def room_for_text(tokenizer: Any, question: str, length: int, option: str = "--lengths") -> int:
    """Tokens of text that make up a prompt of `length` tokens with this question.

    Args:
        tokenizer: the model's.
        question: what is asked of the text.
        length: tokens of the whole prompt.
        option: where users say how long prompts are, for the error.

    Raises:
        UsageError: when hardly any do.
    """
    frame = len(build_prompt(tokenizer, [], ask_task(question)).token_ids)
    if length < frame + MIN_TEXT_TOKENS:
        raise UsageError(
            f"prompts of {length:,} tokens leave no room for text",
            f"template and question take {frame:,}; give {option} of at least "
            f"{frame + MIN_TEXT_TOKENS:,}",
        )
    return length - frame


def hide(
    inserts: Sequence[Insert], haystack: Corpus, start: int, size: int, tokenizer: Any
) -> tuple[int, ...]:
    """Some of a haystack with sentences hidden in it, each at the break nearest its depth.

    A break is the end of a line, a sentence or a paragraph: in texts with hard line ends, as many
    are, a hidden sentence may stand inside another.

    Args:
        inserts: the sentences.
        haystack: the text; it is read as a ring, so that any `start` has enough behind it.
        start: the token of the haystack to begin at.
        size: tokens of the result.
        tokenizer: the model's.

    Raises:
        UsageError: when there is no room for a text around them.
    """
    pieces = [
        (insert.depth, tokenizer(insert.text, add_special_tokens=False)["input_ids"])
        for insert in sorted(inserts, key=lambda insert: insert.depth)
    ]
    num_hay = size - sum(len(ids) for _, ids in pieces)
    if num_hay < MIN_TEXT_TOKENS:
        raise UsageError(
            "the prompts are too short for what is to be hidden in them",
            f"give --lengths that are longer by {MIN_TEXT_TOKENS - num_hay:,} tokens or more",
        )
    ring = (haystack.token_ids * (-(-(start + num_hay) // haystack.num_tokens)))[start:]
    breaks = sorted({cut for cuts in haystack.cuts[:4] for cut in cuts})
    hidden: list[int] = []
    done = 0
    for depth, ids in pieces:
        at = max(_nearest_break(breaks, start, round(depth * num_hay), haystack), done)
        at = min(at, num_hay)
        hidden += [*ring[done:at], *ids]
        done = at
    return (*hidden, *ring[done:num_hay])


def hidden_question(
    question: Question,
    inserts: Sequence[Insert],
    haystack: Corpus,
    rng: random.Random,
    tokenizer: Any,
) -> Question:
    """The question with its text: a stretch of the haystack, drawn at random, with the inserts."""
    room = room_for_text(tokenizer, question.text, question.length)
    start = rng.randrange(haystack.num_tokens)
    return replace(question, document_ids=hide(inserts, haystack, start, room, tokenizer))


def _nearest_break(breaks: Sequence[int], start: int, offset: int, haystack: Corpus) -> int:
    """The break nearest to `offset` tokens behind `start`, as an offset."""
    whole, place = divmod(start + offset, haystack.num_tokens)
    at = bisect_left(breaks, place)
    around = [*breaks[max(at - 1, 0) : at + 1]] or [place]
    nearest = min(around, key=lambda at: abs(at - place))
    return max(whole * haystack.num_tokens + nearest - start, 0)
