"""Documents and a model, opened once, and any number of tasks done with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..config import DEFAULT_ANSWER_TOKENS, DEFAULT_MAX_TOKENS, Length, Preset
from ..engine.generation import Piece
from ..engine.tuning import load_tuning
from ..errors import FastKVError, UsageError
from ..evidence.places import cite_mark
from ..prompts.prompt import Turn
from ..stats import DocumentStats
from ..system.trust import cache_warning
from ..tasks import Outcome, PartStore, Work, ask, summarize
from .answer import Answer
from .loading import load_engine
from .observer import SILENT, Observer
from .options import SessionOptions
from .reading import read_documents
from .reports import Opening, end_warnings, find_evidence, make_report
from .summary_options import SummaryOptions

if TYPE_CHECKING:
    from ..engine.generate import Engine
    from ..engine.methods import Method
    from .conversation import Chat

_SCORING_WINDOW = 8  # tokens; the layer at which parts are scored does not depend on it
Task = Callable[[Work], Iterator[Piece | Outcome]]


class Session:
    """What every answer about some documents starts from.

    One thread at a time may use it: a second one gets a UsageError. Use as a context manager, or
    call `close`, which frees the model and what is held of the documents.

    Attributes:
        documents: as they were read.
        resumes: whether tasks continue an interrupted run.
        last: the answer that was finished last; None before the first, and while one grows.
        kept_parts: what an interrupted task has kept, as `12 of 40 parts are kept`; or nothing.
        read_in_parts: whether the last task read the text in parts.
    """

    def __init__(
        self,
        sources: Sequence[str],
        options: SessionOptions,
        observer: Observer = SILENT,
        *,
        command: str = "",
        resume: bool = False,
        asks_again: bool = True,
    ) -> None:
        """Read the documents, load the model and tokenize the text.

        Args:
            sources: files, folders and patterns; "-" is standard input.
            options: how to read, compress and answer.
            observer: told what the session does.
            command: stands in the reports in place of the task's name.
            resume: continue an interrupted run from its finished parts.
            asks_again: whether there may be a further question, so that without a store what is
                known of the documents has to be held in memory.

        Raises:
            FastKVError: when a document cannot be read, or the model cannot be had.
        """
        options.check_all()
        self.options, self.observer = options, observer
        self._command, self.resumes, self._asks_again = command, resume, asks_again
        self._lock = threading.Lock()
        self._parts: PartStore | None = None
        self._works: dict[Preset, Work] = {}
        self._warnings: list[str] = []
        self.last: Answer | None = None
        self.kept_parts, self.read_in_parts = "", False
        documents, extract_s = read_documents(sources, options.read, observer, self._warn)
        self.documents = tuple(documents)
        observer.progress("starting")
        if warning := cache_warning():
            self._warn(warning)
        engine = load_engine(options.model, options, observer)
        self._engine: Engine | None = engine
        self._tuning = load_tuning(engine.loaded.name, engine.loaded.revision)
        method = self._method(Preset.BALANCED)
        method.plan(engine.decoder.shape(1))  # a TSP layer that the model lacks fails here
        engine.reset_peak_memory()
        observer.progress("tokenizing")
        from ..tasks.corpus import join_documents

        self._corpus = join_documents(self.documents, engine.tokenizer, options.extract_timeout)
        self._opening = Opening(extract_s, engine.load_s, tuple(self._warnings))

    def ask(self, question: str) -> Answer:
        """Answer a question from the documents, whatever their length.

        Raises:
            UsageError: when the question is empty, or another thread is at work here.
            ContextError: when the question leaves no room for text in the model's window.
            FastKVError: whatever else went wrong.
        """
        return self._finish(self.stream(question))

    def stream(self, question: str) -> Iterator[str]:
        """Answer a question piece by piece; `last` is the answer once it is finished.

        Raises as `ask`.
        """
        return self._do("ask", partial(ask, question=_checked(question)), DEFAULT_ANSWER_TOKENS)

    def summarize(self, length: Length | str = Length.MEDIUM, **others: str | None) -> Answer:
        """Summarize the documents, whatever their length.

        Args:
            length: "short", "medium" or "long".
            others: `style` and `language`, as in `SummaryOptions`.

        Raises:
            UsageError: when a value is unknown, or another thread is at work here.
            FastKVError: whatever else went wrong.
        """
        return self._finish(self.stream_summary(length, **others))

    def stream_summary(
        self, length: Length | str = Length.MEDIUM, **others: str | None
    ) -> Iterator[str]:
        """Summarize piece by piece; takes and raises the same as `summarize`."""
        options = SummaryOptions.of(length, **others)
        task = partial(summarize, **options.settings)
        return self._do("summarize", task, DEFAULT_MAX_TOKENS[options.length], Preset.QUALITY)

    def chat(self) -> Chat:
        """Begin a conversation: each question knows the turns before it."""
        from .conversation import Chat

        return Chat(self)

    def drop_parts(self) -> None:
        """Forget the parts of the last task: its answer is where it belongs."""
        self._settle_parts(finished=True)

    def close(self) -> None:
        """Free the model and what is held of the documents; the answers so far stay."""
        self.drop_parts()
        self._engine = None
        self._works.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._settle_parts(finished=False)  # so that a further run can resume
        self.close()

    @property
    def paths(self) -> list[str]:
        return [document.path for document in self.documents]

    @property
    def document_stats(self) -> tuple[DocumentStats, ...]:
        return self._corpus.stats

    def stream_turn(self, question: str, history: Sequence[Turn]) -> Iterator[str]:
        """Answer a question of a conversation piece by piece, behind the turns before it."""
        task = partial(ask, question=_checked(question), history=history)
        return self._do("chat", task, DEFAULT_ANSWER_TOKENS, keeps_parts=False)

    def _do(
        self,
        name: str,
        task: Task,
        max_tokens: int,
        preset: Preset = Preset.BALANCED,
        *,
        keeps_parts: bool = True,
    ) -> Iterator[str]:
        """Run a task, giving its answer as it comes."""
        if not self._lock.acquire(blocking=False):
            raise UsageError(
                "the session is in use by another thread", "open one session for each thread"
            )
        try:
            yield from self._run(
                self._command or name,
                task,
                self.options.max_tokens or max_tokens,
                preset,
                keeps_parts=keeps_parts,
            )
        finally:
            self._lock.release()

    def _run(
        self, command: str, task: Task, max_tokens: int, preset: Preset, *, keeps_parts: bool
    ) -> Iterator[str]:
        self.drop_parts()
        self.last, self._warnings = None, []
        parts = self._parts = PartStore(
            enabled=keeps_parts,
            resume=self.resumes,
            warn=self._warn,
            note=self.observer.note,
        )
        parts.__enter__()
        work = replace(self._work(preset), parts=parts, max_tokens=max_tokens)
        if work.reuse is not None:
            work.reuse.start()
        outcome: Outcome | None = None
        try:
            for event in task(work):
                if isinstance(event, Piece):
                    yield event.text  # kept by who takes it before it is seen: Ctrl-C may come
                    self.observer.piece(event.text)
                else:
                    outcome = event
        except BaseException:
            self._settle_parts(finished=False)
            raise
        finally:
            self.read_in_parts = parts.is_open
        if outcome is None:
            raise FastKVError("the task ended without an outcome")
        evidence = find_evidence(outcome, work, self.options.quotes, self.observer, self._warnings)
        cited = evidence.citations if command == "summarize" else evidence.citations[:1]
        mark = cite_mark(cited, paths=self.paths) if self.options.cite else ""
        if mark:
            yield mark
            self.observer.piece(mark)
        self.observer.end_answer()
        for text in end_warnings(outcome):
            self._warn(text)
        settings = self._tuning.describe(self.options.method_settings(preset))
        report = make_report(
            command, work, outcome, evidence, mark, settings, self._opening, self._warnings
        )
        self.last = Answer(report, mark)
        # nothing is read or loaded for a further answer
        self._opening = replace(self._opening, extract_s=0.0, load_s=0.0)

    def _finish(self, pieces: Iterator[str]) -> Answer:
        for _ in pieces:
            pass
        assert self.last is not None
        return self.last

    def _settle_parts(self, *, finished: bool) -> None:
        """Let go of what the last task kept: for good where it has ended well."""
        if self._parts is None:
            return
        if finished:
            self._parts.finish()
        else:
            self.kept_parts = self._parts.kept
        self._parts.__exit__(None, None, None)
        self._parts = None

    def _method(self, preset: Preset) -> Method:
        from ..engine.methods import build_method

        return build_method(self.options.method_settings(preset), self._tuning)

    def _work(self, preset: Preset) -> Work:
        """What tasks of a preset start from; made once.

        Raises:
            UsageError: when the session is closed.
        """
        if self._engine is None:
            raise UsageError("the session is closed", "open another one")
        if preset in self._works:
            return self._works[preset]
        from ..engine.methods import build_scoring_method
        from ..engine.reuse.states import make_reuse

        engine, method = self._engine, self._method(preset)
        scoring_method = partial(build_scoring_method, self._tuning)
        longest = engine.decoder.shape(engine.decoder.max_context)
        readers = (method, scoring_method(_SCORING_WINDOW))
        work = self._works[preset] = Work(
            engine=engine,
            corpus=self._corpus,
            method=method,
            scoring_method=scoring_method,
            max_tokens=DEFAULT_ANSWER_TOKENS,
            sampling=self.options.sampling,
            on_progress=self.observer.progress,
            check=self.options.check,
            reuse=make_reuse(
                self.options.store_mode,
                self.observer.warning,
                [reader.plan(longest) for reader in readers],
                tuple(self.paths),
                asks_again=self._asks_again,
            ),
        )
        return work

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        self.observer.warning(text)


def _checked(question: str) -> str:
    if not question.strip():
        raise UsageError("the question is empty", "say what is to be answered")
    return question
