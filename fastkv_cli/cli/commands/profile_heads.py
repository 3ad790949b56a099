"""`fastkv profile-heads`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...config import EMBEDDED_MODEL
from .. import measure_command as workbench
from ..option_sets import MeasureOptions, check_exists, check_samples

ModelArg = Annotated[str, typer.Argument(metavar="[MODEL]", help="The model whose heads to score.")]
SamplesOpt = Annotated[int, typer.Option(metavar="N", help="Needle prompts to read.")]
SeedOpt = Annotated[int, typer.Option(metavar="N", help="The same seed, the same prompts.")]
TextsOpt = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Texts of your own to hide needles in.")
]


def profile_heads(
    model: ModelArg = EMBEDDED_MODEL,
    samples: SamplesOpt = 60,
    seed: SeedOpt = 0,
    texts: TextsOpt = None,
    *,
    options: MeasureOptions,
) -> None:
    """Score a model's heads by how they look at needles, for --method headkv."""
    check_samples(samples)
    check_exists("--texts", texts)
    from ...evaluation.quality.quality_session import score_heads

    workbench.run(model, options, lambda bench: score_heads(bench, samples, seed, texts, options))
