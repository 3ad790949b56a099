"""`fastkv summarize`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ...config import DEFAULT_MAX_TOKENS, Length, Preset
from ..option_sets import RunOptions
from .sources import PathsArg, check_any

LengthOpt = Annotated[Length, typer.Option("--length", "-l", help="Set the length of the summary.")]


def summarize(
    paths: PathsArg = None, length: LengthOpt = Length.MEDIUM, *, options: RunOptions
) -> None:
    """Summarize documents of any length."""
    check_any(paths, "name a file, as in: fastkv summarize report.pdf")
    options.check_all()
    max_tokens = options.max_tokens or DEFAULT_MAX_TOKENS[length]
    sources = paths or ["-"]
    if options.dry_run:
        from ...tasks import forecast_summary
        from .. import preview

        forecast = partial(forecast_summary, length=length)
        preview.forecast("summarize", sources, options, forecast, max_tokens, Preset.QUALITY)
        return
    from ..run import answer_once

    answer_once(
        "summarize", sources, options, max_tokens, lambda session: session.stream_summary(length)
    )
