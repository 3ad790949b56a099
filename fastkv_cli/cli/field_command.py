"""`fastkv ask --schema`: fields as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError
from ..fields.read_schema import OBJECT_TOKENS, read_schema
from .commands.sources import check_any

if TYPE_CHECKING:
    from ..fields.field import Schema
    from .option_sets import RunOptions

_EXAMPLE = "as in: fastkv ask invoice.pdf --schema 'vendor, total float'"
# Options that change the text of an answer, and what they would break.
_OTHERS = {
    "cite": "the place of each value is in --json",
    "extractive": "values are copied from the documents anyway",
    "report": "--json has the quote of each value",
}


def run_schema(
    paths: list[str], given: str | None, options: RunOptions, *, multi: bool = False
) -> None:
    """Fill in a schema from documents, and print the object.

    Args:
        paths: all arguments of the command; none means standard input.
        given: the value of --schema.
        options: of the command.
        multi: whether every row of a list is wanted.

    Raises:
        FastKVError: on any failure, with its exit code; an object that does not fit --max-tokens is
            printed as far as it goes, and then an error.
    """
    if given is None:
        raise UsageError("--schema-multi needs --schema", _EXAMPLE)
    for name, reason in _OTHERS.items():
        if getattr(options, name):
            raise UsageError(f"--schema and --{name} exclude each other", reason)
    schema = read_schema(given, multi=multi)
    options.check_all()
    check_any(paths, f"name one, {_EXAMPLE}")
    sources = paths or ["-"]
    if options.dry_run:
        _forecast(sources, options, schema)
        return
    from .run import answer_once

    answer_once(
        "ask",
        sources,
        options,
        options.max_tokens or OBJECT_TOKENS,
        lambda session: session.stream_fields(schema),
        asks_again=True,
    )


def _forecast(sources: list[str], options: RunOptions, schema: Schema) -> None:
    """Print the dry run: that of the field that leaves the least room for text."""
    from ..tasks.field_search import wanted_fields
    from .commands.ask import forecast

    forecast(sources, options, [wanted.question for wanted in wanted_fields(schema)])
