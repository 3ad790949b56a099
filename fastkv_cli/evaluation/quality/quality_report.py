"""The results of an evaluation: figures with confidence intervals, for tables and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..arms import FULL, Arm
from .quality_run import Result
from .questions import Question
from .scoring import Interval, mean_interval, ratio_interval


@dataclass(frozen=True, slots=True)
class Row:
    """One method at one budget, over some questions.

    Attributes:
        arm: the arm's label.
        name: of the method or preset.
        budget: as users write it.
        count: number of questions.
        accuracy: mean share of the answers contained, with Wilson's 95% interval.
        of_full: accuracy divided by full's on the same questions, with a paired bootstrap interval.
        f1: mean token F1.
        agreement: share of the answers identical to full's, token for token.
        kl: mean KL(full ‖ arm) of the first token, in nats.
        kept_ratio: mean share of the KV bytes kept.
        compute_ratio: mean share of the prefill FLOPs.
        ttft_ratio: median time to first token divided by full's; None if not timed.
    """

    arm: str
    name: str
    budget: str
    count: int
    accuracy: Interval
    of_full: Interval
    f1: float
    agreement: Interval
    kl: float
    kept_ratio: float
    compute_ratio: float
    ttft_ratio: float | None

    @property
    def differs_from_full(self) -> bool:
        """Whether the interval of `of_full` excludes 1."""
        return self.of_full.low > 1 or self.of_full.high < 1


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Rows over all questions and over those of each suite, and needle scores by position.

    Attributes:
        settings: the settings of the run, and the versions used.
        rows: full first.
        suites: rows by suite.
        needles: by arm, mean score by (length, depth).
        questions: the keys of all questions.
        scores: by arm, the score of each question, so that others can recompute the figures.
    """

    settings: Mapping[str, Any]
    rows: tuple[Row, ...]
    suites: Mapping[str, tuple[Row, ...]]
    needles: Mapping[str, Mapping[tuple[int, float], float]]
    questions: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]


def summarise(
    settings: Mapping[str, Any],
    questions: Sequence[Question],
    arms: Sequence[Arm],
    results: Sequence[Result],
    ttft_ratios: Mapping[str, float],
    seed: int,
) -> EvaluationReport:
    """Summarize the results of `ask_all` and `time_all`."""
    full = [(FULL, FULL, "100%")]
    columns = full + [(arm.label, arm.name, arm.budget) for arm in arms]
    by_arm = {
        label: {result.question: result for result in results if result.arm == label}
        for label, _, _ in columns
    }

    def rows(chosen: Sequence[Question]) -> tuple[Row, ...]:
        keys = [question.key for question in chosen]
        reference = [by_arm[FULL][key].correct for key in keys]
        return tuple(
            _row(
                column,
                [by_arm[column[0]][key] for key in keys],
                reference,
                1.0 if column[0] == FULL else ttft_ratios.get(column[0]),
                seed,
            )
            for column in columns
        )

    suites = {question.suite: None for question in questions}
    return EvaluationReport(
        settings=settings,
        rows=rows(questions),
        suites={name: rows([q for q in questions if q.suite == name]) for name in suites},
        needles={label: _by_place(questions, found) for label, found in by_arm.items()},
        questions=tuple(question.key for question in questions),
        scores={
            label: tuple(found[question.key].correct for question in questions)
            for label, found in by_arm.items()
        },
    )


def _row(
    column: tuple[str, str, str],
    results: Sequence[Result],
    reference: Sequence[float],
    ttft_ratio: float | None,
    seed: int,
) -> Row:
    correct = [result.correct for result in results]
    return Row(
        *column,
        count=len(results),
        accuracy=mean_interval(correct),
        of_full=ratio_interval(correct, reference, seed),
        f1=fmean(result.f1 for result in results),
        agreement=mean_interval([float(result.agrees) for result in results]),
        kl=fmean(result.kl for result in results),
        kept_ratio=fmean(result.kept_ratio for result in results),
        compute_ratio=fmean(result.compute_ratio for result in results),
        ttft_ratio=ttft_ratio,
    )


def _by_place(
    questions: Sequence[Question], found: Mapping[str, Result]
) -> dict[tuple[int, float], float]:
    """Mean needle score at each length and depth."""
    places: dict[tuple[int, float], list[float]] = {}
    for question in questions:
        if question.suite == "needle":
            place = (question.length, question.depth)
            places.setdefault(place, []).append(found[question.key].correct)
    return {place: fmean(scores) for place, scores in places.items()}
