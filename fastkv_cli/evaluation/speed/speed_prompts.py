"""The prompts that speed is measured on: exact lengths, from the beginning of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...cli.measure_command import Bench
from ...documents import Document
from ...errors import UsageError
from ...prompts.prompt import Prompt, ask_task, build_prompt, tokenize_text
from ..quality.questions import MIN_TEXT_TOKENS, room_for_text
from ..quality.suites import load_haystack

DEFAULT_LENGTHS = (1000, 4000, 7500)
QUESTION = "What is this text about, and what comes of it in the end?"


@dataclass(frozen=True, slots=True)
class SpeedTest:
    """What to measure.

    Attributes:
        source: a document to read, or "-" for stdin; None is the novel that ships.
        lengths: tokens of the prompts, ascending; none is all of the document, or the usual ones.
        repetitions: rounds of measured runs.
        max_tokens: tokens that every run generates.
    """

    source: str | None = None
    lengths: tuple[int, ...] = ()
    repetitions: int = 5
    max_tokens: int = 64

    def __post_init__(self) -> None:
        counts = {"--repetitions": self.repetitions, "--max-tokens": self.max_tokens}
        for option, value in counts.items():
            if value < 1:
                raise UsageError(f"{option} {value} is out of range", "it is 1 or more")


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The prompts of a test.

    Attributes:
        prompts: one for each length, short ones first.
        left_out: lengths that do not fit the window.
        document_tokens: of the whole document; None without one.
    """

    prompts: tuple[Prompt, ...]
    left_out: tuple[int, ...]
    document_tokens: int | None


def make_prompts(bench: Bench, test: SpeedTest, document: Document | None) -> PromptSet:
    """Prompts of exactly the lengths wanted, as far as they fit the window behind an answer.

    Raises:
        UsageError: when a length is out of range, or none fits.
    """
    tokenizer = bench.engine.tokenizer
    room = _room(bench, test)
    if document is None:
        text_ids = load_haystack(None, tokenizer).token_ids
        wanted = test.lengths or DEFAULT_LENGTHS
    else:
        text_ids = tokenize_text(tokenizer, document.text).token_ids
        wanted = _lengths_of_document(bench, test, document, text_ids, room)
    if test.lengths and min(wanted) > room:
        raise UsageError(f"--prompt-tokens {min(wanted):,} is out of range", _window(bench, test))
    lengths = bench.fitting(wanted, test.max_tokens)
    left_out = tuple(length for length in wanted if length > room)
    if left_out:
        named = ", ".join(f"{length:,}" for length in left_out)
        _note(bench, f"left out prompts of {named} tokens: {_window(bench, test)}")
    return PromptSet(
        prompts=tuple(_prompt(tokenizer, text_ids, length) for length in lengths),
        left_out=left_out,
        document_tokens=None if document is None else len(text_ids),
    )


def _room(bench: Bench, test: SpeedTest) -> int:
    """The most tokens of a prompt."""
    window = bench.engine.decoder.max_context
    if test.max_tokens >= window:
        raise UsageError(
            f"--max-tokens {test.max_tokens:,} is out of range",
            f"the model's window holds {window:,} tokens, the prompt counted in",
        )
    return window - test.max_tokens


def _lengths_of_document(
    bench: Bench, test: SpeedTest, document: Document, text_ids: Sequence[int], room: int
) -> tuple[int, ...]:
    """Those that were asked for and that the document has, else all that fits of it."""
    if len(text_ids) < MIN_TEXT_TOKENS:
        raise UsageError(
            f"{document.path} holds {len(text_ids)} tokens, too few to measure with",
            "give a longer document",
        )
    whole = len(build_prompt(bench.engine.tokenizer, text_ids, ask_task(QUESTION)).token_ids)
    if test.lengths and max(test.lengths) > whole:
        raise UsageError(
            f"--prompt-tokens {max(test.lengths):,} is out of range",
            f"{document.path} makes a prompt of {whole:,} tokens",
        )
    if not test.lengths and whole > room:
        used = len(text_ids) - (whole - room)
        _note(
            bench,
            f"{document.path} is cut to its first {used:,} of {len(text_ids):,} tokens: "
            f"{_window(bench, test)}",
        )
    return test.lengths or (min(whole, room),)


def _window(bench: Bench, test: SpeedTest) -> str:
    window = bench.engine.decoder.max_context
    return f"the model's window holds {window:,} tokens, {test.max_tokens:,} of the answer in it"


def _prompt(tokenizer: Any, text_ids: Sequence[int], length: int) -> Prompt:
    """A prompt of so many tokens; a text that is shorter begins anew at its end."""
    size = room_for_text(tokenizer, QUESTION, length, "--prompt-tokens")
    ring = [*text_ids] * -(-size // len(text_ids))
    return build_prompt(tokenizer, ring[:size], ask_task(QUESTION))


def _note(bench: Bench, text: str) -> None:
    bench.bars.close()
    bench.messages.note(text)
