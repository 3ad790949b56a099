"""A session: documents and a model are opened once, and answer any number of tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..config import DEFAULT_ANSWER_TOKENS, DEFAULT_MAX_TOKENS, Length, Preset, StoreMode
from ..engine.generation import Piece
from ..engine.tuning import tuning_of
from ..errors import FastKVError, UsageError
from ..evidence.places import cite_mark
from ..prompts.prompt import Turn
from ..stats import DocumentStats
from ..system.trust import cache_warning
from ..tasks import Outcome, PartStore, Work, ask, extract, summarize
from ..tasks.reading_map import MapRecorder
from ..thinking_mode import Thinking
from .answer import Answer
from .answer_options import check_question
from .loading import load_engine, thinks_anyway
from .observer import SILENT, Observer
from .options import SessionOptions
from .prepare_work import build_preset, prepare_work
from .reading import read_documents
from .reports import SetupStats, answer_warnings, find_evidence, make_report
from .summary_options import SummaryOptions

if TYPE_CHECKING:
    from ..documents import Document
    from ..engine.generate import Engine
    from ..fields.field import Schema
    from .conversation import Chat

Task = Callable[[Work], Iterator[Piece | Outcome]]


class Session:
    """Documents and a loaded model, for any number of questions and summaries.

    One thread at a time may use it: a second one gets a UsageError. Use it as a context manager, or
    call `close`, which frees the model and the document states in memory.

    Attributes:
        documents: the documents.
        resumes: whether tasks continue an interrupted run.
        last: the last finished answer; None before the first, and while one is generated.
        kept_parts: saved parts of an interrupted task, as `12 of 40 parts are kept`; or nothing.
        read_in_parts: whether the last task processed the text in parts.
    """

    def __init__(
        self,
        sources: Sequence[str | Document],
        options: SessionOptions,
        observer: Observer = SILENT,
        *,
        engine: Engine | None = None,
        command: str = "",
        resume: bool = False,
        asks_again: bool = True,
        maps: bool = False,
    ) -> None:
        """Read the documents, load the model and tokenize the text.

        Args:
            sources: files, folders, patterns, "-" for standard input; or documents read already.
            options: how to read, compress and answer.
            observer: receives progress, warnings and pieces of answers.
            engine: of the model in `options`, shared with other sessions; None loads one.
            command: the command's name in reports; empty for the task's own.
            resume: continue an interrupted run from its finished parts.
            asks_again: whether more questions may follow; without a store, states stay in memory.
            maps: record what becomes of each sentence, for `Answer.to_html`.

        Raises:
            FastKVError: when a document cannot be read, or the model cannot be loaded.
        """
        options.check_all()
        self.options, self.observer = options, observer
        self._command, self.resumes, self._asks_again = command, resume, asks_again
        self._maps, self._lock = maps, threading.Lock()
        self._parts: PartStore | None = None
        self._work_by_preset: dict[Preset, Work] = {}
        self._warnings: list[str] = []
        self.last: Answer | None = None
        self.kept_parts, self.read_in_parts = "", False
        keeps = options.store_mode is not StoreMode.OFF
        documents, extract_s = read_documents(
            sources, options.read, observer, self._warn, keeps_scans=keeps
        )
        self.documents = tuple(documents)
        observer.progress("starting")
        if warning := cache_warning():
            self._warn(warning)
        load_s = 0.0
        if engine is None:
            engine = load_engine(options.model, options, observer)
            load_s = engine.load_s
        self._engine: Engine | None = engine
        self._tuning = tuning_of(engine.loaded)
        method = build_preset(options, Preset.BALANCED, self._tuning)
        method.plan(engine.decoder.shape(1))  # fails if the model has no such TSP layer
        if options.thinking is Thinking.OFF and thinks_anyway(engine):
            self._warn(f"{engine.loaded.name} has no switch to turn thinking off: it is hidden")
        engine.reset_peak_memory()
        observer.progress("tokenizing")
        from ..tasks.corpus import join_documents

        self._corpus = join_documents(self.documents, engine.tokenizer, options.extract_timeout)
        self._setup = SetupStats(extract_s, load_s, tuple(self._warnings))

    def ask(self, question: str) -> Answer:
        """Answer a question from the documents, whatever their length.

        Raises:
            UsageError: when the question is empty, or another thread is using the session.
            ContextError: when the question leaves no room for text in the model's window.
            FastKVError: on any other failure.
        """
        return self._last_after(self.stream(question))

    def stream(self, question: str) -> Iterator[str]:
        """Stream the answer to a question; `last` is the answer once complete. Raises as `ask`."""
        answer = extract if self.options.extractive else ask
        task = partial(answer, question=check_question(question))
        return self._stream("ask", task, DEFAULT_ANSWER_TOKENS)

    def fill(self, schema: Schema | str) -> Answer:
        """Fill in a schema, given as for `--schema`; its object is `Answer.value`. See `ask`."""
        return self._last_after(self.stream_fields(schema))

    def stream_fields(self, schema: Schema | str) -> Iterator[str]:
        """Stream the JSON of a filled schema; takes and raises the same as `fill`."""
        from ..fields.read_schema import OBJECT_TOKENS, as_schema
        from ..tasks.fill_schema import fill

        return self._stream("ask", partial(fill, schema=as_schema(schema)), OBJECT_TOKENS)

    def summarize(self, length: Length | str = Length.MEDIUM, **others: str | None) -> Answer:
        """Summarize the documents, whatever their length.

        Args:
            length: "short", "medium" or "long".
            others: `style` and `language`, as in `SummaryOptions`.

        Raises:
            UsageError: when a value is unknown, or another thread is using the session.
            FastKVError: on any other failure.
        """
        return self._last_after(self.stream_summary(length, **others))

    def stream_summary(
        self, length: Length | str = Length.MEDIUM, **others: str | None
    ) -> Iterator[str]:
        """Stream a summary; takes and raises the same as `summarize`."""
        options = SummaryOptions.of(length, **others)
        task = partial(summarize, **options.settings)
        return self._stream("summarize", task, DEFAULT_MAX_TOKENS[options.length], Preset.QUALITY)

    def chat(self) -> Chat:
        """Start a conversation, in which each prompt holds the earlier turns."""
        from .conversation import Chat

        return Chat(self)

    def drop_parts(self) -> None:
        """Remove the saved parts of the last task, once its answer has been written."""
        self._close_parts(remove=True)

    def close(self) -> None:
        """Free the model and the document states in memory; answers stay usable."""
        self.drop_parts()
        self._engine = None
        self._work_by_preset.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._close_parts(remove=False)  # so that the next run can resume
        self.close()

    @property
    def paths(self) -> list[str]:
        return [document.path for document in self.documents]

    @property
    def document_stats(self) -> tuple[DocumentStats, ...]:
        return self._corpus.stats

    def stream_turn(self, question: str, history: Sequence[Turn]) -> Iterator[str]:
        """Stream the answer to a question of a conversation, with its earlier turns."""
        task = partial(ask, question=check_question(question), history=history)
        return self._stream("chat", task, DEFAULT_ANSWER_TOKENS, saves_parts=False)

    def _stream(
        self,
        name: str,
        task: Task,
        max_tokens: int,
        preset: Preset = Preset.BALANCED,
        *,
        saves_parts: bool = True,
    ) -> Iterator[str]:
        """Lock the session and stream the answer of a task, with its default limit and preset."""
        if not self._lock.acquire(blocking=False):
            raise UsageError(
                "the session is in use by another thread", "open one session for each thread"
            )
        try:
            yield from self._run_task(
                self._command or name,
                task,
                self.options.max_tokens or max_tokens,
                preset,
                saves_parts=saves_parts,
            )
        finally:
            self._lock.release()

    def _run_task(
        self, command: str, task: Task, max_tokens: int, preset: Preset, *, saves_parts: bool
    ) -> Iterator[str]:
        """Stream the answer of a task, check it, and set `last`."""
        self.drop_parts()
        self.last, self._warnings = None, []
        parts = self._parts = PartStore(
            enabled=saves_parts, resume=self.resumes, warn=self._warn, note=self.observer.note
        )
        parts.__enter__()
        recorder = MapRecorder(self._corpus) if self._maps else None
        work = self._work_for(preset)
        work = replace(work, parts=parts, max_tokens=max_tokens, recorder=recorder)
        if work.reuse is not None:
            work.reuse.start()
        outcome: Outcome | None = None
        try:
            for event in task(work):
                if isinstance(event, Piece):
                    yield event.text  # the caller stores it before it is printed: Ctrl-C may follow
                    self.observer.piece(event.text)
                else:
                    outcome = event
        except BaseException:
            self._close_parts(remove=False)
            raise
        finally:
            self.read_in_parts = parts.has_parts
        if outcome is None:
            raise FastKVError("the task ended without an outcome")
        evidence = find_evidence(outcome, work, self.options.quotes, self.observer, self._warnings)
        cited = evidence.citations if command == "summarize" else evidence.citations[:1]
        mark = cite_mark(cited, paths=self.paths) if self.options.cite else ""
        if mark:
            yield mark
            self.observer.piece(mark)
        self.observer.end_answer()
        for text in answer_warnings(outcome):
            self._warn(text)
        settings = self._tuning.describe(self.options.method_settings(preset))
        report = make_report(
            command, work, outcome, evidence, mark, settings, self._setup, self._warnings
        )
        self.last = Answer(report, mark, recorder.build(outcome.attention) if recorder else None)
        # the next answer reads no document and loads no model
        self._setup = replace(self._setup, extract_s=0.0, load_s=0.0)

    def _last_after(self, pieces: Iterator[str]) -> Answer:
        """The finished answer, after consuming its pieces."""
        for _ in pieces:
            pass
        assert self.last is not None
        return self.last

    def _close_parts(self, *, remove: bool) -> None:
        """Close the last task's store of parts; remove its results, or leave them for resuming."""
        if self._parts is None:
            return
        if remove:
            self._parts.finish()
        else:
            self.kept_parts = self._parts.kept
        self._parts.__exit__(None, None, None)
        self._parts = None

    def _work_for(self, preset: Preset) -> Work:
        """The inputs of all tasks with a preset; built once.

        Raises:
            UsageError: when the session is closed.
        """
        if self._engine is None:
            raise UsageError("the session is closed", "open a new one")
        if preset in self._work_by_preset:
            return self._work_by_preset[preset]
        work = self._work_by_preset[preset] = prepare_work(
            self._engine,
            self._corpus,
            self.options,
            preset,
            self._tuning,
            self.observer,
            asks_again=self._asks_again,
        )
        return work

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        self.observer.warning(text)
