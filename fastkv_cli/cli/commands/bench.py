"""`fastkv bench`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import UsageError
from ..measure_command import check_picture, measuring
from ..option_sets import BenchOptions

if TYPE_CHECKING:
    from ...evaluation.speed.speed_report import SpeedReport

DocArg = Annotated[
    str | None,
    typer.Argument(
        metavar="[DOC]",
        show_default=False,
        help="A PDF or text to read (- is stdin), in place of the text that ships.",
    ),
]


def bench(document: DocArg = None, *, options: BenchOptions) -> None:
    """Measure how fast methods are on this machine: time to first token, decoding, and memory."""
    if options.json + options.csv + options.md > 1:
        raise UsageError("--json, --csv and --md exclude each other", "give one of them")
    test = options.test_of(document)
    check_picture(options.plot, options)
    from ...evaluation.speed.speed_run import measure_speed, read_document
    from ...output.output_file import write_file
    from ...output.render.measurement_page import render_speed

    with measuring(options, "nothing was written", options.report) as measurement:
        text = read_document(test, measurement.observer)
        report = measure_speed(measurement.load(options.model), test, text)
        if options.plot is not None:
            from ...output.render.speed_plot import speed_png

            write_file(options.plot, speed_png(report))
        measurement.render_page = partial(render_speed, report)
        measurement.result = _render(report, options)


def _render(report: SpeedReport, options: BenchOptions) -> str:
    """The report in the form asked for."""
    from ...output.render.speed_tables import as_csv, as_json, as_markdown, as_tables
    from ...output.render.table_text import render_text

    if options.json:
        return as_json(report)
    if options.csv:
        return as_csv(report)
    return as_markdown(report) if options.md else render_text(*as_tables(report))
