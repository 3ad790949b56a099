"""The budget of a KV cache as a picture. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...stats import KVStats, LayerStats

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

LABELS = _SEEN, _KEPT, _LAYER = "Tokens seen", "Tokens kept", "Layer"
_BLOCKS = " ▁▂▃▄▅▆▇█"
_MAX_COLUMNS = 48
_MIN_COLUMNS = 4  # fewer say less than the numbers beside them
_GAP = 2


@dataclass(frozen=True, slots=True)
class BudgetPicture:
    """Two rows of bars, one bar a layer: tokens seen, and tokens kept.

    As many layers share a bar, the highest of them, as the terminal's width and 48 columns ask for.
    Where fewer than 4 columns are left, there are no bars: labels and numbers are never cut.

    Attributes:
        kv: tokens seen and kept, layer by layer.
        label_width: columns of the labels, as in the table above.
    """

    kv: KVStats
    label_width: int = max(map(len, LABELS))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the picture out for the width of a console."""
        from rich.table import Table

        layers = self.kv.layers
        first, last = layers[0], layers[-1]
        seen = _from_to(first.tokens_seen, last.tokens_seen)
        kept = _from_to(first.tokens_kept, last.tokens_kept)
        numbers_width = max(len(seen), len(kept))
        room = options.max_width - self.label_width - 2 * _GAP - numbers_width
        table = Table(box=None, show_header=False, padding=(0, _GAP, 0, 0), pad_edge=False)
        table.add_column(style="bold cyan", no_wrap=True, min_width=self.label_width)
        if room < _MIN_COLUMNS:
            table.add_column(overflow="fold")
            table.add_row(_SEEN, seen)
            table.add_row(_KEPT, kept)
        else:
            groups = _grouped(layers, min(room, _MAX_COLUMNS))
            most_seen = (max(layer.tokens_seen for layer in group) for group in groups)
            most_kept = (max(layer.tokens_kept for layer in group) for group in groups)
            table.add_column(no_wrap=True)
            table.add_column(no_wrap=True)
            table.add_row(_SEEN, f"[green]{_bars(most_seen, first.tokens_seen)}[/]", seen)
            table.add_row(_KEPT, f"[magenta]{_bars(most_kept, first.tokens_seen)}[/]", kept)
            table.add_row(_LAYER, f"[dim]{_axis(len(layers), len(groups))}[/]", "")
        yield table


def _grouped(layers: Sequence[LayerStats], columns: int) -> list[Sequence[LayerStats]]:
    per_column = -(-len(layers) // columns)
    return [layers[at : at + per_column] for at in range(0, len(layers), per_column)]


def _axis(num_layers: int, columns: int) -> str:
    """The first and the last layer's number at the ends; the last alone where both do not fit."""
    last = str(num_layers - 1)
    return last if columns <= len(last) else "0" + last.rjust(columns - 1)


def _bars(tokens: Iterable[int], most: int) -> str:
    return "".join(_block(number / most) for number in tokens)


def _block(share: float) -> str:
    """A block of 0 to 8 eighths; any share above 0 gets at least one."""
    eighths = round(share * 8)
    return _BLOCKS[max(eighths, 1) if share > 0 else 0]


def _from_to(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} → {last:,}"
