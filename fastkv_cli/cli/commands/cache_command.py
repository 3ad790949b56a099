"""`fastkv cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import FastKVError, UsageError
from ...sizes import parse_age, parse_size
from ..option_sets import PlainOptions, with_options

cache = typer.Typer(
    help="Look after what is kept of documents that were read, for further questions.",
    epilog="States are kept up to [cyan]FASTKV_STORE_LIMIT[/] (5GB), the least recently used going "
    "first. [cyan]FASTKV_STORE=off[/] keeps none.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def complete_states(incomplete: str) -> list[str]:
    """Keys and documents of what is kept, for TAB."""
    from ...store import StateStore, default_store_dir

    try:
        entries = StateStore(default_store_dir(), limit_bytes=0).entries()
    except FastKVError:  # no folder to look into: nothing to offer
        return []
    names = dict.fromkeys(name for entry in entries for name in (entry.key, *entry.documents))
    return [name for name in names if name.startswith(incomplete) and name.isprintable()]


NamesArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY|DOCUMENT…]",
        show_default=False,
        autocompletion=complete_states,
        help="Keys, or as much of them as tells them apart, or documents as ls names them.",
    ),
]
ListJsonOpt = Annotated[
    bool,
    typer.Option("--json", rich_help_panel="Output", help="One JSON object: all that is known."),
]
AllOpt = Annotated[bool, typer.Option("--all", help="Remove all states.")]
YesOpt = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LimitOpt = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What may stay, as 2GB, 500MB or 0.",
        show_default="FASTKV_STORE_LIMIT, or 5GB",
    ),
]
OlderOpt = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Also remove what was not used for so long: 30d, 12h, 2w."),
]


def ls(json: ListJsonOpt = False, *, options: PlainOptions) -> None:
    """List what is kept: documents, tokens, size, model, and when it was last used."""
    from .. import housekeeping

    housekeeping.list_states(json=json, quiet=options.quiet)


def rm(
    names: NamesArg = None, all_: AllOpt = False, yes: YesOpt = False, *, options: PlainOptions
) -> None:
    """Remove states, by their keys or documents."""
    if bool(names) == all_:
        raise UsageError("name what to remove, or give --all", "fastkv cache ls shows the keys")
    from .. import housekeeping

    if names:
        housekeeping.remove_states(names, quiet=options.quiet)
    else:
        housekeeping.remove_all(yes=yes, quiet=options.quiet)


def prune(limit: LimitOpt = None, older_than: OlderOpt = None, *, options: PlainOptions) -> None:
    """Remove states, the least recently used first, until the others keep to the limit."""
    from .. import housekeeping

    housekeeping.prune_states(
        None if limit is None else parse_size(limit),
        None if older_than is None else parse_age(older_than),
        quiet=options.quiet,
    )


def path(*, options: PlainOptions) -> None:
    """Show the folder that states are kept in."""
    del options  # there is nothing to be quiet about
    from .. import housekeeping

    housekeeping.show_path()


def verify(json: ListJsonOpt = False, *, options: PlainOptions) -> None:
    """Check every state, to the last bit."""
    from .. import housekeeping

    housekeeping.verify_states(json=json, quiet=options.quiet)


for command in (ls, rm, prune, path, verify):
    cache.command(command.__name__)(with_options(command))
