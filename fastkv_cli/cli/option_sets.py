"""What the options of a command add up to: each set once, and how a command comes by them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from ..config import (
    DEFAULT_EXTRACT_TIMEOUT_S,
    DEFAULT_METHOD,
    EMBEDDED_MODEL,
    Attention,
    Budget,
    DecodeWeights,
    DType,
    MethodSettings,
    PageRange,
    Preset,
    ReadOptions,
    Sampling,
    StatsLevel,
    StoreMode,
    store_mode,
)
from ..errors import UsageError
from ..session.request import Display, Request
from .options import (
    AttentionOpt,
    BudgetOpt,
    ChatJsonOpt,
    ChatStatsOpt,
    CheckOpt,
    CiteOpt,
    DebugOpt,
    DecodeWeightsOpt,
    DeviceOpt,
    DryRunOpt,
    DTypeOpt,
    EncodingOpt,
    ExtractTimeoutOpt,
    FiguresOpt,
    ForceOpt,
    JsonOpt,
    MaxTokensOpt,
    MethodOpt,
    ModelOpt,
    NoStatsOpt,
    NoStoreOpt,
    OfflineOpt,
    OutputOpt,
    PagesOpt,
    PasswordOpt,
    PresetOpt,
    QuietOpt,
    ResumeOpt,
    SeedOpt,
    StatsOpt,
    StoreOpt,
    TemperatureOpt,
    TextJsonOpt,
    TSPLayerOpt,
    TSPRateOpt,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """The options of all that answers, in the order of the help text."""

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
    store: StoreOpt = None
    no_store: NoStoreOpt = False
    max_tokens: MaxTokensOpt = None
    temperature: TemperatureOpt = 0.0
    seed: SeedOpt = 0
    cite: CiteOpt = False
    check: CheckOpt = True

    def request(self, sources: list[str], usual_preset: Preset = Preset.BALANCED) -> Request:
        """What is to be done, checked; `usual_preset` is for users who name none.

        Raises:
            UsageError: when a value cannot be read or is out of range.
        """
        return Request(
            sources=tuple(sources),
            read=read_options(self),
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
            store=_store(self.store, no_store=self.no_store),
            check=self.check,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(AnswerOptions):
    """All options of a run."""

    resume: ResumeOpt = False
    dry_run: DryRunOpt = False
    json: JsonOpt = False
    stats: StatsOpt = None
    no_stats: NoStatsOpt = False
    quiet: QuietOpt = False
    output: OutputOpt = None
    force: ForceOpt = False
    debug: DebugOpt = False

    def request(self, sources: list[str], usual_preset: Preset = Preset.BALANCED) -> Request:
        """What is to be done, checked."""
        request = AnswerOptions.request(self, sources, usual_preset)
        return replace(request, resume=self.resume)

    def display(self) -> Display:
        """How it is to be shown."""
        return replace(_display(self), cite=self.cite)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions(AnswerOptions):
    """All options of a conversation."""

    json: ChatJsonOpt = False
    stats: ChatStatsOpt = StatsLevel.OFF
    no_stats: NoStatsOpt = False
    quiet: QuietOpt = False
    debug: DebugOpt = False

    def display(self) -> Display:
        """How it is to be shown."""
        return Display(
            json=self.json,
            stats=StatsLevel.OFF if self.no_stats else self.stats,
            quiet=self.quiet,
            cite=self.cite,
            debug=self.debug,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractOptions:
    """The options of showing what would be read."""

    pages: PagesOpt = None
    password: PasswordOpt = None
    encoding: EncodingOpt = None
    extract_timeout: ExtractTimeoutOpt = DEFAULT_EXTRACT_TIMEOUT_S
    model: ModelOpt = EMBEDDED_MODEL
    offline: OfflineOpt = False
    json: TextJsonOpt = False
    stats: StatsOpt = None
    no_stats: NoStatsOpt = False
    quiet: QuietOpt = False
    output: OutputOpt = None
    force: ForceOpt = False
    debug: DebugOpt = False

    def display(self) -> Display:
        """How it is to be shown."""
        return _display(self)


def read_options(options: AnswerOptions | ExtractOptions) -> ReadOptions:
    """How documents are to be read, checked.

    Raises:
        UsageError: when a value cannot be read or is out of range.
    """
    return ReadOptions(
        pages=None if options.pages is None else PageRange.parse(options.pages),
        password=options.password,
        encoding=options.encoding,
        extract_timeout_s=options.extract_timeout,
    )


def _store(mode: StoreMode | None, *, no_store: bool) -> StoreMode:
    if no_store and mode not in {None, StoreMode.OFF}:
        raise UsageError(f"--no-store and --store {mode} exclude each other", "give one of them")
    return StoreMode.OFF if no_store else store_mode(mode)


def _display(options: RunOptions | ExtractOptions) -> Display:
    return Display(
        json=options.json,
        stats=StatsLevel.OFF if options.no_stats else options.stats,
        quiet=options.quiet,
        output=options.output,
        force=options.force,
        debug=options.debug,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOptions:
    """The options of the commands that need no model."""

    quiet: QuietOpt = False
    debug: DebugOpt = False


def check_exists(option: str, path: Path | None) -> None:
    """Raise a UsageError where an option names something that is not there."""
    try:
        if path is None or path.exists():
            return
    except OSError as error:  # a name that is too long for one, or a folder without rights
        raise UsageError(f"{option} {path} cannot be read ({error.strerror})", "check it") from None
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
