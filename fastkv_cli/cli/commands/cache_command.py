"""`fastkv cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import FastKVError, UsageError
from ...sizes import parse_age, parse_size
from ..option_sets import PlainOptions, with_options

cache = typer.Typer(
    help="List, verify and remove cached document states.",
    epilog="States take at most [cyan]FASTKV_STORE_LIMIT[/] (5GB); the least recently used are "
    "removed first. [cyan]FASTKV_STORE=off[/] stores none.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def complete_states(incomplete: str) -> list[str]:
    """Complete the keys and documents of stored states."""
    from ...store import StateStore, default_store_dir

    try:
        entries = StateStore(default_store_dir(), limit_bytes=0).entries()
    except FastKVError:  # there is no cache folder
        return []
    names = dict.fromkeys(name for entry in entries for name in (entry.key, *entry.documents))
    return [name for name in names if name.startswith(incomplete) and name.isprintable()]


NamesArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY|DOCUMENT…]",
        show_default=False,
        autocompletion=complete_states,
        help="Documents or keys, as listed by ls; 4 or more unique first digits of a key suffice.",
    ),
]
ListJsonOpt = Annotated[
    bool,
    typer.Option("--json", rich_help_panel="Output", help="Print one JSON object with all fields."),
]
AllOpt = Annotated[bool, typer.Option("--all", help="Remove all states.")]
YesOpt = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")]
LimitOpt = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Shrink the store to this size, as 2GB, 500MB or 0.",
        show_default="FASTKV_STORE_LIMIT, or 5GB",
    ),
]
OlderOpt = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Also remove states unused for this long, as 30d, 12h or 2w."
    ),
]


def ls(json: ListJsonOpt = False, *, options: PlainOptions) -> None:
    """List the stored states: documents, tokens, size, model and last use."""
    from .. import housekeeping

    housekeeping.list_states(json=json, quiet=options.quiet)


def rm(
    names: NamesArg = None, all_: AllOpt = False, yes: YesOpt = False, *, options: PlainOptions
) -> None:
    """Remove states by key or document."""
    if bool(names) == all_:
        raise UsageError("name the states to remove, or give --all", "fastkv cache ls lists them")
    from .. import housekeeping

    if names:
        housekeeping.remove_states(names, quiet=options.quiet)
    else:
        housekeeping.remove_all(yes=yes, quiet=options.quiet)


def prune(limit: LimitOpt = None, older_than: OlderOpt = None, *, options: PlainOptions) -> None:
    """Remove states, the least recently used first, until the rest is within the limit."""
    from .. import housekeeping

    housekeeping.prune_states(
        None if limit is None else parse_size(limit),
        None if older_than is None else parse_age(older_than),
        quiet=options.quiet,
    )


def path(*, options: PlainOptions) -> None:
    """Print the folder of the states."""
    del options  # prints no messages
    from .. import housekeeping

    housekeeping.show_path()


def verify(json: ListJsonOpt = False, *, options: PlainOptions) -> None:
    """Verify the header and checksums of every state."""
    from .. import housekeeping

    housekeeping.verify_states(json=json, quiet=options.quiet)


for command in (ls, rm, prune, path, verify):
    cache.command(command.__name__)(with_options(command))
