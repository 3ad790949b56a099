"""`fastkv profile-heads`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...config import EMBEDDED_MODEL
from ..measure_command import measuring
from ..option_sets import ProfileHeadsOptions

ModelArg = Annotated[str, typer.Argument(metavar="[MODEL]", help="The model whose heads to score.")]


def profile_heads(model: ModelArg = EMBEDDED_MODEL, *, options: ProfileHeadsOptions) -> None:
    """Score a model's heads by how they look at needles, for --method headkv."""
    from ...evaluation.quality import head_scores
    from ...output.render.quality_tables import head_tables
    from ...output.render.table_text import render_text

    with measuring(options, hint="run the same command again to continue") as measurement:
        measured = head_scores.profile_heads(measurement.load(model), options)
        text = measurement.save_tuning("heads", measured)
        measurement.result = text if options.json else render_text(*head_tables(measured))
