"""The options that commands share, each written once, and what they add up to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .config import (
    DEFAULT_EXTRACT_TIMEOUT_S,
    DEFAULT_METHOD,
    EMBEDDED_MODEL,
    Attention,
    Budget,
    DecodeWeights,
    Display,
    DType,
    MethodName,
    MethodSettings,
    PageRange,
    Preset,
    ReadOptions,
    Request,
    Sampling,
)
from .errors import UsageError

_METHOD = "Compression"
_MODEL = "Model"
_ANSWER = "Answer"
_OUTPUT = "Output"


def complete_models(incomplete: str) -> list[str]:
    """Models that need no download, for TAB."""
    from .models import known_model_names

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
        help="The password of an encrypted PDF; better in the environment than here.",
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
StatsOpt = Annotated[
    bool | None,
    typer.Option(
        "--stats/--no-stats",
        rich_help_panel=_OUTPUT,
        help="The statistics after the answer, on stderr.",
        show_default="shown, except with --json",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """All options of a run, in the order of the help text."""

    pages: PagesOpt = None
    password: PasswordOpt = None
    encoding: EncodingOpt = None
    extract_timeout: ExtractTimeoutOpt = DEFAULT_EXTRACT_TIMEOUT_S
    preset: PresetOpt = None
    method: MethodOpt = DEFAULT_METHOD
    budget: BudgetOpt = None
    tsp_layer: TSPLayerOpt = None
    tsp_rate: TSPRateOpt = None
    model: ModelOpt = EMBEDDED_MODEL
    dtype: DTypeOpt = DType.AUTO
    device: DeviceOpt = "auto"
    attention: AttentionOpt = Attention.AUTO
    decode_weights: DecodeWeightsOpt = DecodeWeights.AUTO
    offline: OfflineOpt = False
    max_tokens: MaxTokensOpt = None
    temperature: TemperatureOpt = 0.0
    seed: SeedOpt = 0
    resume: ResumeOpt = False
    json: JsonOpt = False
    stats: StatsOpt = None
    quiet: QuietOpt = False
    output: OutputOpt = None
    force: ForceOpt = False
    debug: DebugOpt = False

    def request(self, sources: list[str], usual_preset: Preset = Preset.BALANCED) -> Request:
        """What is to be done, checked; `usual_preset` is for users who name none.

        Raises:
            UsageError: when a value cannot be read or is out of range.
        """
        return Request(
            sources=tuple(sources),
            read=ReadOptions(
                pages=None if self.pages is None else PageRange.parse(self.pages),
                password=self.password,
                encoding=self.encoding,
                extract_timeout_s=self.extract_timeout,
            ),
            model=self.model,
            method=MethodSettings(
                name=self.method,
                budget=None if self.budget is None else Budget.parse(self.budget),
                tsp_layer=self.tsp_layer,
                tsp_rate=self.tsp_rate,
                preset=self.preset,
                usual_preset=usual_preset,
            ),
            max_tokens=self.max_tokens,
            sampling=Sampling(self.temperature, self.seed),
            dtype=self.dtype,
            device=self.device,
            attention=self.attention,
            decode_weights=self.decode_weights,
            offline=self.offline,
            resume=self.resume,
        )

    def display(self) -> Display:
        """How it is to be shown."""
        return Display(
            json=self.json,
            stats=self.stats,
            quiet=self.quiet,
            output=self.output,
            force=self.force,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """The options of the commands that measure a model."""

    dtype: DTypeOpt = DType.AUTO
    device: DeviceOpt = "auto"
    attention: AttentionOpt = Attention.AUTO
    decode_weights: DecodeWeightsOpt = DecodeWeights.AUTO
    offline: OfflineOpt = False
    json: FiguresOpt = False
    quiet: QuietOpt = False
    output: OutputOpt = None
    force: ForceOpt = False
    debug: DebugOpt = False


def check_exists(option: str, path: Path | None) -> None:
    """Raise a UsageError where an option names something that is not there."""
    if path is not None and not path.exists():
        raise UsageError(f"{option} {path} is not there", "check the path")


def check_samples(samples: int) -> None:
    """Raise a UsageError unless something is to be asked."""
    if samples < 1:
        raise UsageError(f"--samples {samples} is out of range", "it is 1 or more")


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a dataclass; it receives them whole, as `options`.

    Typer reads options off a function's signature, so the fields are put into one. Which dataclass
    it is, the annotation of the parameter `options` tells.
    """
    own = inspect.signature(command, eval_str=True).parameters
    kind = own["options"].annotation
    hints = get_type_hints(kind, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]
    kept = [parameter for parameter in own.values() if parameter.name != "options"]

    def expanded(**values: Any) -> None:
        mine = {parameter.name: values.pop(parameter.name) for parameter in kept}
        command(**mine, options=kind(**values))

    signature = inspect.Signature([*kept, *shared])
    expanded.__signature__ = signature  # type: ignore[attr-defined]
    expanded.__annotations__ = {
        parameter.name: parameter.annotation for parameter in signature.parameters.values()
    }
    expanded.__name__, expanded.__doc__ = command.__name__, command.__doc__
    return expanded
