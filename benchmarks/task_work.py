"""The work of a task on a text: what the benchmarks of tasks share.

`fastkv_cli.session` sets work up for files, and loads a model for it; here one loaded model serves
many texts, some of them cut or made for the occasion.
"""

from __future__ import annotations

import sys

from fastkv_cli import Engine
from fastkv_cli.config import GREEDY, MethodSettings
from fastkv_cli.engine.methods import build_method, build_scoring_method
from fastkv_cli.engine.tuning import load_tuning
from fastkv_cli.tasks import Work
from fastkv_cli.tasks.corpus import Corpus

_BY_DEFAULT = MethodSettings()


def make_work(
    engine: Engine,
    corpus: Corpus,
    max_tokens: int,
    settings: MethodSettings = _BY_DEFAULT,
    *,
    check: bool = True,
) -> Work:
    """Work as the command line sets it up, greedy, silent, and with nothing known of the text.

    Args:
        engine: the loaded model.
        corpus: the text.
        max_tokens: the most tokens to answer with.
        settings: how prompts are compressed.
        check: whether answers that the text cannot hold are refused.
    """
    tuning = load_tuning(engine.loaded.name, engine.loaded.revision)
    return Work(
        engine=engine,
        corpus=corpus,
        method=build_method(settings, tuning),
        scoring_method=lambda window: build_scoring_method(tuning, window),
        max_tokens=max_tokens,
        sampling=GREEDY,
        on_progress=lambda *_: None,
        check=check,
    )


def tell(line: str) -> None:
    """Say on stderr how far things are, or what went wrong with a state."""
    print(line, file=sys.stderr, flush=True)
