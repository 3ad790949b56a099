"""Ask every question with every method, and record the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from ...store.journal import Journal
from ..arms import FULL, Arm, full_arm
from ..measure_context import Progress
from .questions import Question
from .scoring import contains, token_f1

if TYPE_CHECKING:
    from ...engine.generate import Engine

MAX_ANSWER_TOKENS = 32
TIMED_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Result:
    """One scored answer: the fields of `Comparison`, and two scores."""

    question: str
    arm: str
    correct: float
    f1: float
    agrees: bool
    kl: float
    kept_ratio: float
    compute_ratio: float
    text: str


def ask_all(
    engine: Engine,
    questions: Sequence[Question],
    arms: Sequence[Arm],
    journal: Journal,
    on_progress: Progress,
) -> list[Result]:
    """Answer every question with full and every arm; results in the journal are reused."""
    from ...engine.compare import Comparison

    total = len(questions) * (len(arms) + 1)
    results: list[Result] = []
    for question in questions:
        wanted = {f"{question.key} {arm.label}": arm for arm in arms}
        keys = [f"{question.key} {FULL}", *wanted]
        if not all(key in journal.results for key in keys):
            prompt = question.prompt(engine.tokenizer)
            comparison = Comparison(
                engine, prompt.token_ids, prompt.question_span, MAX_ANSWER_TOKENS
            )
            for key in keys:
                if key in journal.results:
                    continue
                arm = wanted.get(key)
                compared = comparison.full() if arm is None else comparison.compare(arm.method)
                label = FULL if arm is None else arm.label
                journal.add(key, asdict(_scored(question, label, compared)))
                done = len(results) + keys.index(key) + 1
                on_progress(f"{question.suite}, {question.length:,} tokens", done, total)
        results += [Result(**journal.results[key]) for key in keys]
        on_progress(f"{question.suite}, {question.length:,} tokens", len(results), total)
    return results


def time_all(
    engine: Engine,
    questions: Sequence[Question],
    arms: Sequence[Arm],
    journal: Journal,
    on_progress: Progress,
) -> dict[str, float]:
    """Time to first token as a share of full's, by arm.

    Uses one prompt of the middle length, in rounds: full, then every arm, each with its own
    prefill; the median of the rounds' ratios.
    """
    lengths = sorted({question.length for question in questions})
    middle = lengths[len(lengths) // 2]
    question = next(question for question in questions if question.length == middle)
    prompt = question.prompt(engine.tokenizer)
    methods = {FULL: full_arm().method, **{arm.label: arm.method for arm in arms}}
    total, seconds = TIMED_ROUNDS * len(methods), []
    for at in range(TIMED_ROUNDS):
        for done, (label, method) in enumerate(methods.items()):
            key = f"timed {at} {label}"
            if key not in journal.results:
                on_progress(f"timing, {middle:,} tokens", at * len(methods) + done, total)
                generation = engine.generate(
                    prompt.token_ids, method, 1, question=prompt.question_span
                )
                journal.add(key, {"ttft_s": generation.stats.ttft_s})
        seconds.append(
            {label: journal.results[f"timed {at} {label}"]["ttft_s"] for label in methods}
        )
    return {
        arm.label: median(round_s[arm.label] / round_s[FULL] for round_s in seconds) for arm in arms
    }


def _scored(question: Question, label: str, compared: Any) -> Result:
    return Result(
        question=question.key,
        arm=label,
        correct=contains(compared.text, question.answers),
        f1=token_f1(compared.text, question.answers),
        agrees=compared.agrees,
        kl=compared.kl,
        kept_ratio=compared.kept_ratio,
        compute_ratio=compared.compute_ratio,
        text=compared.text,
    )
