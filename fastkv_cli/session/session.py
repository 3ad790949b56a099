"""Documents and a model, made ready once, and any number of tasks done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from ..cli.shown import Shown
from ..engine.generation import Piece
from ..engine.methods.tuning import load_tuning
from ..errors import FastKVError
from ..output.render.evidence_rows import cite_mark
from ..stats import Evidence, ModelStats, RunReport
from ..system.trust import cache_warning
from ..tasks import Outcome, PartStore, Work, gather_evidence
from .loading import load_engine
from .reading import read_documents
from .request import Request

_SCORING_WINDOW = 8  # tokens; the layer at which parts are scored does not depend on it
Task = Callable[[Work], Iterator[Piece | Outcome]]


@dataclass(frozen=True, slots=True)
class Session:
    """What every answer of a run starts from.

    Attributes:
        command: the command's name, for the reports.
        work: the loaded model, the text and the settings; a task has its own store of parts.
        settings: where the method's settings come from; empty where it has none.
        extract_s: seconds to read the documents from disk.
        load_s: seconds to load the model.
        warnings: of reading the documents, one line each.
    """

    command: str
    work: Work
    settings: str
    extract_s: float
    load_s: float
    warnings: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """Those of the documents, in order."""
        return [document.path for document in self.work.corpus.documents]

    def again(self) -> Session:
        """The same for a further answer: nothing is read or loaded for it."""
        return replace(self, extract_s=0.0, load_s=0.0)


def open_session(
    command: str, request: Request, max_tokens: int, shown: Shown, *, asks_again: bool = False
) -> Session:
    """Read the documents, load the model and tokenize the text.

    Args:
        command: the command's name.
        request: what is to be done.
        max_tokens: the most tokens to answer with.
        shown: what is seen of it.
        asks_again: whether there may be a further question, so that without a store what is known
            of the documents has to be held.

    Raises:
        FastKVError: when a document cannot be read, or the model cannot be had.
    """
    documents, extract_s = read_documents(request.sources, request.read, shown.bars, shown.warn)
    shown.bars.update("starting")
    if warning := cache_warning():
        shown.warn(warning)
    engine = load_engine(request.model, request, shown.bars)
    from ..engine.methods import build_method, build_scoring_method
    from ..engine.reuse.states import make_reuse

    tuning = load_tuning(engine.loaded.name, engine.loaded.revision)
    method = build_method(request.method, tuning)
    scoring_method = partial(build_scoring_method, tuning)
    longest = engine.decoder.shape(engine.decoder.max_context)
    method.plan(engine.decoder.shape(1))  # a TSP layer that the model lacks fails here
    engine.reset_peak_memory()
    shown.bars.update("tokenizing")
    from ..tasks.corpus import join_documents

    work = Work(
        engine=engine,
        corpus=join_documents(documents, engine.tokenizer, request.read.extract_timeout_s),
        method=method,
        scoring_method=scoring_method,
        max_tokens=max_tokens,
        sampling=request.sampling,
        on_progress=shown.progress,
        check=request.check,
        reuse=make_reuse(
            request.store,
            shown.warn,
            [reading.plan(longest) for reading in (method, scoring_method(_SCORING_WINDOW))],
            tuple(document.path for document in documents),
            asks_again=asks_again,
        ),
    )
    return Session(
        command=command,
        work=work,
        settings=tuning.describe(request.method),
        extract_s=extract_s,
        load_s=engine.load_s,
        warnings=tuple(shown.warnings),
    )


def answer(session: Session, task: Task, shown: Shown, parts: PartStore) -> RunReport:
    """Do one task, showing its answer as it comes.

    Args:
        session: what it starts from.
        task: what to do with the text.
        shown: what is seen of this answer, warnings of reading the documents left out.
        parts: keeps what is made of the parts of a long text.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    work = replace(session.work, parts=parts, on_progress=shown.progress)
    if work.reuse is not None:
        work.reuse.start()
    outcome = _do(task, work, shown)
    of_states = [] if work.reuse is None else work.reuse.warnings
    evidence = _find_evidence(outcome, work, shown)
    cited = evidence.citations if session.command == "summarize" else evidence.citations[:1]
    mark = cite_mark(cited, paths=session.paths) if shown.cites else ""
    shown.end_answer(mark, outcome)
    loaded = work.engine.loaded
    return RunReport(
        command=session.command,
        question=outcome.question,
        turns_left_out=outcome.turns_left_out,
        answer=outcome.generation.text + mark,
        model=ModelStats(
            name=loaded.name,
            revision=loaded.revision,
            dtype=loaded.dtype_name,
            device=str(loaded.device),
            attention=str(work.engine.kernel),
            decode_weights=work.engine.decode_weights,
        ),
        documents=work.corpus.stats,
        reading=outcome.reading,
        generation=outcome.generation.stats,
        kv=outcome.kv,
        extract_s=session.extract_s,
        load_s=session.load_s,
        settings=session.settings,
        warnings=(*session.warnings, *of_states, *shown.warnings),
        evidence=evidence,
    )


def _find_evidence(outcome: Outcome, work: Work, shown: Shown) -> Evidence:
    """What the documents say of an answer; a fault in looking it up is a warning.

    The answer has been seen by then, and it may have taken minutes.
    """
    try:
        if outcome.check_failure is not None:
            raise outcome.check_failure
        return gather_evidence(outcome, work.corpus, check=work.check)
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer stays)
        shown.warn_of(error, "the answer was not looked up in the documents")
        return Evidence()


def _do(task: Task, work: Work, shown: Shown) -> Outcome:
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
