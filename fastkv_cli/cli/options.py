"""The options that commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..config import (
    EMBEDDED_MODEL,
    Attention,
    DecodeWeights,
    DType,
    MethodName,
    Preset,
    StatsLevel,
    StoreMode,
)

_METHOD = "Compression"
_MODEL = "Model"
_STORE = "Document state"
_ANSWER = "Answer"
_OUTPUT = "Output"


def complete_models(incomplete: str) -> list[str]:
    """Models that need no download, for TAB."""
    from ..models import known_model_names

    return [name for name in known_model_names() if name.startswith(incomplete)]


ModelOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        envvar="FASTKV_MODEL",
        autocompletion=complete_models,
        rich_help_panel=_MODEL,
        help=f"{EMBEDDED_MODEL}, a Hugging Face id (org/name or org/name@revision), a folder, "
        "or a .gguf file.",
    ),
]
DTypeOpt = Annotated[
    DType,
    typer.Option(
        envvar="FASTKV_DTYPE",
        rich_help_panel=_MODEL,
        help="Number format; auto is bfloat16 where the hardware multiplies it.",
    ),
]
DeviceOpt = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        envvar="FASTKV_DEVICE",
        rich_help_panel=_MODEL,
        help="auto, cpu, cuda, cuda:N or mps.",
    ),
]
AttentionOpt = Annotated[
    Attention,
    typer.Option(
        envvar="FASTKV_ATTENTION",
        rich_help_panel=_MODEL,
        help="Attention kernels; flash needs CUDA and the flash extra.",
    ),
]
DecodeWeightsOpt = Annotated[
    DecodeWeights,
    typer.Option(
        envvar="FASTKV_DECODE_WEIGHTS",
        rich_help_panel=_MODEL,
        help="Decode from packed copies of the weights, on CPU, or from the model's own.",
    ),
]
OfflineOpt = Annotated[
    bool,
    typer.Option(
        "--offline",
        envvar="FASTKV_OFFLINE",
        rich_help_panel=_MODEL,
        help="Open no socket (as HF_HUB_OFFLINE=1).",
    ),
]
MethodOpt = Annotated[
    MethodName,
    typer.Option(
        envvar="FASTKV_METHOD",
        rich_help_panel=_METHOD,
        help="How to compress; full is the exact, uncompressed baseline.",
    ),
]
PresetOpt = Annotated[
    Preset | None,
    typer.Option(
        envvar="FASTKV_PRESET",
        rich_help_panel=_METHOD,
        help="How far to compress, by what it may cost in answers.",
        show_default="balanced; quality for summaries",
    ),
]
BudgetOpt = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE|TOKENS",
        envvar="FASTKV_BUDGET",
        rich_help_panel=_METHOD,
        help="KV cache to KEEP: a share of the prompt (10%) or a number of tokens (512, 2k).",
    ),
]
TSPLayerOpt = Annotated[
    int | None,
    typer.Option(
        metavar="LAYER",
        rich_help_panel=_METHOD,
        help="The layer, counted from 0, behind which only the tokens that matter go on.",
    ),
]
TSPRateOpt = Annotated[
    float | None,
    typer.Option(
        metavar="RATE",
        rich_help_panel=_METHOD,
        help="The share of the tokens that go on, above 0 and at most 1.",
    ),
]
StoreOpt = Annotated[
    StoreMode | None,
    typer.Option(
        "--store",
        rich_help_panel=_STORE,
        help="Keep what the first layers computed of the documents (keys, values and hidden "
        "states) on disk, so that a further question starts from it; int8 takes half the space.",
        show_default="FASTKV_STORE, or exact",
    ),
]
NoStoreOpt = Annotated[
    bool,
    typer.Option(
        "--no-store",
        rich_help_panel=_STORE,
        help="Keep nothing of the documents on disk, and use nothing that is (as --store off).",
    ),
]
MaxTokensOpt = Annotated[
    int | None,
    typer.Option(metavar="TOKENS", rich_help_panel=_ANSWER, help="The most tokens to answer with."),
]
TemperatureOpt = Annotated[
    float,
    typer.Option(
        "--temperature",
        "--temp",
        metavar="T",
        rich_help_panel=_ANSWER,
        help="0 takes the likeliest token, without loops; higher varies.",
    ),
]
SeedOpt = Annotated[
    int,
    typer.Option(metavar="N", rich_help_panel=_ANSWER, help="The same seed, the same answer."),
]
CiteOpt = Annotated[
    bool,
    typer.Option(
        "--cite",
        rich_help_panel=_ANSWER,
        help="Name the page that carried the answer behind it, as \\[p. 12]; of a summary all.",
    ),
]
CheckOpt = Annotated[
    bool,
    typer.Option(
        "--check/--no-check",
        rich_help_panel=_ANSWER,
        help="Look up in the text what the answer says; where nothing in it can be the answer, "
        "say so in its place.",
    ),
]
ResumeOpt = Annotated[
    bool,
    typer.Option(
        "--resume",
        rich_help_panel=_ANSWER,
        help="Go on from the parts of a long text that an interrupted run has read.",
    ),
]
PagesOpt = Annotated[
    str | None,
    typer.Option(metavar="PAGES", help="Pages of a PDF to read, as 1-5,9,20- (the first is 1)."),
]
PasswordOpt = Annotated[
    str | None,
    typer.Option(
        "--password",
        "--pdf-password",
        metavar="TEXT",
        envvar="FASTKV_PDF_PASSWORD",
        help="The password of an encrypted PDF; better typed when asked, or in the environment.",
    ),
]
EncodingOpt = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        envvar="FASTKV_ENCODING",
        help="What texts and web pages are in, as cp1252 or gb18030, where it is not told by them.",
        show_default="found out",
    ),
]
ExtractTimeoutOpt = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        envvar="FASTKV_EXTRACT_TIMEOUT",
        help="The most time for getting the text out of one document.",
    ),
]
DryRunOpt = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=_OUTPUT,
        help="Tell pages, tokens, parts and memory; load no weights and answer nothing.",
    ),
]
JsonOpt = Annotated[
    bool,
    typer.Option(
        "--json", rich_help_panel=_OUTPUT, help="One JSON object: the answer and the statistics."
    ),
]
FiguresOpt = Annotated[
    bool,
    typer.Option(
        "--json",
        rich_help_panel=_OUTPUT,
        help="One JSON object: all figures, and what they were measured with.",
    ),
]
TextJsonOpt = Annotated[
    bool,
    typer.Option("--json", rich_help_panel=_OUTPUT, help="One JSON object: the pages, counted."),
]
ChatJsonOpt = Annotated[
    bool,
    typer.Option(
        "--json",
        rich_help_panel=_OUTPUT,
        help="A line of JSON for each answer, with its statistics, in place of the answer.",
    ),
]
ChatStatsOpt = Annotated[
    StatsLevel,
    typer.Option(
        "--stats",
        rich_help_panel=_OUTPUT,
        help="Print the statistics of each answer on stderr; --stats alone is full, as /stats.",
    ),
]
StatsOpt = Annotated[
    StatsLevel | None,
    typer.Option(
        "--stats",
        rich_help_panel=_OUTPUT,
        help="Print the statistics on stderr, after the answer; --stats alone is brief.",
        show_default="brief; off with --json",
    ),
]
NoStatsOpt = Annotated[
    bool,
    typer.Option(
        "--no-stats",
        rich_help_panel=_OUTPUT,
        help="Print no statistics (as --stats off).",
    ),
]
QuietOpt = Annotated[
    bool,
    typer.Option("--quiet", "-q", rich_help_panel=_OUTPUT, help="Nothing on stderr but errors."),
]
OutputOpt = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        rich_help_panel=_OUTPUT,
        help="Write to FILE, whole or not at all, in place of stdout.",
    ),
]
ForceOpt = Annotated[
    bool,
    typer.Option("--force", rich_help_panel=_OUTPUT, help="Let -o replace a file that exists."),
]
DebugOpt = Annotated[
    bool,
    typer.Option("--debug", rich_help_panel=_OUTPUT, help="Show the traceback of an error."),
]
