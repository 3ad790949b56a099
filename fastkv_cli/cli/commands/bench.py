"""`fastkv bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...config import Budget, MethodName, Preset, parse_tokens
from ...errors import UsageError
from ...evaluation.picture import check_matplotlib
from .. import measure_command as workbench
from ..option_sets import ModelMeasureOptions

DocArg = Annotated[
    str | None,
    typer.Argument(
        metavar="[DOC]",
        show_default=False,
        help="A PDF or text to read (- is stdin), in place of the text that ships.",
    ),
]
LengthsOpt = Annotated[
    str | None,
    typer.Option(
        metavar="TOKENS",
        help="Prompt lengths, as 1k,7.5k.",
        show_default="1k,4k,7.5k, or all of DOC",
    ),
]
MethodsOpt = Annotated[
    str, typer.Option(metavar="NAMES", help="Presets and methods; full is always measured.")
]
BudgetOpt = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE|TOKENS",
        help="KV cache to KEEP, for methods that are no presets.",
        show_default="the balanced one",
    ),
]
RepetitionsOpt = Annotated[
    int, typer.Option(metavar="N", help="Measured runs of each method, behind one to warm up.")
]
MaxTokensOpt = Annotated[int, typer.Option(metavar="N", help="Tokens that every run generates.")]
CsvOpt = Annotated[bool, typer.Option("--csv", help="Comma-separated figures.")]
MarkdownOpt = Annotated[bool, typer.Option("--md", help="A Markdown table.")]
PlotOpt = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it as a PNG picture.")]


def bench(
    document: DocArg = None,
    prompt_tokens: LengthsOpt = None,
    methods: MethodsOpt = "full,fast,balanced,snapkv",
    budget: BudgetOpt = None,
    repetitions: RepetitionsOpt = 5,
    max_tokens: MaxTokensOpt = 64,
    csv: CsvOpt = False,
    md: MarkdownOpt = False,
    plot: PlotOpt = None,
    *,
    options: ModelMeasureOptions,
) -> None:
    """Measure how fast methods are on this machine: time to first token, decoding, and memory."""
    if options.json + csv + md > 1:
        raise UsageError("--json, --csv and --md exclude each other", "give one of them")
    lengths = [] if prompt_tokens is None else map(parse_tokens, prompt_tokens.split(","))
    kept = [] if budget is None else [Budget.parse(budget)]
    from ...evaluation.arms import parse_methods
    from ...evaluation.speed.speed_prompts import SpeedTest
    from ...evaluation.speed.speed_run import Form, SpeedRun

    names = parse_methods(methods, needs_rival=False)
    if kept and all(name in [*Preset, MethodName.FULL] for name in names):
        raise UsageError(f"--budget {budget} is of no use", "presets have their own, full has none")
    form: Form = "json" if options.json else "csv" if csv else "md" if md else "table"
    test = SpeedTest(document, tuple(sorted(set(lengths))), repetitions, max_tokens)
    check_matplotlib(plot)
    workbench.check_picture(plot, options)
    run = SpeedRun(test, names, kept, form, plot)
    workbench.run_prepared(options.model, options, run.prepare, hint="nothing was written")
