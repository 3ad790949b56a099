"""Options on the command line: what session/options.py declares, and what only a console has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..errors import UsageError
from ..output.stats_level import StatsLevel
from ..session.option import Group, Option, option
from ..session.options import DeviceOptions, DocumentOptions, ModelOptions, SessionOptions
from ..session.summary_options import SummaryOptions


@dataclass(frozen=True, kw_only=True)
class MessageOptions:
    """What is shown beside an answer."""

    quiet: bool = option(False, Group.OUTPUT, "Show nothing on stderr but errors.", "--quiet", "-q")
    debug: bool = option(False, Group.OUTPUT, "Show the traceback of an error.", "--debug")


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Where the answer goes."""

    output: Path | None = option(
        None,
        Group.OUTPUT,
        "Write to FILE, whole or not at all, in place of stdout.",
        "--output",
        "-o",
        metavar="FILE",
        shown_default=False,
    )
    force: bool = option(False, Group.OUTPUT, "Let -o replace a file that exists.", "--force")


@dataclass(frozen=True, kw_only=True)
class StatsOptions:
    """How much of the statistics is printed."""

    stats: StatsLevel | None = option(
        None,
        Group.OUTPUT,
        "Print the statistics on stderr, after the answer; --stats alone is brief.",
        "--stats",
        shown_default="brief; off with --json",
    )
    no_stats: bool = option(
        False, Group.OUTPUT, "Print no statistics (as --stats off).", "--no-stats"
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
    """How an answer is shown."""

    json: bool = option(
        False, Group.OUTPUT, "Print one JSON object: the answer and the statistics.", "--json"
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(AnswerOutput, SessionOptions):
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
        "Tell pages, tokens, parts and memory; load no weights and answer nothing.",
        "--dry-run",
    )


@dataclass(frozen=True, kw_only=True)
class SummarizeOptions(RunOptions, SummaryOptions):
    """All options of `summarize`."""


@dataclass(frozen=True, kw_only=True)
class ChatOptions(MessageOptions, SessionOptions):
    """All options of a conversation."""

    json: bool = option(
        False,
        Group.OUTPUT,
        "Print a line of JSON for each answer, with its statistics, in place of the answer.",
        "--json",
    )
    stats: StatsLevel = option(
        StatsLevel.OFF,
        Group.OUTPUT,
        "Print the statistics of each answer on stderr; --stats alone is full, as /stats.",
        "--stats",
    )
    no_stats: bool = option(
        False, Group.OUTPUT, "Print no statistics (as --stats off).", "--no-stats"
    )


@dataclass(frozen=True, kw_only=True)
class ExtractOptions(MessageOptions, FileOptions, StatsOptions, ModelOptions, DocumentOptions):
    """All options of `extract`."""

    offline: bool = option(
        False,
        Group.MODEL,
        "Open no socket (as HF_HUB_OFFLINE=1).",
        "--offline",
        env="FASTKV_OFFLINE",
    )
    json: bool = option(False, Group.OUTPUT, "Print one JSON object: the pages, counted.", "--json")


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(MessageOptions, FileOptions, DeviceOptions):
    """The options of the commands that measure a model."""

    json: bool = option(
        False,
        Group.OUTPUT,
        "Print one JSON object: all figures, and what they were measured with.",
        "--json",
    )


@dataclass(frozen=True, kw_only=True)
class ModelMeasureOptions(MeasureOptions, ModelOptions):
    """The same, where the model is an option."""


PlainOptions = MessageOptions  # of the commands that need no model


def check_exists(name: str, path: Path | None) -> None:
    """Raise a UsageError where an option names something that is not there."""
    try:
        if path is None or path.exists():
            return
    except OSError as error:  # a name that is too long for one, or a folder without rights
        raise UsageError(f"{name} {path} cannot be read ({error.strerror})", "check it") from None
    raise UsageError(f"{name} {path} is not there", "check the path")


def check_samples(samples: int) -> None:
    """Raise a UsageError unless something is to be asked."""
    if samples < 1:
        raise UsageError(f"--samples {samples} is out of range", "it is 1 or more")


def complete_models(incomplete: str) -> list[str]:
    """Models that need no download, for TAB."""
    from ..models import known_model_names

    return [name for name in known_model_names() if name.startswith(incomplete)]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a dataclass; it receives them whole, as `options`.

    Typer reads options off a function's signature, so the fields are put into one. Which dataclass
    it is, the annotation of the parameter `options` tells.
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


def _panel(declared: Field[Any]) -> int:
    """Panels in the order of `Group`; what is declared of a panel stays in its order."""
    return list(Group).index(_option(declared).group)


def _option(declared: Field[Any]) -> Option:
    found: Option = declared.metadata["option"]
    return found


def _annotation(declared: Field[Any], kind: Any) -> Any:
    """The type of an option with all that Typer wants to know of it."""
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
