"""Which layer lets how many tokens go on: measured, not guessed (FastKV, section 4.2, eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from ..config import Budget, MethodSettings, Preset
from ..workbench import Bench
from .questions import Question
from .run import MAX_ANSWER_TOKENS
from .scoring import contains

RATES = (0.1, 0.2, 0.3, 0.5)
# What each preset keeps of the cache, and how many of full's answers it may lose; the tolerance of
# the default one is the user's.
BUDGETS: dict[Preset, float] = {Preset.FAST: 0.2, Preset.BALANCED: 0.25, Preset.QUALITY: 0.5}
FAST_TOLERANCE = 0.2


@dataclass(frozen=True, slots=True)
class Setting:
    """One TSP layer and rate, and what came of it.

    Attributes:
        tsp_layer: ℓ*, 0-based.
        tsp_rate: share of the tokens that go on.
        distance: eq. 3: mean squared distance of the final hidden states to the full model's.
        accuracy: mean share of the answers found.
        of_full: the same over full's.
        compute_ratio: prefill FLOPs as a share of full's.
    """

    tsp_layer: int
    tsp_rate: float
    distance: float
    accuracy: float
    of_full: float
    compute_ratio: float


def candidate_layers(num_layers: int) -> list[int]:
    """From a third of the depth, before which nothing is understood, to three quarters."""
    return list(range(num_layers // 3, num_layers * 3 // 4 + 1))


def measure_settings(bench: Bench, questions: Sequence[Question], budget: float) -> list[Setting]:
    """Every layer and rate, on the same questions."""
    from ..engine.compare import Comparison

    methods = {
        (layer, rate): _method(bench, layer, rate, budget)
        for layer in candidate_layers(bench.engine.decoder.num_layers)
        for rate in RATES
    }
    full: list[float] = []
    found: dict[tuple[int, float], list[tuple[float, float, float]]] = {at: [] for at in methods}
    for number, question in enumerate(questions):
        prompt = question.prompt(bench.engine.tokenizer)
        comparison = Comparison(
            bench.engine, prompt.token_ids, prompt.question_span, MAX_ANSWER_TOKENS
        )
        full.append(contains(comparison.full().text, question.answers))
        for done, (at, method) in enumerate(methods.items()):
            bench.bars.update(
                f"question {number + 1} of {len(questions)}", done, len(methods), "settings"
            )
            compared = comparison.compare(method)
            score = contains(compared.text, question.answers)
            found[at].append((score, compared.hidden_distance, compared.compute_ratio))
    return [
        Setting(
            tsp_layer=layer,
            tsp_rate=rate,
            distance=fmean(distance for _, distance, _ in results),
            accuracy=fmean(score for score, _, _ in results),
            of_full=fmean(score for score, _, _ in results) / max(fmean(full), 1e-9),
            compute_ratio=fmean(compute for _, _, compute in results),
        )
        for (layer, rate), results in found.items()
    ]


def choose(settings: Sequence[Setting], tolerance: float) -> Setting:
    """The cheapest setting that loses no more than the tolerance of full's answers.

    Of equally cheap ones the one nearest to the full model. Where none is good enough, the one
    that loses least.
    """
    good = [one for one in settings if one.of_full >= 1 - tolerance]
    if good:
        return min(good, key=lambda one: (round(one.compute_ratio, 2), one.distance))
    return min(settings, key=lambda one: (-one.of_full, one.distance))


def choose_presets(settings: Sequence[Setting], tolerance: float) -> dict[Preset, dict[str, Any]]:
    """A setting for each preset, in the form that `load_tuning` reads."""
    chosen = {
        Preset.FAST: choose(settings, max(FAST_TOLERANCE, tolerance)),
        Preset.BALANCED: choose(settings, tolerance),
        Preset.QUALITY: choose([s for s in settings if s.tsp_rate >= max(RATES)], 0.0),
    }
    return {
        preset: {**asdict(one), "budget": min(BUDGETS[preset], one.tsp_rate)}
        for preset, one in chosen.items()
    }


def scoring_layer(settings: Sequence[Setting]) -> int:
    """The layer that finds most at the lowest rates: it is to find passages of long texts."""
    layers = sorted({one.tsp_layer for one in settings})
    few = [one for one in settings if one.tsp_rate <= RATES[1]]
    return max(
        layers, key=lambda layer: fmean(one.accuracy for one in few if one.tsp_layer == layer)
    )


def _method(bench: Bench, layer: int, rate: float, budget: float) -> Any:
    from ..engine.methods import build_method

    settings = MethodSettings(budget=Budget(rate=min(budget, rate)), tsp_layer=layer, tsp_rate=rate)
    return build_method(settings, bench.tuning)
