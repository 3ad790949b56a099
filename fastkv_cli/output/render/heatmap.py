"""Plot needle scores: one panel per method, depth downwards, length to the right."""

from __future__ import annotations

import io
from collections.abc import Mapping

from ...system.isolated import outside_current_folder


def heatmap_png(needles: Mapping[str, Mapping[tuple[int, float], float]]) -> bytes:
    """A PNG with a panel for each arm; green is found, red is missed.

    Args:
        needles: by arm, mean score by (length, depth).
    """
    import numpy as np

    with outside_current_folder():
        from matplotlib.figure import Figure

    columns = min(len(needles), 3)
    rows = -(-len(needles) // columns)
    figure = Figure(figsize=(1 + 3 * columns, 0.6 + 2.6 * rows), layout="constrained", dpi=150)
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).flatten()
    for panel in axes[len(needles) :]:
        panel.set_axis_off()
    image = None
    for panel, (arm, places) in zip(axes, needles.items(), strict=False):
        lengths = sorted({length for length, _ in places})
        depths = sorted({depth for _, depth in places})
        grid = np.array(
            [[places.get((length, depth), np.nan) for length in lengths] for depth in depths]
        )
        image = panel.imshow(grid, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
        panel.set_title(arm, fontsize=9)
        panel.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths], fontsize=7)
        panel.set_yticks(range(len(depths)), [f"{depth:.0%}" for depth in depths], fontsize=7)
        panel.set_xlabel("prompt, tokens", fontsize=7)
        panel.set_ylabel("depth of the needle", fontsize=7)
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes), shrink=0.6)
        bar.set_label("needles found", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
