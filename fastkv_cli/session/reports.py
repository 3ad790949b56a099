"""Builds the report of an answer from the outcome of its task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import as_failure
from ..stats import Evidence, ModelStats, RunReport
from ..tasks import Outcome, Work, gather_evidence
from .observer import Observer


@dataclass(frozen=True, slots=True)
class SetupStats:
    """Time and warnings of a session's setup that count towards the next answer's report.

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
    """Find the evidence for an answer in the documents; a failure becomes a warning.

    By then the answer has been printed and may have taken minutes, so no failure may discard it.
    """
    if outcome.filled is not None:  # each of its fields has its own
        return Evidence()
    try:
        if outcome.check_failure is not None:
            raise outcome.check_failure
        return gather_evidence(outcome, work.corpus, check=work.check, num_quotes=num_quotes)
    except Exception as error:  # noqa: BLE001 (any failure: the answer stays)
        text = f"the answer was not checked against the documents: {as_failure(error)}"
        warnings.append(text)
        observer.failure(error, text)
        return Evidence()


def answer_warnings(outcome: Outcome) -> Iterator[str]:
    """Warnings about an answer, one line each."""
    if not outcome.generation.text.strip():
        yield "the model returned an empty answer"
    yield from outcome.warnings


def make_report(
    command: str,
    work: Work,
    outcome: Outcome,
    evidence: Evidence,
    mark: str,
    settings: str,
    setup: SetupStats,
    warnings: Sequence[str],
) -> RunReport:
    """Build the report of an answer.

    Args:
        command: the command's name in the report.
        work: the model and the text.
        outcome: the outcome of the task.
        evidence: the result of checking the answer against the documents.
        mark: the citation at the end of the answer, or nothing.
        settings: the source of the method's settings.
        setup: seconds and warnings of reading the documents and loading the model.
        warnings: those about this answer.
    """
    loaded = work.engine.loaded
    state_warnings = () if work.reuse is None else work.reuse.warnings
    return RunReport(
        command=command,
        question=outcome.question,
        filled=outcome.filled,
        turns_left_out=outcome.turns_left_out,
        answer=outcome.generation.text + mark,
        model=ModelStats(
            name=loaded.name,
            revision=loaded.revision,
            dtype=loaded.dtype_name,
            device=str(loaded.device),
            attention=str(work.engine.kernel),
            decode_weights=work.engine.decode_weights,
            prefill_weights=work.engine.prefill_models.format,
        ),
        documents=work.corpus.stats,
        reading=outcome.reading,
        generation=outcome.generation.stats,
        thinking=outcome.generation.thinking,
        kv=outcome.kv,
        extract_s=setup.extract_s,
        load_s=setup.load_s,
        settings=settings,
        warnings=(*setup.warnings, *state_warnings, *warnings),
        evidence=evidence,
    )
