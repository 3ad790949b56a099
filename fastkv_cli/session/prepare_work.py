"""From the options of a session to the inputs of its tasks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..config import DEFAULT_ANSWER_TOKENS, Preset
from ..tasks import Work
from .observer import Observer
from .options import SessionOptions

if TYPE_CHECKING:
    from ..engine.generate import Engine
    from ..engine.methods import Method
    from ..engine.tuning import Tuning
    from ..tasks.corpus import Corpus

_SCORING_WINDOW = 8  # tokens; the layer that scores parts, wanted here, does not depend on it


def build_preset(options: SessionOptions, preset: Preset, tuning: Tuning) -> Method:
    """The compression method; `preset` is for users who name none."""
    from ..engine.methods import build_method

    return build_method(options.method_settings(preset), tuning)


def prepare_work(
    engine: Engine,
    corpus: Corpus,
    options: SessionOptions,
    preset: Preset,
    tuning: Tuning,
    observer: Observer,
    *,
    asks_again: bool,
) -> Work:
    """The inputs of all tasks with a preset.

    Args:
        engine: the loaded model.
        corpus: the tokenized documents.
        options: of the session.
        preset: the task's, for users who name none.
        tuning: the model's.
        observer: receives progress and warnings.
        asks_again: whether another question may follow.
    """
    from ..engine.methods import Full, build_scoring_method
    from ..engine.reuse.states import make_reuse

    method = build_preset(options, preset, tuning)
    scoring_method = partial(build_scoring_method, tuning)
    longest = engine.decoder.shape(engine.decoder.max_context)
    readers = (method, scoring_method(_SCORING_WINDOW))
    return Work(
        engine=engine,
        corpus=corpus,
        method=method,
        scoring_method=scoring_method,
        excerpt_method=Full(),
        passages=tuning.passages,
        whole_below=tuning.whole_below_for(options.method_settings(preset)),
        max_tokens=DEFAULT_ANSWER_TOKENS,
        sampling=options.sampling,
        on_progress=observer.progress,
        check=options.check,
        strict=options.strict,
        thinking=options.thinking,
        max_thinking=options.max_thinking,
        on_thought=observer.thought,
        reuse=make_reuse(
            options.store_mode,
            observer.warning,
            [reader.plan(longest) for reader in readers],
            tuple(document.path for document in corpus.documents),
            asks_again=asks_again,
        ),
    )
