"""Options of the command line: those of session/options.py, and those of the console."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..batch.batch_options import BatchOptions
from ..evaluation.quality.quality_options import CalibrationOptions, EvalOptions, HeadOptions
from ..evaluation.speed.speed_options import SpeedOptions
from ..output.stats_level import StatsLevel
from ..session.option import Group, Option, option
from ..session.options import DeviceOptions, DocumentOptions, ModelOptions, SessionOptions
from ..session.summary_options import SummaryOptions
from .applied_settings import applied_settings
from .first_note import introduce_embedded


@dataclass(frozen=True, kw_only=True)
class MessageOptions:
    """Options of messages on stderr."""

    quiet: bool = option(False, Group.OUTPUT, "Print only errors on stderr.", "--quiet", "-q")
    debug: bool = option(False, Group.OUTPUT, "Print the traceback of an error.", "--debug")


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options of the output file."""

    output: Path | None = option(
        None,
        Group.OUTPUT,
        "Write to FILE instead of stdout, complete or not at all.",
        "--output",
        "-o",
        metavar="FILE",
        shown_default=False,
    )
    force: bool = option(
        False, Group.OUTPUT, "Allow -o and --report to replace an existing file.", "--force"
    )


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of the report page."""

    report: Path | None = option(
        None,
        Group.OUTPUT,
        "Also write the result to FILE as an HTML page: with figures drawn, and what was read and "
        "kept of the documents.",
        "--report",
        metavar="FILE",
        shown_default=False,
    )


@dataclass(frozen=True, kw_only=True)
class StatsOptions:
    """Options of the statistics."""

    stats: StatsLevel | None = option(
        None,
        Group.OUTPUT,
        "Print the statistics on stderr, after the answer; --stats alone is brief.",
        "--stats",
        shown_default="brief; off with --json",
    )
    no_stats: bool = option(
        False, Group.OUTPUT, "Print no statistics (same as --stats off).", "--no-stats"
    )
    json: bool = False

    @property
    def stats_level(self) -> StatsLevel:
        """How much of the statistics to print."""
        if self.no_stats:
            return StatsLevel.OFF
        if self.stats is not None:
            return self.stats
        return StatsLevel.OFF if self.json else StatsLevel.BRIEF


@dataclass(frozen=True, kw_only=True)
class AnswerOutput(MessageOptions, FileOptions, StatsOptions):
    """Options of printing an answer."""

    json: bool = option(
        False, Group.OUTPUT, "Print one JSON object with the answer and its statistics.", "--json"
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(AnswerOutput, ReportOptions, SessionOptions):
    """All options of `ask` and `summarize`."""

    resume: bool = option(
        False,
        Group.DOCUMENT,
        "Continue an interrupted run from its finished parts.",
        "--resume",
    )
    dry_run: bool = option(
        False,
        Group.OUTPUT,
        "Print the expected tokens, parts, memory and time; load no weights and answer nothing.",
        "--dry-run",
    )


@dataclass(frozen=True, kw_only=True)
class SummarizeOptions(RunOptions, SummaryOptions):
    """All options of `summarize`."""


@dataclass(frozen=True, kw_only=True)
class BatchRunOptions(MessageOptions, SessionOptions, SummaryOptions, BatchOptions):
    """All options of `batch run`."""

    @property
    def summary(self) -> SummaryOptions | None:
        """What a summary is to be like; None where none is wanted."""
        if not self.summarize:
            return None
        return SummaryOptions(length=self.length, style=self.style, language=self.language)

    @property
    def session(self) -> SessionOptions:
        """Those of a session alone."""
        names = (declared.name for declared in fields(SessionOptions))
        return SessionOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class ChatOptions(MessageOptions, SessionOptions):
    """All options of `chat`."""

    json: bool = option(
        False,
        Group.OUTPUT,
        "Print each answer as one line of JSON, with its statistics.",
        "--json",
    )
    stats: StatsLevel = option(
        StatsLevel.OFF,
        Group.OUTPUT,
        "Print the statistics of each answer on stderr; --stats alone is full, like /stats.",
        "--stats",
    )
    no_stats: bool = option(
        False, Group.OUTPUT, "Print no statistics (same as --stats off).", "--no-stats"
    )


@dataclass(frozen=True, kw_only=True)
class ExportOptions(MessageOptions, FileOptions):
    """All options of `batch export`."""


@dataclass(frozen=True, kw_only=True)
class ExtractOptions(MessageOptions, FileOptions, StatsOptions, ModelOptions, DocumentOptions):
    """All options of `extract`."""

    offline: bool = option(
        False,
        Group.MODEL,
        "Open no socket: use only what is on disk (same as HF_HUB_OFFLINE=1).",
        "--offline",
        env="FASTKV_OFFLINE",
    )
    json: bool = option(
        False,
        Group.OUTPUT,
        "Print one JSON object with the text and counts of each page.",
        "--json",
    )


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(MessageOptions, FileOptions, DeviceOptions):
    """Options of the commands that measure a model."""

    json: bool = option(
        False,
        Group.OUTPUT,
        "Print one JSON object with all figures, and the settings and versions they depend on.",
        "--json",
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(MeasureOptions, ReportOptions, ModelOptions, EvalOptions):
    """All options of `eval`."""

    heatmap: Path | None = option(
        None, Group.MEASUREMENT, "Write the needles as a PNG picture.", metavar="FILE"
    )
    csv: bool = option(False, Group.MEASUREMENT, "Comma-separated figures.", "--csv")


@dataclass(frozen=True, kw_only=True)
class BenchOptions(MeasureOptions, ReportOptions, ModelOptions, SpeedOptions):
    """All options of `bench`."""

    csv: bool = option(False, Group.MEASUREMENT, "Comma-separated figures.", "--csv")
    md: bool = option(False, Group.MEASUREMENT, "A Markdown table.", "--md")
    plot: Path | None = option(None, Group.MEASUREMENT, "Draw it as a PNG picture.", metavar="FILE")


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(MeasureOptions, CalibrationOptions):
    """All options of `calibrate`."""


@dataclass(frozen=True, kw_only=True)
class ProfileHeadsOptions(MeasureOptions, HeadOptions):
    """All options of `profile-heads`."""


PlainOptions = MessageOptions  # for commands without a model
_CONTEXT = "typer_context"  # the parameter that Typer fills with its context


def complete_models(incomplete: str) -> list[str]:
    """Complete the names of models that need no download; else a part that one name has."""
    from ..models import known_model_names

    names = known_model_names()
    begin = [name for name in names if name.startswith(incomplete)]
    if begin:
        return begin
    within = [name for name in names if incomplete.lower() in name.lower()]
    return within if len(within) == 1 else []


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a dataclass to a command, which receives them as one value, `options`.

    Typer reads options from a function's signature, so the fields become its parameters. The
    dataclass is the annotation of the command's parameter `options`.
    """
    own = inspect.signature(command, eval_str=True).parameters
    kind = own["options"].annotation
    hints = get_type_hints(kind)
    shared = [
        inspect.Parameter(
            declared.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=declared.default,
            annotation=_annotation(declared, hints[declared.name]),
        )
        for declared in sorted(fields(kind), key=_panel)
    ]
    others = [parameter for parameter in own.values() if parameter.name != "options"]

    def expanded(**values: Any) -> None:
        arguments = {parameter.name: values.pop(parameter.name) for parameter in others}
        with applied_settings(values.pop(_CONTEXT), values):
            options = kind(**values)
            introduce_embedded(options)
            command(**arguments, options=options)

    context = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    signature = inspect.Signature([*others, *shared, context])
    expanded.__signature__ = signature  # type: ignore[attr-defined]
    expanded.__annotations__ = {
        parameter.name: parameter.annotation for parameter in signature.parameters.values()
    }
    expanded.__name__, expanded.__doc__ = command.__name__, command.__doc__
    return expanded


def _panel(declared: Field[Any]) -> int:
    """Sort key: panels in the order of `Group`; within a panel the order of declaration stays."""
    return list(Group).index(_option(declared).group)


def _option(declared: Field[Any]) -> Option:
    found: Option = declared.metadata["option"]
    return found


def _annotation(declared: Field[Any], kind: Any) -> Any:
    """The type of an option, annotated for Typer."""
    known = _option(declared)
    return Annotated[
        kind,
        typer.Option(
            *known.flags,
            metavar=known.metavar,
            envvar=known.env,
            help=known.help,
            show_default=known.shown_default,
            rich_help_panel=known.group,
            autocompletion=complete_models if known.completes == "models" else None,
        ),
    ]
