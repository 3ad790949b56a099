"""What the documents say, in their own words: the quotes under an answer. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...evidence.marks import find_marks
from ...evidence.places import name_quote
from ...stats import Quote, RunReport
from .answer_tables import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_STYLE, _MARKED = "bold cyan", "bold"
_MAX_PLACE = 24  # columns


def render_quotes(report: RunReport) -> Iterator[RenderableType]:
    """The quotes of an answer with their places; words of question and answer are marked."""
    from rich.table import Table
    from rich.text import Text

    quotes = report.evidence.quotes
    if not quotes:
        return
    answer = "" if report.evidence.found is False else report.answer
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="cyan", max_width=_MAX_PLACE, overflow="fold")
    table.add_column(overflow="fold")
    for number, quote in enumerate(quotes):
        if number:
            table.add_row("", "")
        place = Text(printable(name_quote(quote, paths=report.paths)))
        table.add_row(place, _marked(quote, report.question, answer))
    yield ""
    yield Text("Sources", style=_STYLE)
    yield table


def _marked(quote: Quote, question: str, answer: str) -> Text:
    """A quote as one paragraph."""
    from rich.text import Text

    text = printable(" ".join(quote.text.split()))
    shown = Text(text)
    for start, end in find_marks(text, question, answer):
        shown.stylize(_MARKED, start, end)
    return shown
