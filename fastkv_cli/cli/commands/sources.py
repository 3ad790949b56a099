"""The documents argument of commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ...errors import UsageError

PathsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH…|-]",
        show_default=False,
        help="Documents, folders or patterns; - (or nothing, in a pipe) is stdin.",
    ),
]


def check_any(paths: Sequence[str] | None, hint: str) -> None:
    """Check that there is a document: a path, or a pipe on stdin.

    Raises:
        UsageError: when there is none, with the hint.
    """
    if not paths and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("no document given", hint)
