"""Search plans with several steps of propagation, around the best one with a single step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from statistics import fmean
from typing import Any

from ...config import Budget, MethodName, MethodSettings, Preset
from ...propagation import PropagationStep
from ...store.journal import Journal
from ..measure_context import MeasureContext
from .preset_choice import BUDGETS, Setting, choose, limits_of
from .quality_run import MAX_ANSWER_TOKENS
from .questions import Question
from .scoring import contains

Steps = tuple[PropagationStep, ...]

# Distances of the steps from the best single step, as shares of the depth: 2 and 4 of 30 layers.
_DISTANCES = (1 / 15, 2 / 15)
_MOST_EARLY = 0.8  # an earlier step that propagates more is not worth its scores


def early_steps(layer: int, rate: float, layers: Sequence[int], num_layers: int) -> list[Steps]:
    """Plans that begin before a single step: twice its rate earlier, and half of it in the end.

    Args:
        layer: of the best single step.
        rate: its rate.
        layers: that attend to all tokens.
        num_layers: L.
    """
    found = []
    for share in _DISTANCES:
        away = max(round(share * num_layers), 1)
        wanted = [(layer - away, 2 * rate), (layer + away, rate), (layer + 3 * away, rate / 2)]
        if 2 * rate <= _MOST_EARLY:
            found += [_steps(wanted[:2], layers), _steps(wanted, layers)]
    return [steps for steps in dict.fromkeys(found) if steps]


def late_steps(layer: int, rate: float, layers: Sequence[int], num_layers: int) -> list[Steps]:
    """Plans that go on behind a single step: a prefix state that ends there loses nothing."""
    aways = [max(round(2 * share * num_layers), 1) for share in _DISTANCES]
    found = [_steps([(layer, rate), (layer + away, rate / 2)], layers) for away in aways]
    return [steps for steps in dict.fromkeys(found) if steps]


def _steps(wanted: Sequence[tuple[int, float]], layers: Sequence[int]) -> Steps:
    """Steps at the nearest layers that attend to all tokens; empty where these are too few."""
    places = [min(layers, key=lambda each: (abs(each - layer), each)) for layer, _ in wanted]
    if wanted[-1][0] > layers[-1] or any(after <= before for before, after in pairwise(places)):
        return ()
    return tuple(
        PropagationStep(place, round(rate, 3))
        for place, (_, rate) in zip(places, wanted, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Proposal:
    """Steps to try for a preset, at its budget."""

    preset: Preset
    steps: Steps

    @property
    def settings(self) -> MethodSettings:
        """Of the method that follows the steps."""
        budget = Budget(rate=BUDGETS[self.preset])
        return MethodSettings(MethodName.CASCADE, budget, tsp_steps=self.steps)

    def key(self, question: Question) -> str:
        """Of a result in the journal."""
        return f"{question.key} {self} {BUDGETS[self.preset]:g}"

    def __str__(self) -> str:
        return ",".join(map(str, self.steps))


@dataclass(frozen=True, slots=True)
class StepSearch:
    """Tries plans with several steps on questions; results in the journal are reused.

    Attributes:
        context: the model, and whom to tell how far it is.
        questions: that the single steps were tried on.
        journal: of the results.
    """

    context: MeasureContext
    questions: Sequence[Question]
    journal: Journal

    def improve(
        self, presets: Mapping[Preset, Mapping[str, Any]], tolerance: float
    ) -> dict[Preset, dict[str, Any]]:
        """Give presets several steps where those are cheaper within what the preset may lose.

        `fast` may begin earlier, which shortens what a prefix state holds, so that a further
        question costs more. `balanced` may only go on behind its TSP layer. `quality` has one step.

        Returns:
            The presets with `tsp_steps` and their figures where several steps were chosen;
            `tsp_layer` and `tsp_rate` stay, for methods with one step.
        """
        decoder = self.context.engine.decoder
        layers, num_layers = decoder.shape(1).global_layers, decoder.num_layers
        plans = [
            Proposal(preset, steps)
            for preset, propose in ((Preset.FAST, early_steps), (Preset.BALANCED, late_steps))
            for steps in propose(
                presets[preset]["tsp_layer"], presets[preset]["tsp_rate"], layers, num_layers
            )
        ]
        self._ask_all(plans)
        improved = {preset: dict(chosen) for preset, chosen in presets.items()}
        for preset, chosen in improved.items():
            single = Setting(**{each.name: chosen[each.name] for each in fields(Setting)})
            tried = {self._setting(plan): plan for plan in plans if plan.preset is preset}
            best = choose([single, *tried], *limits_of(preset, tolerance))
            if best in tried:
                place = {name: chosen[name] for name in ("tsp_layer", "tsp_rate")}
                chosen.update(asdict(best) | place | {"tsp_steps": str(tried[best])})
        return improved

    def _ask_all(self, plans: Sequence[Proposal]) -> None:
        """Ask every question with the plans that the journal lacks."""
        from ...engine.compare import Comparison
        from ...engine.methods import build_method

        engine, on_progress = self.context.engine, self.context.report_progress("questions")
        for number, question in enumerate(self.questions):
            missing = [plan for plan in plans if plan.key(question) not in self.journal.results]
            if not missing:
                continue
            on_progress("several steps", number, len(self.questions))
            prompt = question.prompt(engine.tokenizer)
            comparison = Comparison(
                engine, prompt.token_ids, prompt.question_span, MAX_ANSWER_TOKENS
            )
            full = contains(comparison.full().text, question.answers)
            for plan in missing:
                compared = comparison.compare(build_method(plan.settings, self.context.tuning))
                result = {
                    "full": full,
                    "square": comparison.hidden_square,
                    "score": contains(compared.text, question.answers),
                    "distance": compared.hidden_distance,
                    "compute": compared.compute_ratio,
                }
                self.journal.add(plan.key(question), result)

    def _setting(self, plan: Proposal) -> Setting:
        """The means of a plan over the questions."""
        tried = [self.journal.results[plan.key(each)] for each in self.questions]
        full, square, score, distance, compute = (
            fmean(one[name] for one in tried)
            for name in ("full", "square", "score", "distance", "compute")
        )
        of_full = score / full if full else 1.0
        first = plan.steps[0]
        return Setting(first.layer, first.rate, distance / square, score, of_full, compute)
