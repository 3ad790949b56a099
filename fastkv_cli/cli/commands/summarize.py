"""`fastkv summarize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...config import DEFAULT_MAX_TOKENS, Preset
from ..option_sets import SummarizeOptions
from .sources import PathsArg, check_any

if TYPE_CHECKING:
    from ...forecasts import ReadingForecast
    from ...tasks.context_window import Window
    from ...tasks.corpus import Corpus


def summarize(paths: PathsArg = None, *, options: SummarizeOptions) -> None:
    """Summarize documents of any length."""
    check_any(paths, "name a file, as in: fastkv summarize report.pdf")
    options.check_all()
    options.check_summary()
    length = options.length
    max_tokens = options.max_tokens or DEFAULT_MAX_TOKENS[length]
    sources = paths or ["-"]
    if options.dry_run:
        from ...tasks import forecast_summary
        from ...tasks.summary import choose_style
        from .. import preview

        language = options.language or ""

        def forecast(corpus: Corpus, window: Window, passages: int) -> ReadingForecast:
            del passages  # a summary is made of sentences
            has_template = window.tokenizer.chat_template is not None
            style = choose_style(options.style, language, options.model, has_template=has_template)
            return forecast_summary(corpus, window, length, style, language)

        preview.forecast("summarize", sources, options, forecast, max_tokens, Preset.QUALITY)
        return
    from ..run import answer_once

    answer_once(
        "summarize",
        sources,
        options,
        max_tokens,
        lambda session: session.stream_summary(
            length, style=options.style, language=options.language
        ),
    )
