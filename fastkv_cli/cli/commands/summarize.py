"""`fastkv summarize`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ...config import DEFAULT_MAX_TOKENS, Length, Preset
from ..option_sets import RunOptions
from .sources import PathsArg, check_any

LengthOpt = Annotated[
    Length, typer.Option("--length", "-l", help="How long the summary should be.")
]


def summarize(
    paths: PathsArg = None, length: LengthOpt = Length.MEDIUM, *, options: RunOptions
) -> None:
    """Summarize documents of any length."""
    check_any(paths, "name a file, as in: fastkv summarize report.pdf")
    request = options.request(paths or ["-"], usual_preset=Preset.QUALITY)
    max_tokens = request.max_tokens or DEFAULT_MAX_TOKENS[length]
    from ... import tasks
    from .. import preview
    from .. import run as pipeline

    if options.dry_run:
        forecast = partial(tasks.forecast_summary, length=length)
        preview.forecast("summarize", request, forecast, max_tokens, options.display())
        return
    task = partial(tasks.summarize, length=length)
    pipeline.run("summarize", request, task, max_tokens, options.display())
