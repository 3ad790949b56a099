"""What begins with a slash: commands to the conversation, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import OutputError, UsageError
from ...evidence.places import name_places
from ...output.console import strip_controls
from ...output.output_file import ExistsError, check_writable, write_file
from ...output.render.answer_tables import printable
from ...output.render.stats_table import render_tables
from ...output.stats_level import StatsLevel
from ...session.conversation import Chat
from .transcript import render_markdown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...stats import RunReport

_MARK = "/"


class LeavingError(Exception):
    """The conversation is over, as its user wished."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        usage: its name, and what stands behind it.
        help: what it does, on a line.
        run: does it; gives what is to be shown.
    """

    usage: str
    help: str
    run: Callable[[Chat, str], Iterator[RenderableType]]


def as_question(text: str) -> str | None:
    """What is asked by a text that was typed; None where it is a command.

    Two slashes at its head stand for one.
    """
    if not text.startswith(_MARK):
        return text
    return text[1:] if text.startswith(2 * _MARK) else None


def run_command(conversation: Chat, text: str) -> Iterator[RenderableType]:
    """Do what a text with a slash at its head says; gives what is to be shown.

    Raises:
        LeavingError: when it ends the conversation.
        UsageError: when there is no such command, or something is missing behind it.
        OutputError: when a file cannot be written.
    """
    name, _, rest = text.strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(f"{name} is no command", "/help lists them, and // sends a slash")
    yield from command.run(conversation, rest.strip())


def _help(_: Chat, __: str) -> Iterator[RenderableType]:
    listed = {command.usage: command.help for command in COMMANDS.values()}
    keys = {
        "Alt-Enter, Ctrl-J": "A new line; so does a backslash at the end of one.",
        "Ctrl-C": "Ends an answer; what there is of it stays.",
        "Ctrl-D": "Leaves.",
        "//…": "A question that begins with a slash.",
    }
    yield _table(listed | keys)


def _leave(_: Chat, __: str) -> Iterator[RenderableType]:
    raise LeavingError


def _clear(conversation: Chat, _: str) -> Iterator[RenderableType]:
    conversation.clear()
    yield "All that was said is forgotten; the documents are not."


def _stats(conversation: Chat, _: str) -> Iterator[RenderableType]:
    yield from render_tables(_last(conversation), StatsLevel.FULL)


def _sources(conversation: Chat, _: str) -> Iterator[RenderableType]:
    report = _last(conversation)
    citations = report.evidence.citations
    if not citations:
        yield "Nothing in the documents carried the last answer."
        return
    places = (
        f"{name_places([citation], paths=report.paths)} ({citation.score:.0%})"
        for citation in citations
    )
    snippets = (citation.snippet for citation in citations)
    yield _table(dict(zip(places, snippets, strict=True)))


def _save(conversation: Chat, rest: str) -> Iterator[RenderableType]:
    yield _write(conversation, rest, force=False)


def _save_over(conversation: Chat, rest: str) -> Iterator[RenderableType]:
    yield _write(conversation, rest, force=True)


def _write(conversation: Chat, name: str, *, force: bool) -> str:
    """Write the conversation to a file; gives what is to be said of it."""
    if not name:
        raise UsageError("no file given", "name one, as in: /save talk.md")
    if not conversation.exchanges:
        raise UsageError("nothing was said yet", "ask something first")
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # a user whom nobody knows
        path = Path(name)
    try:
        check_writable(path, force=force)
    except ExistsError:
        raise OutputError(f"{name} exists already", f"/save! {name} replaces it") from None
    talk = render_markdown(conversation.session.document_stats, conversation.exchanges)
    write_file(path, strip_controls(talk).encode("utf-8", "replace"))
    number = len(conversation.exchanges)
    return f"{number} {'answer' if number == 1 else 'answers'} written to {printable(name)}"


def _last(conversation: Chat) -> RunReport:
    """What the last answer took.

    Raises:
        UsageError: when nothing is known of it.
    """
    if not conversation.exchanges:
        raise UsageError("nothing was answered yet", "ask something first")
    if conversation.last is None:
        raise UsageError("the last answer was interrupted: nothing is known of it", "ask again")
    return conversation.last.report


def _table(rows: dict[str, str]) -> RenderableType:
    """Name and value, a row each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True, overflow="ellipsis", max_width=40)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(printable(name)), Text(printable(value)))
    return table


_EXIT = Command("/exit, /quit", "Leave.", _leave)
COMMANDS = {
    "/help": Command("/help", "Show this.", _help),
    "/stats": Command("/stats", "What the last answer took.", _stats),
    "/sources": Command("/sources", "What in the documents carried the last answer.", _sources),
    "/save": Command("/save FILE", "Write the conversation to a file, as Markdown.", _save),
    "/save!": Command("/save! FILE", "The same, over a file that exists.", _save_over),
    "/clear": Command("/clear", "Forget all that was said, but not the documents.", _clear),
    "/exit": _EXIT,
    "/quit": _EXIT,
}
