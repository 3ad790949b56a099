"""The Typer app; the only place where errors become a line on stderr and an exit code."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from ..errors import ExitCode, FastKVError, as_failure
from ..output.console import print_error, print_traceback
from ..system.termination import clean_up_at_signals
from ..version import __version__
from .bare_stats import expand_stats
from .commands.ask import ask
from .commands.batch_command import batch
from .commands.bench import bench
from .commands.cache_command import cache
from .commands.calibrate import calibrate
from .commands.chat import chat
from .commands.config_command import config
from .commands.evaluate import evaluate
from .commands.extract import extract
from .commands.models_command import models
from .commands.profile_heads import profile_heads
from .commands.summarize import summarize
from .option_sets import with_options

_EPILOG = "[bold]Exit codes[/]\n" + "\n".join(
    f"[cyan]{code.value:>3}[/]  {code.meaning}" for code in ExitCode
)

app = typer.Typer(
    name="fastkv",
    help="Ask and summarize long documents with a local language model, made fast by FastKV.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fastkv {__version__}")
        raise typer.Exit


@app.callback()
def _app_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


_COMMANDS: dict[str, Callable[..., None]] = {
    "summarize": summarize,
    "ask": ask,
    "chat": chat,
    "extract": extract,
    "eval": evaluate,
    "bench": bench,
    "calibrate": calibrate,
    "profile-heads": profile_heads,
    "config": config,
}
_GROUPS = {
    "batch": (batch, "fastkv batch FOLDER --out RESULTS --summarize"),
    "models": (models, "fastkv models info NAME"),
    "cache": (cache, "fastkv cache ls"),
}
for name, command in _COMMANDS.items():
    app.command(name)(with_options(command))
for name, (group, _) in _GROUPS.items():
    app.add_typer(group, name=name)


def run(arguments: Sequence[str]) -> int:
    """Run the app and return the exit code; every failure is one line on stderr."""
    debug = "--debug" in arguments
    try:
        code = _call_app(arguments)
        sys.stdout.flush()  # here, where a closed pipe still gets its own exit code
    except typer.TyperException as error:  # the command line: an unknown option, a bad value
        code = _fail(_explain_usage(error, arguments), ExitCode.USAGE, debug)
    except FastKVError as error:
        code = _fail(str(error), error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted", ExitCode.INTERRUPTED, debug)
    except Exception as error:  # noqa: BLE001 (the boundary: users see no traceback)
        failure = as_failure(error)
        code = _fail(str(failure), failure.exit_code, debug)
    return int(code)


def _call_app(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command; return its exit code."""
    try:
        result = app(args=expand_stats(arguments), prog_name="fastkv", standalone_mode=False)
    except SystemExit as exiting:  # Typer's own options
        return exiting.code if isinstance(exiting.code, int) else ExitCode.FAILURE
    if result == ExitCode.INTERRUPTED:  # Typer returns this number at Ctrl-C
        raise KeyboardInterrupt
    return result if isinstance(result, int) else ExitCode.OK


def _explain_usage(error: typer.TyperException, arguments: Sequence[str]) -> str:
    """The message for a wrong command line, with the help to read."""
    names = [*_COMMANDS, *_GROUPS]
    name = next((argument for argument in arguments if argument in names), None)
    path = f"fastkv {name}" if name else "fastkv"
    if type(error).__name__ == "NoArgsIsHelpError":  # the help was printed on stdout
        _, example = _GROUPS.get(name or "", (None, "fastkv summarize FILE"))
        return f"no command given: try {example}"
    message = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    return f"{message} (see {path} --help)"


def _fail(message: str, code: ExitCode, debug: bool) -> ExitCode:
    if debug:
        print_traceback()
    if code is not ExitCode.CLOSED_PIPE:
        print_error(message)
    return code


def main() -> None:
    """Run the `fastkv` command."""
    clean_up_at_signals()
    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is written: Ctrl-C ends nothing any more
    gc.freeze()  # the interpreter ends 0.2 s sooner where torch was imported
    sys.exit(code)


if __name__ == "__main__":
    main()
