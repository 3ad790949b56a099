"""Choose a setting for each preset from those that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from ...config import Preset

RATES = (0.1, 0.2, 0.3, 0.5)
# The share of the KV cache that each preset keeps.
BUDGETS: dict[Preset, float] = {Preset.FAST: 0.2, Preset.BALANCED: 0.25, Preset.QUALITY: 0.5}
# The share of full's answers that `fast` may lose.
FAST_LOSS = 0.2


@dataclass(frozen=True, slots=True)
class Setting:
    """The measurement of one TSP layer and rate.

    Attributes:
        tsp_layer: ℓ*, 0-based.
        tsp_rate: share of the tokens propagated.
        distance: eq. 3: mean squared distance of the final hidden states to the full model's,
            divided by the mean square of those.
        accuracy: mean share of the answers found.
        of_full: accuracy divided by full's.
        compute_ratio: prefill FLOPs as a share of full's.
    """

    tsp_layer: int
    tsp_rate: float
    distance: float
    accuracy: float
    of_full: float
    compute_ratio: float


def choose(settings: Sequence[Setting], loss: float, distance: float) -> Setting:
    """The cheapest setting that loses at most a share of full's answers and stays near full.

    Two criteria, because either alone misleads: hidden states drift before answers are lost, and a
    small model can answer more with fewer distracting tokens, however far its hidden states are
    from full's. If no setting meets both, the nearest to full of those that meet the first; if
    none does, the nearest of those that lose least.
    """
    good = [one for one in settings if one.of_full >= 1 - loss]
    near = [one for one in good if one.distance <= distance]
    if near:
        return min(near, key=lambda one: (round(one.compute_ratio, 2), one.distance))
    most = max(one.of_full for one in settings)
    return min(good or [one for one in settings if one.of_full == most], key=lambda o: o.distance)


def limits_of(preset: Preset, tolerance: float) -> tuple[float, float]:
    """What a preset may lose: the share of full's answers, and the distance from full.

    `balanced` has the user's tolerance, `quality` half of it, and `fast` twice the tolerance in
    distance and up to `FAST_LOSS` in answers.
    """
    if preset is Preset.FAST:
        return max(FAST_LOSS, tolerance), 2 * tolerance
    share = tolerance / 2 if preset is Preset.QUALITY else tolerance
    return share, share


def choose_presets(settings: Sequence[Setting], tolerance: float) -> dict[Preset, dict[str, Any]]:
    """Choose a setting for each preset, in the form that `load_tuning` reads."""
    rich = [one for one in settings if one.tsp_rate >= BUDGETS[Preset.QUALITY]]
    chosen = {
        preset: choose(
            rich if preset is Preset.QUALITY else settings, *limits_of(preset, tolerance)
        )
        for preset in (Preset.FAST, Preset.BALANCED, Preset.QUALITY)
    }
    return {
        preset: {**asdict(one), "budget": min(BUDGETS[preset], one.tsp_rate)}
        for preset, one in chosen.items()
    }


def scoring_layer(settings: Sequence[Setting]) -> int:
    """The layer with the best accuracy at the lowest rates, to score passages of long texts."""
    few = [one for one in settings if one.tsp_rate <= RATES[1]]
    layers = sorted({one.tsp_layer for one in few})
    return max(
        layers, key=lambda layer: fmean(one.accuracy for one in few if one.tsp_layer == layer)
    )
