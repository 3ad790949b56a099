"""The options of answers: how they are generated, checked and quoted, and what is stored."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import MAX_TOKENS, Sampling, StoreMode
from ..errors import UsageError
from ..settings import store_mode
from ..stats import MAX_QUOTES
from ..thinking_mode import DEFAULT_THINKING_TOKENS, Thinking
from .option import Group, option


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """How answers are generated and checked, and whether document states are stored."""

    max_tokens: int | None = option(
        None,
        Group.OUTPUT,
        "Generate at most this many tokens of the answer.",
        metavar="TOKENS",
        shown_default="by task",
    )
    thinking: Thinking = option(
        Thinking.HIDE,
        Group.OUTPUT,
        "Show on stderr, or hide, what a model thinks before it answers; off turns thinking off, "
        "where its chat template can.",
        env="FASTKV_THINKING",
    )
    max_thinking: int = option(
        DEFAULT_THINKING_TOKENS,
        Group.OUTPUT,
        "Let the model think for at most this many tokens; then it has to answer.",
        metavar="TOKENS",
    )
    temperature: float = option(
        0.0,
        Group.OUTPUT,
        "Sample at this temperature; 0 decodes greedily, with loops prevented.",
        "--temperature",
        "--temp",
        metavar="T",
    )
    seed: int = option(0, Group.OUTPUT, "Seed the sampling: same seed, same answer.", metavar="N")
    cite: bool = option(
        False,
        Group.OUTPUT,
        "Append the source page to the answer, as \\[p. 12]; all of them to a summary.",
        "--cite",
    )
    quotes: int = option(
        MAX_QUOTES,
        Group.OUTPUT,
        "Quote up to N passages of the documents that are likely to answer the question, 0 to "
        f"{MAX_QUOTES}.",
        metavar="N",
    )
    check: bool = option(
        True,
        Group.OUTPUT,
        "Check the answer against the documents: list unsupported claims, and withhold an answer "
        "that they cannot contain.",
        "--check/--no-check",
    )
    extractive: bool = option(
        False,
        Group.OUTPUT,
        "Answer with the best quote from the document, word for word; the model only ranks.",
        "--extractive",
    )
    strict: bool = option(
        False,
        Group.OUTPUT,
        "Answer only what quotes from the document support; refuse all else, with exit code 11.",
        "--strict",
    )
    store: StoreMode | None = option(
        None,
        Group.DOCUMENT,
        "Store the state of the documents (keys, values and hidden states of the first layers) on "
        "disk, so that later questions start from it; int8 takes half the space.",
        "--store",
        shown_default="FASTKV_STORE, or exact",
    )
    no_store: bool = option(
        False,
        Group.DOCUMENT,
        "Neither store document states nor use stored ones (same as --store off).",
        "--no-store",
    )

    def check_answer(self) -> None:
        """Raise a UsageError if a value is out of range, or two exclude each other."""
        if self.max_tokens is not None and not 1 <= self.max_tokens <= MAX_TOKENS:
            raise UsageError(
                f"--max-tokens {self.max_tokens} is out of range",
                f"give a number from 1 to {MAX_TOKENS:,}",
            )
        if not 1 <= self.max_thinking <= MAX_TOKENS:
            raise UsageError(
                f"--max-thinking {self.max_thinking} is out of range",
                f"give a number from 1 to {MAX_TOKENS:,}, or --thinking off",
            )
        if not 0 <= self.quotes <= MAX_QUOTES:
            raise UsageError(f"--quotes {self.quotes} is out of range", f"it is 0 to {MAX_QUOTES}")
        if self.strict and not self.check:
            raise UsageError("--strict and --no-check exclude each other", "give one of them")

    @property
    def sampling(self) -> Sampling:
        """The checked options of choosing tokens."""
        return Sampling(self.temperature, self.seed)

    @property
    def store_mode(self) -> StoreMode:
        """How document states are stored, by the options or else FASTKV_STORE.

        Raises:
            UsageError: when two options exclude each other, or the environment's value is unknown.
        """
        if self.no_store and self.store not in {None, StoreMode.OFF}:
            raise UsageError(
                f"--no-store and --store {self.store} exclude each other", "give one of them"
            )
        return StoreMode.OFF if self.no_store else store_mode(self.store)


def check_question(question: str) -> str:
    """Return the question; raise a UsageError if it is empty."""
    if not question.strip():
        raise UsageError("the question is empty", "give a question")
    return question
