"""What every task shares: the room in the window, the model and text, and the final event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..config import Sampling
from ..engine.generation import Generation, Piece
from ..field_values import FilledSchema
from ..prompts.answer_form import AnswerForm, OnThought, ignore_thought
from ..prompts.prompt import Turn
from ..prompts.thinking import find_thought_format
from ..stats import KVStats, ReadingStats, Verdict, combine_kv
from ..thinking_mode import DEFAULT_THINKING_TOKENS, Thinking
from .attended import most_attended
from .context_window import Window, open_window
from .corpus import Corpus
from .parts import PartStore
from .reading_map import MapRecorder

if TYPE_CHECKING:
    from ..engine.generate import Engine
    from ..engine.methods import Method
    from ..engine.reuse.states import Reuse

# Called with a label, the tokens done, and all tokens.
TokenProgress = Callable[[str, int, int], None]

_CUT_THINKING = (
    "the model was still thinking after {:,} tokens and had to answer: "
    "allow more with --max-thinking, or turn it off with --thinking off"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last event of a task: the answer, with statistics and the result of its check.

    Attributes:
        generation: the answer, and its statistics.
        reading: how the text was processed.
        kv: KV cache statistics of all prompts.
        warnings: one line each.
        attended: the most attended tokens of the corpus, and their scores.
        question: the user's question; empty for a summary.
        verdict: whether the documents say what the answer says; None if not judged.
        found: whether the documents can contain the answer; None if not checked.
        reason: why they cannot.
        guess: the model's answer if they cannot.
        check_failure: the exception that prevented the check; None if it ran or was disabled.
        attention: the model's to each segment of the corpus; None if it was not measured by parts.
        turns_left_out: the oldest turns of a conversation, which no longer fit the window.
        filled: the object and its fields, if a schema was asked for.
    """

    generation: Generation
    reading: ReadingStats
    kv: KVStats
    warnings: tuple[str, ...] = ()
    attended: tuple[tuple[int, float], ...] = ()
    question: str = ""
    verdict: Verdict | None = None
    found: bool | None = None
    reason: str = ""
    guess: str = ""
    check_failure: Exception | None = None
    attention: Sequence[float] | None = None
    turns_left_out: int = 0
    filled: FilledSchema | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """The inputs of a task.

    Attributes:
        engine: the loaded model.
        corpus: the text.
        method: the compression method.
        scoring_method: makes the method that scores parts, for an observation window of n tokens.
        excerpt_method: the method for passages that were chosen for a question.
        max_tokens: the maximum length of an answer.
        sampling: how tokens are chosen.
        on_progress: called with the progress of prefill.
        parts: saves the results of the parts of a long text.
        passages: how many to answer from if the text does not fit the window, and how many if no
            passage says what the first answer says.
        whole_below: as in `Window`.
        check: whether to judge answers by the text.
        strict: whether to show supported answers only.
        thinking: whether the model may think.
        max_thinking: the most tokens it may think for one answer.
        on_thought: receives what it thinks.
        reuse: states of the text from earlier questions; None if there can be none.
        recorder: records what becomes of each token of the text; None unless that is wanted.
        window: the model's context window, with the prompts built so far for this task.
    """

    engine: Engine
    corpus: Corpus
    method: Method
    scoring_method: Callable[[int], Method]
    excerpt_method: Method
    max_tokens: int
    sampling: Sampling
    on_progress: TokenProgress
    parts: PartStore = field(default_factory=lambda: PartStore(enabled=False))
    passages: tuple[int, int] = (6, 3)
    whole_below: int | None = None
    check: bool = True
    strict: bool = False
    thinking: Thinking = Thinking.OFF
    max_thinking: int = DEFAULT_THINKING_TOKENS
    on_thought: OnThought = ignore_thought
    reuse: Reuse | None = None
    recorder: MapRecorder | None = None
    window: Window = field(init=False, compare=False)

    def __post_init__(self) -> None:
        size = self.engine.decoder.max_context
        window = open_window(
            self.tokenizer,
            size,
            self.max_tokens,
            self.whole_below,
            thinking=self.thinking,
            max_thinking=self.max_thinking,
        )
        object.__setattr__(self, "window", window)

    @property
    def tokenizer(self) -> Any:
        return self.engine.tokenizer

    @property
    def thinks(self) -> bool:
        """Whether the model may think, as far as its template leaves that open."""
        return self.window.thinks

    def form(self, ends_at: str) -> AnswerForm:
        """How answers stand in what the model generates; one of a base model ends at a break."""
        thoughts = find_thought_format(self.tokenizer, thinks=self.thinks)
        if thoughts is None:
            return AnswerForm(ends_at=ends_at)
        reserved = self.window.thinking_tokens
        most = min(self.max_thinking, reserved) if reserved else self.max_thinking
        return AnswerForm(thoughts, most, on_thought=self.on_thought)

    def _constrained_form(self) -> AnswerForm:
        """The form of a grammar's text: after thinking only where the prompt has begun it."""
        form = self.form("")
        is_begun = form.thoughts is not None and form.thoughts.splitter().is_thinking
        return form if is_begun else AnswerForm()

    def room(self, task: str) -> int:
        """The number of tokens of text that fit the window beside a task and its answer.

        Raises:
            ContextError: as `Window.room`.
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
        ends_at: str = "\n",
    ) -> Iterator[Piece | Outcome]:
        """Answer a task from a text that fits the window; the last event is the outcome.

        Args:
            token_ids: the text.
            task: the instruction.
            label: of the progress bar.
            reading: how the text was obtained.
            parts_kv: KV statistics of earlier prompts, on parts of the text.
            until: whether to stop generating; called after each token.
            sources: the corpus position of each token of the text, negative for none; None if the
                text is not from the documents.
            recurs: whether other tasks will have the same text, so that its state is worth keeping.
            history: the earlier turns of the conversation.
            ends_at: the line breaks that end the answer of a base model.
        """
        if self.recorder is not None and sources is not None:
            self.recorder.begin_answer()
        events = self.stream(
            token_ids,
            task,
            self.max_tokens,
            label,
            until=until,
            recurs=recurs,
            history=history,
            sources=sources,
            ends_at=ends_at,
        )
        for event in events:
            if isinstance(event, Piece):
                yield event
            else:
                kv = combine_kv([*parts_kv, event.kv])
                reading = replace(reading, state=None if self.reuse is None else self.reuse.stats)
                warnings = _end_warnings(event, self.max_tokens)
                if event.thinking is not None and event.thinking.was_closed:
                    warnings = (_CUT_THINKING.format(event.thinking.tokens), *warnings)
                start = self.window.frame(task, history).document_span.start
                scores = (event.token_scores or [])[start:]
                yield Outcome(event, reading, kv, warnings, most_attended(scores, sources or ()))

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
        sources: Sequence[int] | None = None,
        ends_at: str = "\n",
        grammar: str | None = None,
    ) -> Iterator[Piece | Generation]:
        """Run the model on a text and a task, after the earlier turns of a conversation.

        Progress is reported under `label`, in tokens: `before` of `total` were done with other
        parts. Generation stops when `until`, called after each token, returns true. If the text
        `recurs`, its state is kept for the next task. `sources` and `ends_at`: see `answer`. With a
        `grammar`, nothing but its texts is generated.
        """
        num_tokens = len(token_ids)

        def on_progress(share: float) -> None:
            read = before + round(share * num_tokens)
            self.on_progress(label, read, num_tokens if total is None else total)

        on_progress(0.0)
        prompt = self.window.frame(task, history).with_document(token_ids)
        events = self.engine.stream(
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
            traces_tokens=self.recorder is not None,
            form=self.form(ends_at) if grammar is None else self._constrained_form(),
            grammar=grammar,
        )
        if self.recorder is None or sources is None:
            return events
        return self.recorder.listen(events, prompt.document_span.start, sources)


def _end_warnings(generation: Generation, max_tokens: int) -> tuple[str, ...]:
    """Warnings about how the answer ended."""
    if generation.finish_reason == "length":
        return (f"the answer stops at {max_tokens:,} tokens: allow more with --max-tokens",)
    if generation.finish_reason == "loop":
        return ("the answer was stopped because the model began to repeat itself",)
    return ()
