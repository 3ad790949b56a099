"""From a task's outcome to the report of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import as_failure
from ..stats import Evidence, ModelStats, RunReport
from ..tasks import Outcome, Work, gather_evidence
from .observer import Observer


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening a session took, as far as an answer's report counts it.

    Attributes:
        extract_s: seconds to read the documents from disk.
        load_s: seconds to load the model.
        warnings: one line each.
    """

    extract_s: float
    load_s: float
    warnings: tuple[str, ...] = ()


def find_evidence(
    outcome: Outcome, work: Work, num_quotes: int, observer: Observer, warnings: list[str]
) -> Evidence:
    """What the documents say of an answer; a fault in looking it up is a warning.

    The answer has been seen by then, and it may have taken minutes.
    """
    try:
        if outcome.check_failure is not None:
            raise outcome.check_failure
        return gather_evidence(outcome, work.corpus, check=work.check, num_quotes=num_quotes)
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer stays)
        text = f"the answer was not looked up in the documents: {as_failure(error)}"
        warnings.append(text)
        observer.failure(error, text)
        return Evidence()


def end_warnings(outcome: Outcome) -> Iterator[str]:
    """What a reader of the answer should know, one line each."""
    if not outcome.generation.text.strip():
        yield "the model gave an empty answer"
    yield from outcome.warnings


def make_report(
    command: str,
    work: Work,
    outcome: Outcome,
    evidence: Evidence,
    mark: str,
    settings: str,
    opening: Opening,
    warnings: Sequence[str],
) -> RunReport:
    """Put together all that is known of an answer.

    Args:
        command: what stands in the report.
        work: the model and the text.
        outcome: of the task.
        evidence: what the documents say of the answer.
        mark: the pages behind it, or nothing.
        settings: where the method's settings come from.
        opening: what reading and loading took.
        warnings: of this answer.
    """
    loaded = work.engine.loaded
    of_states = () if work.reuse is None else work.reuse.warnings
    return RunReport(
        command=command,
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
        extract_s=opening.extract_s,
        load_s=opening.load_s,
        settings=settings,
        warnings=(*opening.warnings, *of_states, *warnings),
        evidence=evidence,
    )
