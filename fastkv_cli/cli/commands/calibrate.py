"""`fastkv calibrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...config import EMBEDDED_MODEL
from ..measure_command import measuring
from ..option_sets import CalibrateOptions

ModelArg = Annotated[str, typer.Argument(metavar="[MODEL]", help="The model to calibrate.")]


def calibrate(model: ModelArg = EMBEDDED_MODEL, *, options: CalibrateOptions) -> None:
    """Find the TSP layer and rate that suit a model; summarize and ask then use them."""
    from ...evaluation.quality.calibration import calibrate_model
    from ...output.render.quality_tables import calibration_tables
    from ...output.render.table_text import render_text

    with measuring(options, hint="run the same command again to continue") as measurement:
        report = calibrate_model(measurement.load(model), options)
        text = measurement.save_tuning("calibration", report.measured)
        measurement.result = text if options.json else render_text(*calibration_tables(report))
