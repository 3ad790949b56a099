"""`fastkv models`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import FastKVError
from ..option_sets import PlainOptions, complete_models, with_options

models = typer.Typer(
    help="List the models that can be used without a download, wherever programs keep them.",
    epilog="Searched: fastkv's own, the Hugging Face cache ([cyan]HF_HOME[/], "
    "[cyan]HF_HUB_CACHE[/]), Ollama ([cyan]OLLAMA_MODELS[/]), LM Studio and llama.cpp "
    "([cyan]LLAMA_CACHE[/]). Other programs' folders are only read.",
    invoke_without_command=True,
    rich_markup_mode="rich",
)


def complete_stored(incomplete: str) -> list[str]:
    """Complete the names of what fastkv stored."""
    from ...models.own_store import stored_names

    try:
        return [name for name in stored_names() if name.startswith(incomplete)]
    except FastKVError:  # there is no cache folder
        return []


JsonOpt = Annotated[
    bool,
    typer.Option("--json", rich_help_panel="Output", help="Print one JSON object with all fields."),
]
NameArg = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        show_default=False,
        autocompletion=complete_models,
        help="A name that fastkv models lists, or a part that only one has; or a path.",
    ),
]
StoredArg = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        show_default=False,
        autocompletion=complete_stored,
        help="A name under “Stored by fastkv”.",
    ),
]
YesOpt = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")]


@models.callback()
def list_all(context: typer.Context, json: JsonOpt = False) -> None:
    """List the models that can be used without a download, wherever programs keep them."""
    if context.invoked_subcommand is None:
        from .. import model_shelf

        model_shelf.show_models(json=json)


def info(name: NameArg, json: JsonOpt = False, *, options: PlainOptions) -> None:
    """Describe one model: files, family, window, memory, calibration."""
    del options
    from .. import model_shelf

    model_shelf.show_model(name, json=json)


def rm(name: StoredArg, yes: YesOpt = False, *, options: PlainOptions) -> None:
    """Remove a model that fastkv stored; those of other programs stay."""
    from .. import model_shelf

    model_shelf.remove_models(name, yes=yes, quiet=options.quiet)


def default(name: NameArg, *, options: PlainOptions) -> None:
    """Make a model your default, in your file of settings."""
    from .. import model_shelf

    model_shelf.set_default(name, quiet=options.quiet)


for command in (info, rm, default):
    models.command(command.__name__)(with_options(command))
