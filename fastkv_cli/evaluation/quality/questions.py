"""Questions of an evaluation, each on one text, with the answers that count as correct."""

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
        task: the kind of question within the suite.
        length: target length of the whole prompt, in tokens.
        depth: the position of the answer in the text, from 0 (beginning) to 1 (end).
        number: distinguishes questions that are equal in all of the above.
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
        """A unique name, the same in every run with the same seed and settings."""
        return f"{self.suite}/{self.task}/{self.length}/{self.depth:.2f}/{self.number}"

    def prompt(self, tokenizer: Any) -> Prompt:
        """The prompt that `fastkv ask` would build."""
        return build_prompt(tokenizer, self.document_ids, ask_task(self.text))


@dataclass(frozen=True, slots=True)
class Insert:
    """A sentence to hide in a text, at a depth between 0 and 1."""

    text: str
    depth: float


def room_for_text(tokenizer: Any, question: str, length: int, option: str = "--lengths") -> int:
    """The number of tokens of text in a prompt of `length` tokens with this question.

    Args:
        tokenizer: the model's.
        question: the question on the text.
        length: tokens of the whole prompt.
        option: the option that sets the length, for the error.

    Raises:
        UsageError: when there is hardly any room for text.
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
    """Hide sentences in a stretch of a haystack, each at the break nearest its depth.

    A break is the end of a line, a sentence or a paragraph. Many texts have hard line ends, so a
    hidden sentence may be inside another.

    Args:
        inserts: the sentences.
        haystack: the text; it wraps around, so that there is enough text after any `start`.
        start: the first token of the stretch.
        size: tokens of the result.
        tokenizer: the model's.

    Raises:
        UsageError: when there is no room for text around the sentences.
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
    """Add a text to a question: a random stretch of the haystack, with the inserts."""
    room = room_for_text(tokenizer, question.text, question.length)
    start = rng.randrange(haystack.num_tokens)
    return replace(question, document_ids=hide(inserts, haystack, start, room, tokenizer))


def _nearest_break(breaks: Sequence[int], start: int, offset: int, haystack: Corpus) -> int:
    """The break nearest to `offset` tokens after `start`, as an offset."""
    whole, place = divmod(start + offset, haystack.num_tokens)
    at = bisect_left(breaks, place)
    around = [*breaks[max(at - 1, 0) : at + 1]] or [place]
    nearest = min(around, key=lambda at: abs(at - place))
    return max(whole * haystack.num_tokens + nearest - start, 0)
