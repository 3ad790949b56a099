"""Try TSP layers and rates on questions: all of them, or those that a time limit allows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from statistics import fmean
from typing import Any

from ...config import Budget, MethodSettings, Preset
from ...durations import format_duration
from ...errors import UsageError
from ...store.journal import Journal
from ..measure_context import MeasureContext
from .preset_choice import BUDGETS, RATES, Setting, choose_presets
from .quality_run import MAX_ANSWER_TOKENS
from .questions import Question
from .scoring import contains

Place = tuple[int, float]  # a TSP layer and rate

# A coarse grid has every fourth part of the layers, and the rates that the presets choose between.
_COARSE_LAYERS, _COARSE_RATES = 4, (RATES[1], RATES[3])
_TOO_SHORT = 1.5  # of a limit, a forecast from one question, which may be wrong


@dataclass(frozen=True, slots=True)
class Found:
    """What a search measured.

    Attributes:
        settings: tried on the same questions.
        num_places: that could have been tried.
        num_asked: questions that every setting was tried on.
    """

    settings: Sequence[Setting]
    num_places: int
    num_asked: int


@dataclass(slots=True)
class SettingSearch:
    """Tries settings on questions; results in the journal are reused.

    Attributes:
        context: the model, and whom to tell how far it is.
        questions: in an order of which every beginning has all suites and lengths.
        journal: of the results.
        started: on the monotonic clock.
    """

    context: MeasureContext
    questions: Sequence[Question]
    journal: Journal
    started: float
    _token_s: float | None = None  # for each setting; None until a question was asked

    def try_all(self, layers: Sequence[int]) -> Found:
        """Try every layer and rate on every question."""
        grid = list(product(layers, RATES))
        self._try(grid, self.questions, None, grid)
        return Found(self._settings(grid, self.questions), len(grid), len(self.questions))

    def try_within(self, layers: Sequence[int], limit_s: float, tolerance: float) -> Found:
        """Try a coarse grid first, then settings around the best, as long as there is time.

        The coarse grid is tried on as many questions as half of the time allows, the others on the
        same ones. If all settings were tried, the rest of the questions follows.

        Raises:
            UsageError: when the time is not enough for one question of each suite and length.
        """
        grid, end = list(product(layers, RATES)), self.started + limit_s
        step = max(len(layers) // _COARSE_LAYERS, 1)
        tried = list(product(layers[step // 2 :: step], _COARSE_RATES))
        least = len({(each.suite, each.length) for each in self.questions})
        self._try(tried, self.questions[:1], end, grid)
        self._check_limit(tried, self.questions[:least], limit_s)
        asked = self._try(tried, self.questions, self.started + limit_s / 2, grid)
        if len(asked) < least:
            asked = self._try(tried, self.questions[:least], end, grid)
        if len(asked) < least:
            raise _too_short(limit_s, f"{len(asked)} of at least {least} questions were asked")
        for places in self._refinements(tried, asked, layers, tolerance):
            if len(self._try(places, asked, end, grid)) < len(asked):
                break
            tried += places
        else:
            asked = self._try(grid, self.questions, end, grid)
        return Found(self._settings(tried, asked), len(grid), len(asked))

    def _refinements(
        self,
        tried: Sequence[Place],
        asked: Sequence[Question],
        layers: Sequence[int],
        tolerance: float,
    ) -> Iterator[list[Place]]:
        """Yield settings to try: the neighbours of the presets, nearer and nearer; then the rest.

        `tried` grows with each of them that was tried.
        """
        step = max(len(layers) // _COARSE_LAYERS, 1)
        while step:
            presets = choose_presets(self._settings(tried, asked), tolerance).values()
            best = {(each["tsp_layer"], each["tsp_rate"]) for each in presets}
            near = {place for each in best for place in _neighbours(each, layers, step)}
            if new := sorted(near - {*tried}):
                yield new
            else:
                step //= 2
        for layer in layers:
            if new := [(layer, rate) for rate in RATES if (layer, rate) not in tried]:
                yield new

    def _try(
        self,
        places: Sequence[Place],
        questions: Sequence[Question],
        end: float | None,
        grid: Sequence[Place],
    ) -> list[Question]:
        """Try settings on questions until a time; returns those on which all were tried."""
        asked: list[Question] = []
        for question in questions:
            missing = [each for each in places if _key(question, each) not in self.journal.results]
            if missing:
                before = time.monotonic()
                label = f"question {len(asked) + 1} of {len(questions)}"
                if not self._ask(question, missing, label, end):
                    break
                each_s = (time.monotonic() - before) / len(missing)
                self._tell_time(question, each_s, grid, is_limited=end is not None)
            asked.append(question)
        return asked

    def _ask(
        self, question: Question, places: Sequence[Place], label: str, end: float | None
    ) -> bool:
        """Ask one question with full and with settings; returns whether there was time for all."""
        from ...engine.compare import Comparison

        if end is not None and time.monotonic() >= end:
            return False
        engine, on_progress = self.context.engine, self.context.report_progress("settings")
        prompt = question.prompt(engine.tokenizer)
        comparison = Comparison(engine, prompt.token_ids, prompt.question_span, MAX_ANSWER_TOKENS)
        full = {
            "full": contains(comparison.full().text, question.answers),
            "square": comparison.hidden_square,
        }
        for done, place in enumerate(places):
            on_progress(label, done, len(places))
            if end is not None and time.monotonic() >= end:
                return False
            compared = comparison.compare(_method(self.context, *place))
            result = {
                "score": contains(compared.text, question.answers),
                "distance": compared.hidden_distance,
                "compute": compared.compute_ratio,
            }
            self.journal.add(_key(question, place), full | result)
        return True

    def _tell_time(
        self, first: Question, each_s: float, grid: Sequence[Place], *, is_limited: bool
    ) -> None:
        """Foretell the time of what is left, from the first question that was asked."""
        if self._token_s is not None:
            return
        self._token_s = each_s / first.length
        left = self._token_s * self._tokens_left(grid, self.questions)
        if left:
            count = f"{len(self.questions)} questions with {len(grid)} settings"
            verb = "would take" if is_limited else "take"
            self.context.observer.note(f"{count} {verb} about {format_duration(left)}")

    def _tokens_left(self, places: Sequence[Place], questions: Sequence[Question]) -> int:
        """Tokens of the prompts of all settings that were not tried."""
        results = self.journal.results
        return sum(
            question.length
            for question in questions
            for place in places
            if _key(question, place) not in results
        )

    def _check_limit(
        self, places: Sequence[Place], questions: Sequence[Question], limit_s: float
    ) -> None:
        """Raise a UsageError when the first question shows that the time is too short."""
        if self._token_s is None:
            return
        left_s = self._token_s * self._tokens_left(places, questions)
        needed_s = time.monotonic() - self.started + left_s
        if needed_s > _TOO_SHORT * limit_s:
            raise _too_short(limit_s, f"it takes at least {format_duration(needed_s)}")

    def _settings(self, places: Sequence[Place], questions: Sequence[Question]) -> list[Setting]:
        """The means of each setting over questions.

        If the full model answers none correctly, no answer can be lost, and settings differ in
        distance alone.
        """
        settings = []
        for layer, rate in places:
            tried: list[dict[str, Any]] = [
                self.journal.results[_key(question, (layer, rate))] for question in questions
            ]
            full, square = (fmean(one[name] for one in tried) for name in ("full", "square"))
            accuracy = fmean(one["score"] for one in tried)
            settings.append(
                Setting(
                    tsp_layer=layer,
                    tsp_rate=rate,
                    distance=fmean(one["distance"] for one in tried) / square,
                    accuracy=accuracy,
                    of_full=accuracy / full if full else 1.0,
                    compute_ratio=fmean(one["compute"] for one in tried),
                )
            )
        return settings


def _too_short(limit_s: float, what: str) -> UsageError:
    return UsageError(
        f"--minutes {limit_s / 60:g} is not enough: {what}",
        "run the same command again with more minutes: what was measured is kept",
    )


def mix(questions: Sequence[Question]) -> list[Question]:
    """Order questions so that every beginning has all suites and lengths, as far as it can."""
    groups: dict[tuple[str, int], list[Question]] = {}
    for question in questions:
        groups.setdefault((question.suite, question.length), []).append(question)
    return [each for row in zip_longest(*groups.values()) for each in row if each is not None]


def _neighbours(place: Place, layers: Sequence[int], step: int) -> Iterator[Place]:
    """The settings `step` layers before and behind one, and those with the next rates."""
    layer, rate = place
    at, rate_at = layers.index(layer), RATES.index(rate)
    for near in (at - step, at + step):
        if 0 <= near < len(layers):
            yield layers[near], rate
    for near in (rate_at - 1, rate_at + 1):
        if 0 <= near < len(RATES):
            yield layer, RATES[near]


def _key(question: Question, place: Place) -> str:
    layer, rate = place
    return f"{question.key} {layer} {rate:g}"


def _method(context: MeasureContext, layer: int, rate: float) -> Any:
    budget = Budget(rate=min(BUDGETS[Preset.BALANCED], rate))
    from ...engine.methods import build_method

    settings = MethodSettings(budget=budget, tsp_layer=layer, tsp_rate=rate)
    return build_method(settings, context.tuning)
