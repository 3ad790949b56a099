"""Introduces the embedded model to whoever uses it first at a terminal: once."""

from __future__ import annotations

import sys
from typing import Any

from ..config import EMBEDDED_MODEL, cache_dir

_MARKER = "embedded-model-introduced"
_SEARCH_S = 3.0
_LARGEST = 9_000_000_000  # weights; larger models read a report in minutes on a CPU
_BETTER = 300_000_000


def introduce_embedded(options: Any) -> None:
    """Print what the embedded model is, and a better one that is on this disk.

    Nothing is printed into pipes, with --quiet, or where it cannot be noted that it was.

    Args:
        options: of a command, which may have a model or not.
    """
    from .option_sets import ChatOptions, RunOptions

    is_asking = isinstance(options, ChatOptions | RunOptions) and not options.json
    if getattr(options, "dry_run", False):
        return
    if not is_asking or options.model != EMBEDDED_MODEL or options.quiet:
        return
    if not all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr)):
        return
    if not _is_first():
        return
    from ..output.console import Messages, stderr_console

    Messages(stderr_console(), quiet=False).note(_text(_find_better()))


def _is_first() -> bool:
    marker = cache_dir() / _MARKER
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.open("x").close()
    except OSError:  # it is there, or cannot be written: better never than every time
        return False
    return True


def _find_better() -> str:
    """The name of the largest model on this disk that runs well here; empty if there is none."""
    from ..session.model_listing import SHORT_PAGES, list_models

    better = [
        (model.facts.sizes.num_weights, model.found.name)
        for model in list_models(_SEARCH_S)
        if model.facts is not None
        and _BETTER <= model.facts.sizes.num_weights <= _LARGEST
        and model.memory is not None
        and model.memory[SHORT_PAGES].fits is not False
    ]
    return max(better, default=(0, ""))[1]


def _text(better: str) -> str:
    what = (
        f"note: {EMBEDDED_MODEL} has 135 million parameters: it shows what fastkv does, "
        "and misreads more than larger models."
    )
    if not better:
        return f"{what} fastkv models lists those on this disk, docs/models.md says which run."
    return (
        f"{what} On this disk is {better}: add --model {better}, or fastkv models default {better}"
    )
