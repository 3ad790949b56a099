"""Detect the format of bytes and choose its loader; PDF is handled elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import PurePath

from .document import LineGaps
from .encodings import encoding_of_mark
from .magic import is_outlook_mail, zip_format
from .omissions import Note
from .plain_text import finish_text

_HEAD_BYTES = 4096


_Reader = Callable[[bytes, str, str | None], tuple[str, tuple[Note, ...]]]


class Format(StrEnum):
    """The supported formats, apart from PDF."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    EPUB = "epub"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    ODF = "odf"
    RTF = "rtf"
    EML = "eml"
    MSG = "msg"
    MHTML = "mhtml"
    IPYNB = "ipynb"
    CSV = "csv"
    JSON = "json"
    SUBTITLES = "subtitles"
    FB2 = "fb2"
    LATEX = "latex"


_READERS: dict[Format, tuple[str, str]] = {  # module and function
    Format.TEXT: ("decode_text", "decode_text"),
    Format.MARKDOWN: ("markdown", "read_markdown"),
    Format.HTML: ("html", "read_html"),
    Format.EPUB: ("epub", "read_epub"),
    Format.DOCX: ("office", "read_docx"),
    Format.PPTX: ("slides", "read_pptx"),
    Format.XLSX: ("readers.spreadsheet", "read_xlsx"),
    Format.ODF: ("readers.open_document", "read_odf"),
    Format.RTF: ("readers.markup", "read_rtf"),
    Format.EML: ("readers.mail", "read_eml"),
    Format.MSG: ("readers.mail", "read_msg"),
    Format.MHTML: ("readers.mail", "read_mhtml"),
    Format.IPYNB: ("readers.notebook", "read_ipynb"),
    Format.CSV: ("readers.data_text", "read_csv"),
    Format.JSON: ("readers.data_text", "read_json"),
    Format.SUBTITLES: ("readers.subtitles", "read_subtitles"),
    Format.FB2: ("readers.markup", "read_fb2"),
    Format.LATEX: ("readers.markup", "read_latex"),
}
_WITH_FILES = frozenset((Format.EML, Format.MSG))


# Suffixes picked up in folders, in lower case; a file that is named may have any name.
PDF_SUFFIX = ".pdf"
SUFFIXES: dict[str, Format] = {
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
    ".rst": Format.TEXT,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".htm": Format.HTML,
    ".html": Format.HTML,
    ".xhtml": Format.HTML,
    ".epub": Format.EPUB,
    ".docx": Format.DOCX,
    ".pptx": Format.PPTX,
    ".xlsx": Format.XLSX,
    ".xlsm": Format.XLSX,
    ".odt": Format.ODF,
    ".ods": Format.ODF,
    ".odp": Format.ODF,
    ".rtf": Format.RTF,
    ".eml": Format.EML,
    ".msg": Format.MSG,
    ".mht": Format.MHTML,
    ".mhtml": Format.MHTML,
    ".ipynb": Format.IPYNB,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSON,
    ".ndjson": Format.JSON,
    ".srt": Format.SUBTITLES,
    ".vtt": Format.SUBTITLES,
    ".fb2": Format.FB2,
    ".tex": Format.LATEX,
    ".log": Format.TEXT,
}
_BY_SUFFIX = frozenset((  # of these the bytes alone do not tell
    Format.HTML, Format.MARKDOWN, Format.CSV, Format.JSON, Format.SUBTITLES, Format.LATEX,
))  # fmt: skip
HAS_FILE_LINES = frozenset({Format.TEXT, Format.MARKDOWN})  # line numbers are those of the file
_STARTS = (
    ("{\\rtf", Format.RTF),
    ("WEBVTT", Format.SUBTITLES),
    ("\\documentclass", Format.LATEX),
)
_FB2_HEAD = 1000
_MAX_HEADERS = 200
_MIN_HEADERS = 3
_MAIL_HEADERS = frozenset((
    "from", "to", "date", "subject", "message-id", "mime-version", "received", "return-path",
    "content-type", "delivered-to",
))  # fmt: skip
_MAIL_MARKS = frozenset(("message-id", "mime-version", "received"))
# A page begins with its document type or first element, after comments and an XML header.
_PAGE_START = re.compile(
    r"\s*(?>(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*)<(?:!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)


def format_of(data: bytes, source: str) -> Format:
    """The format of a file that is not a PDF.

    The bytes decide. The suffix counts only where they do not: between plain text, Markdown and
    HTML fragments.
    """
    packed = zip_format(data)
    if packed in set(Format):
        return Format(str(packed))
    if is_outlook_mail(data):
        return Format.MSG
    by_suffix = SUFFIXES.get(PurePath(source).suffix.lower(), Format.TEXT)
    head = _head(data)
    if _PAGE_START.match(head):
        return Format.HTML
    return _by_words(head, by_suffix) or (by_suffix if by_suffix in _BY_SUFFIX else Format.TEXT)


def _by_words(head: str, by_suffix: Format) -> Format | None:
    """The format that the first words tell; None where they tell none."""
    start = head.lstrip()
    for words, kind in _STARTS:
        if start.startswith(words):
            return kind
    if "<FictionBook" in start[:_FB2_HEAD]:
        return Format.FB2
    if start.startswith("{") and (by_suffix is Format.IPYNB or '"nbformat"' in head):
        return Format.IPYNB
    names = {line.partition(":")[0].lower() for line in _header_lines(start)}
    if len(names & _MAIL_HEADERS) < _MIN_HEADERS or not names & _MAIL_MARKS:
        return None
    is_page = by_suffix is Format.MHTML or "snapshot-content-location" in names
    return Format.MHTML if is_page else Format.EML


def _header_lines(start: str) -> list[str]:
    """The lines of a mail's header; none if what stands first is none."""
    lines: list[str] = []
    for line in start.splitlines()[:_MAX_HEADERS]:
        name = line.partition(":")[0]
        if not line:
            break
        if line[0] in " \t" or line.startswith(("From ", ">From ")):
            continue
        if name == line or not name.replace("-", "").isalnum():
            return []
        lines.append(line)
    return lines


def read_as(
    kind: Format,
    data: bytes,
    name: str,
    encoding: str | None = None,
    *,
    attachments: bool = False,
) -> tuple[str, tuple[Note, ...], LineGaps]:
    """Read a file in a format.

    Args:
        kind: The format, from `format_of`.
        data: The whole file, at least one byte.
        name: The document's name in messages.
        encoding: Of text, Markdown and HTML; None to detect it.
        attachments: Whether to read the files in a mail, too.

    Returns:
        The cleaned text, notes, and the line gaps of the cleaned text.

    Raises:
        DocumentError: when the file is damaged, not text, too large or without text, or when its
            parser is not installed.
    """
    module, function = _READERS[kind]
    read: _Reader = getattr(import_module(f".{module}", __package__), function)
    if attachments and kind in _WITH_FILES:
        read = partial(read, attachments=True)  # type: ignore[call-arg]
    return finish_text(*read(data, name, encoding), name)


def _head(data: bytes) -> str:
    """The first characters, enough to detect a web page: its tags are ASCII in any encoding."""
    head = data[:_HEAD_BYTES]
    encoding = encoding_of_mark(head)
    if encoding is None and head[:2] in {b"<\0", b"\0<"}:
        encoding = "utf-16-le" if head[0] else "utf-16-be"
    return head.decode(encoding or "latin-1", "replace").removeprefix("\ufeff")
