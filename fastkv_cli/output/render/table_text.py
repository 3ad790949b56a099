"""Tables as plain text, for stdout and files."""

from __future__ import annotations

from typing import Any


def render_text(*renderables: Any, columns: int = 100) -> str:
    """Render tables and lines without colours, at most `columns` wide."""
    from rich.console import Console

    console = Console(width=columns, no_color=True, highlight=False, emoji=False)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable, markup=not isinstance(renderable, str))
    return captured.get()
