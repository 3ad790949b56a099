"""What the process that reads a document tells its parent: one message a line, as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is to do; the bytes of the document follow.

    Attributes:
        format: "PDF", or the value of a `Format`; "" is to find out which of these.
        name: How messages call the document.
        pages: The pages to read, as `PageRange.spans`; None is all.
        password: Of a PDF; None where there is none.
        encoding: Of a text; None is to find out.
        limit_s: Seconds of computing after which the system may end the process.
        limit_bytes: The most memory that it may take, in addresses.
    """

    format: str
    name: str
    pages: list[tuple[int, int | None]] | None
    password: str | None
    encoding: str | None
    limit_s: float
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A PDF was opened; `is_cut_off` where its end is missing."""

    num_pages: int
    is_cut_off: bool


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page of a PDF.

    Attributes:
        number: 1-based.
        text: Cleaned by itself; "" where it holds none.
        shows_image: Whether an empty page shows a picture.
        visible, named, odd: Of the raw text: visible characters, those that spell glyph names, and
            those that no text holds.
        hidden: How many invisible characters of each kind were taken out.
    """

    number: int
    text: str
    shows_image: bool = False
    visible: int = 0
    named: int = 0
    odd: int = 0
    hidden: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PageFailed:
    """A page that could not be read, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class TextPart:
    """Some of the text of a document without pages.

    In parts, as decoding one holds the interpreter, Ctrl-C included: 20 million characters for
    half a second.

    Attributes:
        text: What follows that of the parts before.
        gap_starts, gap_more: The gaps that begin in it, as `LineGaps` has them.
    """

    text: str
    gap_starts: list[int] = field(default_factory=list)
    gap_more: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TextRead:
    """All of a document without pages was told: its `Format`, and what is to be said about it."""

    format: str
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Refused:
    """An error for the user, raised in the process: its class, message and hint."""

    error: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The process ended before its work; the parent says so where the process no longer can."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Done:
    """All is said."""


Message = Opened | PageRead | PageFailed | TextPart | TextRead | Refused | Stopped | Done
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (Opened, PageRead, PageFailed, TextPart, TextRead, Refused, Stopped, Done)
}


def encode(message: Message | Job) -> bytes:
    """One line, its end counted in."""
    values = [getattr(message, each.name) for each in fields(message)]
    line = json.dumps([type(message).__name__, *values], ensure_ascii=False) + "\n"
    return line.encode("utf-8", "surrogatepass")


def decode(line: bytes) -> Message:
    """The message of a line.

    Raises:
        ValueError: when it is none; a process that breaks down may leave half a line.
    """
    try:
        name, *values = json.loads(line.decode("utf-8", "surrogatepass"))
        return _KINDS[name](*values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no message: {line[:80]!r}") from error


def decode_job(line: bytes) -> Job:
    """The job of a line."""
    _, *values = json.loads(line.decode("utf-8", "surrogatepass"))
    return Job(*values)
