"""Messages between the parser process and its parent: one JSON line each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields

from ..config import PageRange
from .omissions import Note


@dataclass(frozen=True, slots=True)
class Job:
    """The job of a parser process; the bytes of the document follow.

    Attributes:
        format: "PDF", an image format, or the value of a `Format`; "" to detect one of the last.
        name: The document's name in messages.
        pages: The pages to read, as `PageRange.spans`; None for all.
        password: Of a PDF; None if none was given.
        encoding: Of a text; None to detect it.
        limit_s: Time limit; the system ends the process after 5 CPU seconds more.
        limit_bytes: Limit of address space (`RLIMIT_AS`).
        ocr: Which pages of a PDF are given a digest, to be recognized: see `OcrMode`.
        recognizes: Whether to recognize the `pages`; the time limit is that of one page.
        dpi: The resolution in which pages are drawn for it.
        num_threads: Threads for it.
        sparse: Pages with a little text, recognized only if an image covers most of them.
        attachments: Whether to read the files in a mail, too.
        member: A file to unpack from an archive; "" to read the document.
    """

    format: str
    name: str
    pages: list[tuple[int, int | None]] | None
    password: str | None
    encoding: str | None
    limit_s: float
    limit_bytes: int
    ocr: str = "off"
    recognizes: bool = False
    dpi: int = 0
    num_threads: int = 1
    sparse: list[int] = field(default_factory=list)
    attachments: bool = False
    member: str = ""

    @property
    def page_range(self) -> PageRange | None:
        """The pages to read; None for all."""
        if self.pages is None:
            return None
        return PageRange(tuple((first, last) for first, last in self.pages))


@dataclass(frozen=True, slots=True)
class Opened:
    """A PDF was opened; `is_cut_off` if its end is missing."""

    num_pages: int
    is_cut_off: bool


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page of a PDF.

    Attributes:
        number: 1-based.
        text: Cleaned on its own; "" if there is none.
        shows_image: Whether a page without text shows an image.
        visible, named, odd: Counts in the raw text: visible characters, those that spell glyph
            names, and those not found in any text.
        hidden: How many invisible characters of each kind were removed.
        label: What is printed on it, where that is not its number.
        omissions: What was left out of it: kind → count.
        digest: Identifies what it shows, if it is to be recognized; "" if not.
        confidence: From 0 to 1, of recognized text; None of all other.
    """

    number: int
    text: str
    shows_image: bool = False
    visible: int = 0
    named: int = 0
    odd: int = 0
    hidden: dict[str, int] = field(default_factory=dict)
    label: str = ""
    omissions: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class PageFailed:
    """A page that could not be read, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Remarks:
    """What a reader reports of a document as a whole; see `decode_notes`."""

    notes: list[Note]


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of the text of a document without pages.

    Sent in pieces, because decoding one blocks the interpreter, Ctrl-C included: 20 million
    characters take half a second.

    Attributes:
        text: Continues the text of the pieces before.
        gap_starts, gap_more: The gaps that begin in it, as in `LineGaps`.
    """

    text: str
    gap_starts: list[int] = field(default_factory=list)
    gap_more: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MemberPart:
    """A piece of a file in an archive, in base64."""

    data: str


@dataclass(frozen=True, slots=True)
class TextRead:
    """All text of a document without pages was sent: its `Format`, and notes as in `Remarks`."""

    format: str
    notes: list[Note]


@dataclass(frozen=True, slots=True)
class Refused:
    """An error for the user, raised in the process: its class, message and hint."""

    error: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The process ended early; the parent creates this message if the process cannot."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Done:
    """The last message."""


Message = (
    Opened
    | PageRead
    | PageFailed
    | Remarks
    | TextPart
    | MemberPart
    | TextRead
    | Refused
    | Stopped
    | Done
)
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        Opened,
        PageRead,
        PageFailed,
        Remarks,
        MemberPart,
        TextPart,
        TextRead,
        Refused,
        Stopped,
        Done,
    )
}


def encode(message: Message | Job) -> bytes:
    """One line, including its line end."""
    values = [getattr(message, each.name) for each in fields(message)]
    line = json.dumps([type(message).__name__, *values], ensure_ascii=False) + "\n"
    return line.encode("utf-8", "surrogatepass")


def decode(line: bytes) -> Message:
    """Decode a line.

    Raises:
        ValueError: when it is not a message; a crashed process may leave half a line.
    """
    try:
        name, *values = json.loads(line.decode("utf-8", "surrogatepass"))
        return _KINDS[name](*values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no message: {line[:80]!r}") from error


def decode_job(line: bytes) -> Job:
    _, *values = json.loads(line.decode("utf-8", "surrogatepass"))
    return Job(*values)
