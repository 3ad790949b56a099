"""Predict how a text will be processed, before the model runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..config import Length
from ..forecasts import ReadingForecast
from ..prompts.prompt import ask_task, summary_task
from .answer_question import EXCERPT_NOTE, split_to_score
from .corpus import Corpus
from .key_points import split_to_read
from .work import Window


def forecast_ask(corpus: Corpus, window: Window, questions: Sequence[str]) -> ReadingForecast:
    """The forecast of `ask`, for the question of a run that leaves the least room for text.

    Raises:
        ContextError: when it leaves none.
    """
    room = min(window.room(ask_task(question), corpus.num_tokens) for question in questions)
    if corpus.num_tokens <= window.whole(room):
        return _in_one_prompt(corpus, window, room)
    parts = split_to_score(corpus, room)
    way = "scored, and answered from the best passages"
    forecast = _in_parts(corpus, parts, window.size - room + _longest(parts), way)
    return replace(forecast, note=EXCERPT_NOTE, fits_window=corpus.num_tokens <= room)


def forecast_summary(corpus: Corpus, window: Window, length: Length) -> ReadingForecast:
    """The forecast of `summarize`.

    Raises:
        ContextError: when the window leaves no room for text.
    """
    room = window.room(summary_task(length), corpus.num_tokens)
    if corpus.num_tokens <= room:
        return _in_one_prompt(corpus, window, room)
    parts = split_to_read(corpus, room)
    way = "scored, and the summary made of the key sentences"
    return _in_parts(corpus, parts, window.size - room + _longest(parts), way)


def _in_one_prompt(corpus: Corpus, window: Window, room: int) -> ReadingForecast:
    return ReadingForecast(corpus.num_tokens, 1, window.size - room + corpus.num_tokens)


def _in_parts(corpus: Corpus, parts: list[slice], longest: int, way: str) -> ReadingForecast:
    return ReadingForecast(corpus.num_tokens, len(parts), longest, way, fits_window=False)


def _longest(parts: list[slice]) -> int:
    return int(max(part.stop - part.start for part in parts))
