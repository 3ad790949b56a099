"""Slash commands of a conversation, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FastKVError, OutputError, UsageError
from ...evidence.places import name_places
from ...output.console import strip_controls
from ...output.output_file import ExistsError, check_writable, write_file
from ...output.render.answer_tables import printable
from ...output.render.stats_table import render_tables
from ...output.stats_level import StatsLevel
from ...session.answer import render_answer_page
from ...session.conversation import Chat
from .transcript import INTERRUPTED, render_markdown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...stats import RunReport

_MARK = "/"


class LeavingError(Exception):
    """The user ended the conversation."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        usage: its name and argument.
        help: what it does, on one line.
        run: runs it on a conversation and the argument; returns the output to print.
    """

    usage: str
    help: str
    run: Callable[[Chat, str], Iterator[RenderableType]]


def as_question(text: str) -> str | None:
    """The question in a typed text; None if it is a command.

    A question that begins with a slash is typed with two.
    """
    if not text.startswith(_MARK):
        return text
    return text[1:] if text.startswith(2 * _MARK) else None


def run_command(conversation: Chat, text: str) -> Iterator[RenderableType]:
    """Run a slash command; returns the output to print.

    Raises:
        LeavingError: when it ends the conversation.
        UsageError: when the command is unknown, or its argument is missing.
        OutputError: when a file cannot be written.
    """
    name, _, rest = text.strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(
            f"unknown command {name}", "/help lists all; type // to begin a question with a slash"
        )
    yield from command.run(conversation, rest.strip())


def _help(_: Chat, __: str) -> Iterator[RenderableType]:
    listed = {command.usage: command.help for command in COMMANDS.values()}
    keys = {
        "Alt-Enter, Ctrl-J": "Start a new line; so does Enter after a backslash.",
        "Ctrl-C": "Stop the answer; its text so far stays.",
        "Ctrl-D": "Leave the chat.",
        "//…": "Ask a question that begins with a slash.",
    }
    yield _table(listed | keys)


def _leave(_: Chat, __: str) -> Iterator[RenderableType]:
    raise LeavingError


def _clear(conversation: Chat, _: str) -> Iterator[RenderableType]:
    conversation.clear()
    yield "The conversation is cleared; the documents stay loaded."


def _stats(conversation: Chat, _: str) -> Iterator[RenderableType]:
    yield from render_tables(_last(conversation), StatsLevel.FULL)


def _sources(conversation: Chat, _: str) -> Iterator[RenderableType]:
    report = _last(conversation)
    citations = report.evidence.citations
    if not citations:
        yield "The last answer has no sources in the documents."
        return
    places = (
        f"{name_places([citation], paths=report.paths)} ({citation.score:.0%})"
        for citation in citations
    )
    snippets = (citation.snippet for citation in citations)
    yield _table(dict(zip(places, snippets, strict=True)))


def _write(
    render: Callable[[Chat], str], example: str, force: bool, conversation: Chat, name: str
) -> Iterator[RenderableType]:
    """Write the conversation to a file.

    Args:
        render: gives the file's text.
        example: a use of the command.
        force: whether to replace an existing file.
        conversation: to write.
        name: the file's, as it was typed.
    """
    if not name:
        raise UsageError("no file given", f"name one, as in: {example}")
    if not conversation.exchanges:
        raise UsageError("the conversation is empty", "ask a question first")
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # ~ of an unknown user
        path = Path(name)
    try:
        check_writable(path, force=force)
    except ExistsError:
        again = f"{example.split(maxsplit=1)[0]}! {name}"
        raise OutputError(f"{name} exists already", f"{again} replaces it") from None
    write_file(path, render(conversation).encode("utf-8", "replace"))
    number = len(conversation.exchanges)
    answers = f"{number} {'answer' if number == 1 else 'answers'}"
    yield f"{answers} written to {printable(name)}"


def _markdown(conversation: Chat) -> str:
    stats = conversation.session.document_stats
    return strip_controls(render_markdown(stats, conversation.exchanges))


def _page(conversation: Chat) -> str:
    """The report page of all answers; an interrupted one stands on it as such."""
    return render_answer_page(
        [
            (each.question, each.answer or FastKVError(INTERRUPTED))
            for each in conversation.exchanges
        ]
    )


def _last(conversation: Chat) -> RunReport:
    """The report of the last answer.

    Raises:
        UsageError: when there is no answer, or it was interrupted.
    """
    if not conversation.exchanges:
        raise UsageError("there is no answer yet", "ask a question first")
    if conversation.last is None:
        raise UsageError("the last answer was interrupted and has no report", "ask again")
    return conversation.last.report


def _table(rows: dict[str, str]) -> RenderableType:
    """A table with a row of name and value for each item."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True, overflow="ellipsis", max_width=40)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(printable(name)), Text(printable(value)))
    return table


_EXIT = Command("/exit, /quit", "Leave the chat.", _leave)
COMMANDS = {
    "/help": Command("/help", "List the commands.", _help),
    "/stats": Command("/stats", "Print all statistics of the last answer.", _stats),
    "/sources": Command(
        "/sources", "List the sources of the last answer, with quotations.", _sources
    ),
    "/save": Command(
        "/save FILE",
        "Write the conversation to a file, as Markdown.",
        partial(_write, _markdown, "/save chat.md", False),
    ),
    "/save!": Command(
        "/save! FILE",
        "The same, but replace an existing file.",
        partial(_write, _markdown, "/save chat.md", True),
    ),
    "/report": Command(
        "/report FILE",
        "Write a page with the answers, their quotes and the text, as HTML.",
        partial(_write, _page, "/report chat.html", False),
    ),
    "/report!": Command(
        "/report! FILE",
        "The same, but replace an existing file.",
        partial(_write, _page, "/report chat.html", True),
    ),
    "/clear": Command("/clear", "Clear the conversation, but keep the documents loaded.", _clear),
    "/exit": _EXIT,
    "/quit": _EXIT,
}
