"""Put every question to every method, and take down what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from .journal import Journal
from .questions import Question
from .scoring import contains, token_f1

if TYPE_CHECKING:
    from ..engine.generate import Engine
    from ..engine.methods import Method

MAX_ANSWER_TOKENS = 32
FULL = "full"
# Told what is being done, how many results are there, and how many there will be.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Arm:
    """A method as it is evaluated.

    Attributes:
        label: a name of its own.
        name: of the method, or the preset.
        budget: as users write it.
        method: the method.
    """

    label: str
    name: str
    budget: str
    method: Method


@dataclass(frozen=True, slots=True)
class Result:
    """One answer, scored; the fields of `Comparison`, and two scores."""

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
    """Answer every question in full and with every arm; what the journal has is not done again."""
    from ..engine.compare import Comparison

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
    """Time to first token as a share of full's, by arm: the median over one prompt a length.

    Full and each arm are timed one right after the other, each with its own prefill.
    """
    longest = {question.length: question for question in questions}
    total, done = len(longest) * len(arms), 0
    ratios: dict[str, list[float]] = {arm.label: [] for arm in arms}
    for length, question in longest.items():
        prompt = question.prompt(engine.tokenizer)
        for arm in arms:
            key = f"timed {length} {arm.label}"
            if key not in journal.results:
                on_progress(f"timing, {length:,} tokens", done, total)
                full_s, arm_s = (
                    engine.generate(
                        prompt.token_ids, method, 1, question=prompt.question_span
                    ).stats.ttft_s
                    for method in (_full(), arm.method)
                )
                journal.add(key, {"full_s": full_s, "arm_s": arm_s})
            timed = journal.results[key]
            ratios[arm.label].append(timed["arm_s"] / timed["full_s"])
            done += 1
    return {label: median(values) for label, values in ratios.items() if values}


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


def _full() -> Method:
    from ..engine.methods import Full

    return Full()
