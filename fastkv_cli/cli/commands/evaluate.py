"""`fastkv eval`."""

from __future__ import annotations

from functools import partial

from ...config import Suite
from ...errors import UsageError
from ..measure_command import check_picture, measuring
from ..option_sets import EvaluateOptions


def evaluate(*, options: EvaluateOptions) -> None:
    """Measure what compression does to answers: accuracy, agreement with full, time and memory."""
    if options.csv and options.json:
        raise UsageError("--csv and --json exclude each other", "give one of them")
    if options.heatmap is not None and Suite.NEEDLE not in options.suites:
        raise UsageError("--heatmap shows needles", "have the needle suite in --suite")
    check_picture(options.heatmap, options)
    from ...evaluation.quality.measure_quality import measure_quality
    from ...output.output_file import write_file
    from ...output.render.measurement_page import render_evaluation
    from ...output.render.quality_tables import as_csv, as_json, as_tables
    from ...output.render.table_text import render_text

    hint = "run the same command again to continue"
    with measuring(options, hint, options.report) as measurement:
        report = measure_quality(measurement.load(options.model), options)
        if options.heatmap is not None:
            from ...output.render.heatmap import heatmap_png

            write_file(options.heatmap, heatmap_png(report.needles))
        measurement.render_page = partial(render_evaluation, report)
        if options.json:
            measurement.result = as_json(report)
        else:
            measurement.result = as_csv(report) if options.csv else render_text(*as_tables(report))
