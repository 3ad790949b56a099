"""What every task shares: the room in the window, and the events it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..config import Sampling
from ..engine.generation import Generation, Piece
from ..errors import ContextError
from ..evidence import Index
from ..prompts.prompt import Turn, build_prompt
from ..stats import KVStats, ReadingStats, combine_kv
from .attended import most_looked_at
from .corpus import Corpus
from .parts import PartStore

if TYPE_CHECKING:
    from ..engine.generate import Engine
    from ..engine.methods import Method
    from ..engine.reuse.states import Reuse

# Told what is being read: a label, tokens done, tokens in all.
TokenProgress = Callable[[str, int, int], None]

# Below this, a part of a text is too short to say anything.
_MIN_PART_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Window:
    """What a model can read at once.

    Attributes:
        tokenizer: of the model, as transformers makes it.
        size: tokens.
        max_tokens: how many of them an answer may take.
    """

    tokenizer: Any
    size: int
    max_tokens: int

    def room(self, task: str, num_tokens: int) -> int:
        """Tokens of a text of `num_tokens` that fit beside a task and its answer.

        Raises:
            ContextError: when hardly any do.
        """
        room = self._room(task)
        if room < min(_MIN_PART_TOKENS, num_tokens):
            raise ContextError(
                f"no room for text: the model's window of {self.size:,} tokens holds the question "
                f"({self.size - room - self.max_tokens:,}) and the answer ({self.max_tokens:,})",
                "shorten the question or give a smaller --max-tokens",
            )
        return room

    def keep_turns(self, task: str, history: Sequence[Turn], num_tokens: int) -> Sequence[Turn]:
        """The latest turns of a conversation that fit beside a task and `num_tokens` of a text."""
        for oldest in range(len(history)):
            if self._room(task, history[oldest:]) >= num_tokens:
                return history[oldest:]
        return ()

    def _room(self, task: str, history: Sequence[Turn] = ()) -> int:
        """Tokens that are left for a text; below 0 where not even the rest fits."""
        frame = len(build_prompt(self.tokenizer, [], task, history).token_ids)
        return self.size - frame - self.max_tokens


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last event of a task: the answer, how the text was read, and the caches of all that.

    Attributes:
        generation: the answer, and what it took.
        reading: how the text was read.
        kv: of all prompts.
        warnings: one line each.
        looked_at: the tokens of the corpus that the model looked at most, and their scores.
        question: what was asked; nothing where a summary was.
        found: whether the documents can hold the answer; None where that was not looked up.
        reason: why they cannot.
        guess: what the model said where they cannot.
        check_failure: why `found` could not be looked up; None where it was, or was not to be.
        index: the words of the documents, where it has been made already.
        turns_left_out: turns of a conversation that no longer fit the window, the oldest.
    """

    generation: Generation
    reading: ReadingStats
    kv: KVStats
    warnings: tuple[str, ...] = ()
    looked_at: tuple[tuple[int, float], ...] = ()
    question: str = ""
    found: bool | None = None
    reason: str = ""
    guess: str = ""
    check_failure: Exception | None = None
    index: Index | None = None
    turns_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """All that a task needs.

    Attributes:
        engine: the loaded model.
        corpus: the text.
        method: how prompts are compressed.
        scoring_method: gives the method that scores parts, for an observation window of n tokens.
        max_tokens: the most tokens to answer with.
        sampling: how tokens are chosen.
        on_progress: told what is being read.
        parts: keeps what was made of the parts of a long text.
        check: whether to see that the text can hold what an answer says.
        reuse: what is known of the text from earlier questions; None where nothing can be.
    """

    engine: Engine
    corpus: Corpus
    method: Method
    scoring_method: Callable[[int], Method]
    max_tokens: int
    sampling: Sampling
    on_progress: TokenProgress
    parts: PartStore = field(default_factory=lambda: PartStore(enabled=False))
    check: bool = True
    reuse: Reuse | None = None

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.engine.tokenizer

    @property
    def window(self) -> Window:
        """What the model can read at once."""
        return Window(self.tokenizer, self.engine.decoder.max_context, self.max_tokens)

    def room(self, task: str) -> int:
        """Tokens of text that fit the window beside a task and its answer.

        Raises:
            ContextError: when hardly any do.
        """
        return self.window.room(task, self.corpus.num_tokens)

    def answer(
        self,
        token_ids: Sequence[int],
        task: str,
        label: str,
        reading: ReadingStats,
        parts_kv: Sequence[KVStats] = (),
        until: Callable[[], bool] | None = None,
        sources: Sequence[int] | None = None,
        recurs: bool = False,
        history: Sequence[Turn] = (),
    ) -> Iterator[Piece | Outcome]:
        """Answer a task from a text that fits the window; the last event is the outcome.

        Args:
            token_ids: the text.
            task: what to do with it.
            label: what progress is told under.
            reading: how the text was come by.
            parts_kv: the caches of prompts that went before, on parts of the text.
            until: tells when the answer is long enough.
            sources: which token of the corpus each of the text is, below 0 for none; None where the
                text is not the documents'.
            recurs: whether other tasks will have the same text, so that it is worth keeping.
            history: turns of a conversation before the task.
        """
        events = self.stream(
            token_ids,
            task,
            self.max_tokens,
            label,
            until=until,
            recurs=recurs,
            history=history,
        )
        for event in events:
            if isinstance(event, Piece):
                yield event
            else:
                kv = combine_kv([*parts_kv, event.kv])
                reading = replace(reading, state=None if self.reuse is None else self.reuse.stats)
                warnings = _end_warnings(event, self.max_tokens)
                start = build_prompt(self.tokenizer, [], task).document_span.start
                scores = (event.token_scores or [])[start:]
                yield Outcome(event, reading, kv, warnings, most_looked_at(scores, sources or ()))

    def stream(
        self,
        token_ids: Sequence[int],
        task: str,
        max_tokens: int,
        label: str,
        before: int = 0,
        total: int | None = None,
        until: Callable[[], bool] | None = None,
        recurs: bool = False,
        history: Sequence[Turn] = (),
    ) -> Iterator[Piece | Generation]:
        """Put a text and a task to the model, in a conversation behind the turns before.

        Progress is told under `label`, in tokens; `before` of `total` were read with other parts.
        `until` is asked after each token whether the answer is long enough. What the model makes of
        a text that `recurs` is kept for the next task.
        """
        num_tokens = len(token_ids)

        def on_progress(share: float) -> None:
            read = before + round(share * num_tokens)
            self.on_progress(label, read, num_tokens if total is None else total)

        on_progress(0.0)
        prompt = build_prompt(self.tokenizer, token_ids, task, history)
        return self.engine.stream(
            prompt.token_ids,
            self.method,
            max_tokens,
            question=prompt.question_span,
            sampling=self.sampling,
            guard_loops=True,
            on_progress=on_progress,
            until=until,
            shared=prompt.document_span.stop,
            reuse=self.reuse if recurs else None,
        )


def _end_warnings(generation: Generation, max_tokens: int) -> tuple[str, ...]:
    """What a reader of the answer should know about its end."""
    if generation.finish_reason == "length":
        return (f"the answer stops at {max_tokens:,} tokens: give more with --max-tokens",)
    if generation.finish_reason == "loop":
        return ("the answer was ended because the model began to repeat itself",)
    return ()
