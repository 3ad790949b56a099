"""`fastkv calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...config import EMBEDDED_MODEL
from ...errors import UsageError
from .. import measure_command as workbench
from ..option_sets import MeasureOptions, check_exists, check_samples

ModelArg = Annotated[str, typer.Argument(metavar="[MODEL]", help="The model to calibrate.")]
TextsOpt = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Texts of your own to calibrate on.")
]
ToleranceOpt = Annotated[
    str, typer.Option(metavar="SHARE", help="How many of full's answers may be lost.")
]
SamplesOpt = Annotated[int, typer.Option(metavar="N", help="Questions to ask of each setting.")]
SeedOpt = Annotated[int, typer.Option(metavar="N", help="The same seed, the same questions.")]


def calibrate(
    model: ModelArg = EMBEDDED_MODEL,
    texts: TextsOpt = None,
    tolerance: ToleranceOpt = "1%",
    samples: SamplesOpt = 30,
    seed: SeedOpt = 1,
    *,
    options: MeasureOptions,
) -> None:
    """Find the TSP layer and rate that suit a model; summarize and ask then use them."""
    share = _parse_share(tolerance)
    check_samples(samples)
    check_exists("--texts", texts)
    from ...evaluation.quality.quality_session import calibrate_model

    workbench.run(
        model,
        options,
        lambda bench: calibrate_model(bench, texts, share, samples, seed, options),
        hint="the same command goes on where it was",
    )


def _parse_share(text: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise UsageError(f"--tolerance {text} is out of range", "give a share as 1% or 0.01")
    return share
