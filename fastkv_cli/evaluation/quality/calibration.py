"""Choose TSP layer and rate for each preset by measurement (FastKV, section 4.2, eq. 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...config import Budget, MethodSettings, Preset, Suite
from ...store.journal import Journal
from ..measure_context import MeasureContext
from .quality_options import CalibrationOptions
from .quality_run import MAX_ANSWER_TOKENS
from .questions import Question
from .scoring import contains
from .suites import Questionnaire, digest

if TYPE_CHECKING:
    from ...engine.methods import Method

LENGTHS = (1000, 2000, 4000)
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


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """The measurement of every setting, and the choices.

    Attributes:
        settings: every setting.
        presets: the setting of each preset, in the form that `load_tuning` reads.
        tolerance: the share of full's answers that `balanced` may lose.
        measured: all of it with what it was measured with, as JSON values: what is saved.
    """

    settings: Sequence[Setting]
    presets: Mapping[Preset, Mapping[str, Any]]
    tolerance: float
    measured: Mapping[str, Any]


def calibrate_model(context: MeasureContext, options: CalibrationOptions) -> CalibrationReport:
    """Measure every setting, and choose one for each preset.

    Raises:
        FastKVError: on any failure; results so far are kept for the next run.
    """
    tolerance = options.tolerated_loss
    lengths = context.lengths_that_fit(LENGTHS, MAX_ANSWER_TOKENS)
    each = -(-options.samples // (2 * len(lengths)))
    asked = Questionnaire(
        (Suite.NEEDLE, Suite.RULER), lengths, each, options.seed, texts=options.texts
    )
    questions = asked.questions(context.engine.tokenizer)
    with context.open_journal({"calibrate": digest(questions)}) as journal:
        settings = measure_settings(context, questions, BUDGETS[Preset.BALANCED], journal)
    presets = choose_presets(settings, tolerance)
    measured = {
        **context.stamp,
        "tolerance": tolerance,
        "seed": options.seed,
        "questions": len(questions),
        "lengths": lengths,
        "presets": presets,
        "scoring_layer": scoring_layer(settings),
        "settings": [asdict(setting) for setting in settings],
    }
    return CalibrationReport(settings, presets, tolerance, measured)


def candidate_layers(num_layers: int, global_layers: Sequence[int]) -> list[int]:
    """The global layers from a third of the depth, before which nothing is understood, to 3/4.

    Where none lies there, the one nearest to the middle.
    """
    span = range(num_layers // 3, num_layers * 3 // 4 + 1)
    inside = [layer for layer in global_layers if layer in span]
    return inside or [min(global_layers, key=lambda layer: abs(2 * layer - num_layers))]


def measure_settings(
    context: MeasureContext, questions: Sequence[Question], budget: float, journal: Journal
) -> list[Setting]:
    """Measure every layer and rate on the same questions; results in the journal are reused.

    If the full model answers no question correctly, no answer can be lost, and settings differ in
    distance alone.
    """
    decoder = context.engine.decoder
    methods = {
        (layer, rate): _method(context, layer, rate, budget)
        for layer in candidate_layers(decoder.num_layers, decoder.shape(1).global_layers)
        for rate in RATES
    }
    for number, question in enumerate(questions, start=1):
        if question.key not in journal.results:
            label = f"question {number} of {len(questions)}"
            journal.add(question.key, _try(context, question, list(methods.values()), label))
    tried = [journal.results[question.key] for question in questions]
    full = fmean(one["full"] for one in tried)
    square = fmean(one["square"] for one in tried)
    return [
        Setting(
            tsp_layer=layer,
            tsp_rate=rate,
            distance=fmean(one["distances"][at] for one in tried) / square,
            accuracy=fmean(one["scores"][at] for one in tried),
            of_full=fmean(one["scores"][at] for one in tried) / full if full else 1.0,
            compute_ratio=fmean(one["compute"][at] for one in tried),
        )
        for at, (layer, rate) in enumerate(methods)
    ]


def _try(
    context: MeasureContext, question: Question, methods: Sequence[Method], label: str
) -> dict[str, Any]:
    """Ask one question with full and with every method."""
    from ...engine.compare import Comparison

    prompt = question.prompt(context.engine.tokenizer)
    comparison = Comparison(
        context.engine, prompt.token_ids, prompt.question_span, MAX_ANSWER_TOKENS
    )
    compared, on_progress = [], context.report_progress("settings")
    for done, method in enumerate(methods):
        on_progress(label, done, len(methods))
        compared.append(comparison.compare(method))
    return {
        "full": contains(comparison.full().text, question.answers),
        "square": comparison.hidden_square,
        "scores": [contains(one.text, question.answers) for one in compared],
        "distances": [one.hidden_distance for one in compared],
        "compute": [one.compute_ratio for one in compared],
    }


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


def choose_presets(settings: Sequence[Setting], tolerance: float) -> dict[Preset, dict[str, Any]]:
    """Choose a setting for each preset, in the form that `load_tuning` reads.

    `balanced` has the user's tolerance, `quality` half of it, and `fast` twice the tolerance in
    distance and up to `FAST_LOSS` in answers.
    """
    rich = [one for one in settings if one.tsp_rate >= BUDGETS[Preset.QUALITY]]
    chosen = {
        Preset.FAST: choose(settings, max(FAST_LOSS, tolerance), 2 * tolerance),
        Preset.BALANCED: choose(settings, tolerance, tolerance),
        Preset.QUALITY: choose(rich, tolerance / 2, tolerance / 2),
    }
    return {
        preset: {**asdict(one), "budget": min(BUDGETS[preset], one.tsp_rate)}
        for preset, one in chosen.items()
    }


def scoring_layer(settings: Sequence[Setting]) -> int:
    """The layer with the best accuracy at the lowest rates, to score passages of long texts."""
    layers = sorted({one.tsp_layer for one in settings})
    few = [one for one in settings if one.tsp_rate <= RATES[1]]
    return max(
        layers, key=lambda layer: fmean(one.accuracy for one in few if one.tsp_layer == layer)
    )


def _method(context: MeasureContext, layer: int, rate: float, budget: float) -> Method:
    from ...engine.methods import build_method

    settings = MethodSettings(budget=Budget(rate=min(budget, rate)), tsp_layer=layer, tsp_rate=rate)
    return build_method(settings, context.tuning)
