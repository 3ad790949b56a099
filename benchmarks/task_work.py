"""The work of a task on a text, shared by the benchmarks of tasks.

`fastkv_cli.session` sets up work for files, and loads a model for it. Here one loaded model serves
many texts, some of them truncated or generated.
"""

from __future__ import annotations

import sys

from fastkv_cli import Engine
from fastkv_cli.config import GREEDY, MethodSettings
from fastkv_cli.engine.methods import Full, build_method, build_scoring_method
from fastkv_cli.engine.tuning import tuning_of
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
    """Make the same work as the command line: greedy, silent, and without earlier states.

    Args:
        engine: the loaded model.
        corpus: the text.
        max_tokens: the maximum length of an answer.
        settings: the method settings.
        check: whether answers that the text cannot contain are refused.
    """
    tuning = tuning_of(engine.loaded)
    return Work(
        engine=engine,
        corpus=corpus,
        method=build_method(settings, tuning),
        scoring_method=lambda window: build_scoring_method(tuning, window),
        excerpt_method=Full(),
        passages=tuning.passages,
        whole_below=tuning.whole_below_for(settings),
        max_tokens=max_tokens,
        sampling=GREEDY,
        on_progress=lambda *_: None,
        check=check,
    )


def tell(line: str) -> None:
    """Print progress, or a problem with a state, on stderr."""
    print(line, file=sys.stderr, flush=True)
