"""From a request to a report: read, load, answer, measure. The one road that commands take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .console import AnswerWriter, Messages, stderr_console
from .documents import Document
from .errors import FastKVError, InterruptedRunError
from .events import Piece
from .loading import load_engine
from .progress import ProgressBars
from .reading import read_documents
from .render import render_json, render_tables
from .render_evidence import cite_mark
from .request import Display, Request
from .stats import ModelStats, RunReport
from .tasks import Outcome, PartStore, Work, gather_evidence
from .tuning import load_tuning

Task = Callable[[Work], Iterator[Piece | Outcome]]


def run(command: str, request: Request, task: Task, max_tokens: int, display: Display) -> None:
    """Do one run and show it.

    Args:
        command: the command's name, for the report.
        request: what is to be done.
        task: what to do with the text, once all is loaded.
        max_tokens: the most tokens to answer with.
        display: how to show it.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    console = stderr_console()
    messages = Messages(console, quiet=display.quiet)
    writer = AnswerWriter(display.output, force=display.force)
    bars = ProgressBars(console, enabled=not display.quiet)
    writes = None if display.json else writer
    shown = _Shown(bars, messages, writes, max_tokens, display.cite)
    # Whether anything is kept of a run is decided here, and nowhere else.
    with PartStore(enabled=True, resume=request.resume, warn=shown.warn, note=shown.note) as parts:
        try:
            with bars:
                report = _answer(command, request, task, max_tokens, shown, parts)
        except Exception:
            writer.give_up()
            raise
        except KeyboardInterrupt:
            writer.give_up()
            raise _interrupted(display.output, parts) from None
        if display.json:
            writer.write(render_json(report))
        writer.finish()
        parts.finish()
    if display.stats if display.stats is not None else not display.json:
        messages.show(render_tables(report))


def _interrupted(output: Path | None, parts: PartStore) -> InterruptedRunError:
    """What became of a run that Ctrl-C ended."""
    unwritten = f"{output} was not written" if output else ""
    kept = f"{parts.kept}, run again with --resume" if parts.kept else ""
    return InterruptedRunError("interrupted", "; ".join(filter(None, (unwritten, kept))))


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a person sees while a run is at work; without a writer the answer is not streamed."""

    bars: ProgressBars
    messages: Messages
    writer: AnswerWriter | None
    max_tokens: int
    cites: bool
    warnings: list[str] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    def warn(self, text: str) -> None:
        self.bars.close()
        self.warnings.append(text)
        self.messages.warn(text)

    def note(self, text: str) -> None:
        self.bars.close()
        self.messages.note(text)

    def piece(self, piece: Piece) -> None:
        """Show some of the answer, or, where it is not seen as it comes, that it grows."""
        is_seen = self.writer is not None and self.writer.is_streaming
        if is_seen:
            self.bars.close()
        if self.writer is not None:
            self.writer.write(piece.text)
        self.pieces.append(piece)
        if not is_seen:
            self.bars.update("answering", len(self.pieces), self.max_tokens)

    def end_answer(self, mark: str, outcome: Outcome) -> None:
        """Close the answer's last line, so that the warnings on stderr stand below it."""
        self.bars.close()
        if self.writer is not None:
            self.writer.write(mark)
            self.writer.end_line()
        if not outcome.generation.text.strip():
            self.warn("the model gave an empty answer")
        for text in outcome.warnings:
            self.warn(text)


def _answer(
    command: str, request: Request, task: Task, max_tokens: int, shown: _Shown, parts: PartStore
) -> RunReport:
    documents, extract_s = read_documents(request.sources, request.read, shown.bars, shown.warn)
    work, settings = _prepare(request, documents, max_tokens, shown, parts)
    outcome = _do(task, work, shown)
    evidence = gather_evidence(outcome, work.corpus, check=work.check)
    cited = evidence.citations[:1] if command == "ask" else evidence.citations
    mark = cite_mark(cited, several=len(documents) > 1) if shown.cites else ""
    shown.end_answer(mark, outcome)
    if request.resume and not parts.is_open:
        shown.note("the text was read in one go: there was nothing to resume")
    loaded = work.engine.loaded
    return RunReport(
        command=command,
        answer=outcome.generation.text + mark,
        model=ModelStats(
            name=loaded.name,
            revision=loaded.revision,
            dtype=str(loaded.dtype).removeprefix("torch."),
            device=str(loaded.device),
            attention=str(work.engine.kernel),
            decode_weights=work.engine.decode_weights,
        ),
        documents=work.corpus.stats,
        reading=outcome.reading,
        generation=outcome.generation.stats,
        kv=outcome.kv,
        extract_s=extract_s,
        load_s=work.engine.load_s,
        settings=settings,
        warnings=tuple(shown.warnings),
        evidence=evidence,
    )


def _prepare(
    request: Request,
    documents: list[Document],
    max_tokens: int,
    shown: _Shown,
    parts: PartStore,
) -> tuple[Work, str]:
    """Load the model and tokenize the text; and where the method's settings come from."""
    shown.bars.update("starting")
    engine = load_engine(request.model, request, shown.bars)
    from .engine.methods import build_method, build_scoring_method

    tuning = load_tuning(engine.loaded.name, engine.loaded.revision)
    method = build_method(request.method, tuning)
    method.plan(engine.decoder.shape(1))  # a TSP layer that the model lacks fails here
    engine.reset_peak_memory()
    shown.bars.update("tokenizing")
    from .tasks.corpus import join_documents

    work = Work(
        engine=engine,
        corpus=join_documents(documents, engine.tokenizer),
        method=method,
        scoring_method=lambda window: build_scoring_method(tuning, window),
        max_tokens=max_tokens,
        sampling=request.sampling,
        on_progress=shown.bars.update,
        parts=parts,
        check=request.check,
    )
    return work, tuning.describe(request.method)


def _do(task: Task, work: Work, shown: _Shown) -> Outcome:
    """Run the task to its end, showing the answer as it comes."""
    outcome = None
    for event in task(work):
        if isinstance(event, Piece):
            shown.piece(event)
        else:
            outcome = event
    if outcome is None:
        raise FastKVError("the task ended without an outcome")
    return outcome
