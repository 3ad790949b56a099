"""The Typer app, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from .commands.ask import ask
from .commands.summarize import summarize
from .console import print_error
from .errors import ExitCode, FastKVError
from .options import with_run_options
from .version import __version__

_EPILOG = "[bold]Exit codes[/]\n" + "\n".join(
    f"[cyan]{code.value:>3}[/]  {code.meaning}" for code in ExitCode
)

app = typer.Typer(
    name="fastkv",
    help="Read long documents with a local language model, fast: FastKV on the command line.",
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
def _options_of_the_app(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


for command in (summarize, ask):
    app.command()(with_run_options(command))


def run(arguments: Sequence[str]) -> int:
    """Run the app; gives the exit code. Every expected failure is one line on stderr."""
    try:
        result = app(args=list(arguments), prog_name="fastkv", standalone_mode=False)
        code = result if isinstance(result, int) else ExitCode.OK
    except typer.TyperException as error:  # the command line itself: unknown option, bad value
        code = _fail(error.format_message(), ExitCode.USAGE, arguments)
    except FastKVError as error:
        code = _fail(str(error), error.exit_code, arguments)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the boundary: nobody is to see a traceback)
        name = type(error).__name__
        text = f"unexpected {name}: {error}; run again with --debug, and please report it"
        code = _fail(text, ExitCode.FAILURE, arguments)
    return int(code)


def _fail(message: str, code: ExitCode, arguments: Sequence[str]) -> ExitCode:
    if "--debug" in arguments:
        traceback.print_exc()
    if code is not ExitCode.CLOSED_PIPE:
        print_error(message)
    return code


def main() -> None:
    """The `fastkv` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
