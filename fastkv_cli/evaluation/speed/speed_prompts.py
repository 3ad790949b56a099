"""Prompts for measuring speed, of exact lengths, from the beginning of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...documents import Document
from ...errors import UsageError
from ...prompts.prompt import Prompt, ask_task, build_prompt, tokenize_text
from ..measure_context import MeasureContext
from ..quality.questions import MIN_TEXT_TOKENS, room_for_text
from ..quality.suites import load_haystack
from .speed_options import SpeedTest

DEFAULT_LENGTHS = (1000, 4000, 7500)
QUESTION = "What is this text about, and what comes of it in the end?"


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The prompts of a test.

    Attributes:
        prompts: one for each length, short ones first.
        left_out: lengths that do not fit the window.
        document_tokens: length of the whole document; None without one.
    """

    prompts: tuple[Prompt, ...]
    left_out: tuple[int, ...]
    document_tokens: int | None


def make_prompts(context: MeasureContext, test: SpeedTest, document: Document | None) -> PromptSet:
    """Build prompts of exactly the wanted lengths, if they fit the window with the answer.

    Raises:
        UsageError: when a length is out of range, or none fits.
    """
    tokenizer = context.engine.tokenizer
    room = _room(context, test)
    if document is None:
        text_ids = load_haystack(None, tokenizer).token_ids
        wanted = test.lengths or DEFAULT_LENGTHS
    else:
        text_ids = tokenize_text(tokenizer, document.text).token_ids
        wanted = _lengths_of_document(context, test, document, text_ids, room)
    if test.lengths and min(wanted) > room:
        raise UsageError(f"--prompt-tokens {min(wanted):,} is out of range", _window(context, test))
    lengths = context.lengths_that_fit(wanted, test.max_tokens)
    left_out = tuple(length for length in wanted if length > room)
    if left_out:
        named = ", ".join(f"{length:,}" for length in left_out)
        context.observer.note(f"left out prompts of {named} tokens: {_window(context, test)}")
    return PromptSet(
        prompts=tuple(_prompt(tokenizer, text_ids, length) for length in lengths),
        left_out=left_out,
        document_tokens=None if document is None else len(text_ids),
    )


def _room(context: MeasureContext, test: SpeedTest) -> int:
    """The maximum tokens of a prompt."""
    window = context.engine.decoder.max_context
    if test.max_tokens >= window:
        raise UsageError(
            f"--max-tokens {test.max_tokens:,} is out of range",
            f"the model's window holds {window:,} tokens, including the prompt",
        )
    return window - test.max_tokens


def _lengths_of_document(
    context: MeasureContext, test: SpeedTest, document: Document, text_ids: Sequence[int], room: int
) -> tuple[int, ...]:
    """The lengths asked for, checked against the document, else as much of it as fits."""
    if len(text_ids) < MIN_TEXT_TOKENS:
        raise UsageError(
            f"{document.path} holds {len(text_ids)} tokens, too few to measure with",
            "give a longer document",
        )
    whole = len(build_prompt(context.engine.tokenizer, text_ids, ask_task(QUESTION)).token_ids)
    if test.lengths and max(test.lengths) > whole:
        raise UsageError(
            f"--prompt-tokens {max(test.lengths):,} is out of range",
            f"{document.path} makes a prompt of {whole:,} tokens",
        )
    if not test.lengths and whole > room:
        used = len(text_ids) - (whole - room)
        context.observer.note(
            f"{document.path} is cut to its first {used:,} of {len(text_ids):,} tokens: "
            f"{_window(context, test)}",
        )
    return test.lengths or (min(whole, room),)


def _window(context: MeasureContext, test: SpeedTest) -> str:
    window = context.engine.decoder.max_context
    return f"the model's window holds {window:,} tokens, {test.max_tokens:,} of them for the answer"


def _prompt(tokenizer: Any, text_ids: Sequence[int], length: int) -> Prompt:
    """A prompt of exactly `length` tokens; a shorter text is repeated from its beginning."""
    size = room_for_text(tokenizer, QUESTION, length, "--prompt-tokens")
    ring = [*text_ids] * -(-size // len(text_ids))
    return build_prompt(tokenizer, ring[:size], ask_task(QUESTION))
