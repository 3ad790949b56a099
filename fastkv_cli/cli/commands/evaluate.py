"""`fastkv eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...config import Budget, Preset, Suite, parse_tokens
from ...errors import UsageError
from ...evaluation.picture import check_matplotlib
from .. import measure_command as workbench
from ..option_sets import ModelMeasureOptions, check_exists, check_samples

_ALL_SUITES, _ALL_PRESETS = ",".join(Suite), ",".join(Preset)

SuiteOpt = Annotated[str, typer.Option(metavar="NAMES", help="needle, qa and ruler, or some.")]
MethodsOpt = Annotated[
    str, typer.Option(metavar="NAMES", help="Presets and methods to compare with full.")
]
BudgetsOpt = Annotated[
    str | None,
    typer.Option(
        metavar="BUDGETS",
        help="Budgets for each method, as 10%,20%.",
        show_default="the balanced one",
    ),
]
LengthsOpt = Annotated[str, typer.Option(metavar="TOKENS", help="Prompt lengths, as 1k,2k.")]
SamplesOpt = Annotated[int, typer.Option(metavar="N", help="Questions for each suite and length.")]
SeedOpt = Annotated[int, typer.Option(metavar="N", help="The same seed, the same questions.")]
TextsOpt = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Texts of your own to hide needles in."),
]
QAOpt = Annotated[
    Path | None,
    typer.Option("--qa", metavar="FILE", help="Questions of your own: JSON lines."),
]
HeatmapOpt = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the needles as a PNG picture.")
]
CsvOpt = Annotated[bool, typer.Option("--csv", help="Comma-separated figures.")]


def evaluate(
    suite: SuiteOpt = _ALL_SUITES,
    methods: MethodsOpt = _ALL_PRESETS,
    budgets: BudgetsOpt = None,
    lengths: LengthsOpt = "1k,2k,4k,7k",
    samples: SamplesOpt = 15,
    seed: SeedOpt = 0,
    texts: TextsOpt = None,
    qa: QAOpt = None,
    heatmap: HeatmapOpt = None,
    csv: CsvOpt = False,
    *,
    options: ModelMeasureOptions,
) -> None:
    """Measure what compression does to answers: accuracy, agreement with full, time and memory."""
    if csv and options.json:
        raise UsageError("--csv and --json exclude each other", "give one of them")
    check_samples(samples)
    suites = _parse_suites(suite)
    if heatmap is not None and Suite.NEEDLE not in suites:
        raise UsageError("--heatmap shows needles", "have the needle suite in --suite")
    check_matplotlib(heatmap)
    workbench.check_picture(heatmap, options)
    check_exists("--texts", texts)
    check_exists("--qa", qa)
    kept = dict.fromkeys(Budget.parse(budget) for budget in (budgets or "").split(",") if budget)
    from ...evaluation.arms import parse_methods
    from ...evaluation.quality.quality_session import Form, evaluate_model
    from ...evaluation.quality.suites import Questionnaire

    tokens = {parse_tokens(length) for length in lengths.split(",")}
    asked = Questionnaire(suites, tuple(sorted(tokens)), samples, seed, texts, qa)
    names = parse_methods(methods)
    form: Form = "json" if options.json else "csv" if csv else "table"
    workbench.run(
        options.model,
        options,
        lambda bench: evaluate_model(bench, asked, names, list(kept), form, heatmap),
        hint="the same command goes on where it was",
    )


def _parse_suites(text: str) -> tuple[Suite, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in [*Suite]:
            raise UsageError(f"suite {name!r} is unknown", f"it is one of {', '.join(Suite)}")
    return tuple(dict.fromkeys(Suite(name) for name in names))
