"""The budget of a KV cache as a picture. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...stats import KVStats, LayerStats

if TYPE_CHECKING:
    from rich.table import Table

_BLOCKS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 48


def budget_picture(kv: KVStats) -> Table:
    """Two rows of columns, one column a layer (or a few): tokens seen, and tokens kept."""
    from rich.table import Table

    groups = _grouped(kv.layers, _COLUMNS)
    most = kv.layers[0].tokens_seen
    seen = "".join(_block(max(layer.tokens_seen for layer in group) / most) for group in groups)
    kept = "".join(_block(max(layer.tokens_kept for layer in group) / most) for group in groups)
    first, last = kv.layers[0], kv.layers[-1]
    deepest = str(len(kv.layers) - 1)
    axis = deepest if len(groups) <= len(deepest) else "0" + deepest.rjust(len(groups) - 1)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_row("Tokens seen", f"[green]{seen}[/]", _from_to(first.tokens_seen, last.tokens_seen))
    table.add_row(
        "Tokens kept", f"[magenta]{kept}[/]", _from_to(first.tokens_kept, last.tokens_kept)
    )
    table.add_row("Layer", f"[dim]{axis}[/]", "")
    return table


def _grouped(layers: Sequence[LayerStats], columns: int) -> list[Sequence[LayerStats]]:
    per_column = -(-len(layers) // columns)
    return [layers[at : at + per_column] for at in range(0, len(layers), per_column)]


def _block(share: float) -> str:
    """A column of a height; what is above nothing is seen to be."""
    eighths = round(share * 8)
    return _BLOCKS[max(eighths, 1) if share > 0 else 0]


def _from_to(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} → {last:,}"
