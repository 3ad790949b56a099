"""Convert web pages to Markdown: visible text only; hidden text is reported."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from .blocks import BlockWriter
from .css import look_of_style, looks_of_style_sheets
from .decode_text import decode_as, decode_text, refuse_binary
from .encodings import encoding_of_mark, superset, unmarked_wide_encoding
from .formulas import Node, from_mathml
from .omissions import Note, counted
from .survey import survey_page, walk

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_HEAD_BYTES = 16 * 1024
_MAX_DEPTH = 60
_INLINE = frozenset(("a", "b", "em", "font", "i", "small", "span", "strong", "u"))
_DECLARED = re.compile(
    rb"<meta\s[^>]{0,500}?charset\s*+=\s*+[\"']?\s*+([\w.:-]{2,40})"
    rb"|<\?xml\s[^>]{0,200}?encoding\s*+=\s*+[\"']([\w.:-]{2,40})",
    re.IGNORECASE,
)


def read_html(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read a web page that was saved as HTML.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: The user's choice; None to use its byte order mark or the declared encoding,
            unless that is impossible, and to guess otherwise.

    Returns:
        The text as Markdown, and notes (guessed encoding, hidden text, what was not read).

    Raises:
        DocumentError: when it is binary data.
    """
    source, warnings = decode_html(data, name, encoding)
    page = html_to_text(source)
    return page.text, (*warnings, *hidden_warning(page.num_hidden), *page.notes())


def hidden_warning(num_places: int) -> tuple[str, ...]:
    """The warning about text that a page hides from its readers, if there is any."""
    if not num_places:
        return ()
    return (f"hidden text left out: {num_places:,} place{'s' if num_places > 1 else ''}",)


class PageText(NamedTuple):
    """A web page as Markdown, the places with hidden text, and what was not read (kind → count)."""

    text: str
    num_hidden: int
    omissions: Counter[str]

    def notes(self) -> list[Note]:
        """What was not read."""
        return list(counted(self.omissions))


def html_to_text(source: str, *, is_book: bool = False) -> PageText:
    """Convert a page to Markdown.

    Headings, lists, tables and preformatted text keep their form. Navigation and the like are
    dropped, and if `main` or `article` hold most of the text, so is everything around them. In a
    book, asides are notes and boxes and are kept, and page titles are dropped, as they only repeat
    the book's.
    """
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    try:
        tree = LexborHTMLParser(source)
    except SelectolaxError as error:  # it accepts any text, so it fails only when out of memory
        raise MemoryError(str(error)) from error
    survey = survey_page(tree, keeps_asides=is_book)
    writer = BlockWriter()
    region, depth = survey.region, 0
    looks = looks_of_style_sheets(tree)
    for event, node in walk(tree.body, survey.skipped):
        tag, key = node.tag or "", node.mem_id
        opens_region = survey.regions.get(key) == region if region else False
        opens_region = opens_region or key in survey.kept
        if event == "enter":
            depth += opens_region
            if tag in _REPLACED:
                survey.skipped.add(key)
                if region is None or depth:
                    _REPLACED[tag](node, writer)
                depth -= opens_region
                continue
            writer.open(tag, node.attributes)
            look = look_of_style(node.attributes.get("style") or "") or looks.get(key)
            if look is not None and (look == "s" or tag in _INLINE):
                looks[key] = look
                writer.open(look, {})
        elif event == "leave":
            if key in looks and (looks[key] == "s" or tag in _INLINE):
                writer.close(looks[key])
            writer.close(tag)
            depth -= opens_region
        elif region is None or depth:
            writer.text(node.text_content or "")
    title = None if is_book else tree.css_first("head > title")
    text = writer.finish(title.text() if title is not None else "")
    return PageText(text, survey.num_hidden, survey.omissions)


def _write_formula(node: LexborNode, writer: BlockWriter) -> None:
    latex = from_mathml(_as_node(node))
    if node.attributes.get("display") == "block":
        writer.open("p", {})
        writer.text(latex)
        writer.close("p")
    else:
        writer.text(latex)


def _write_drawing(node: LexborNode, writer: BlockWriter) -> None:
    """The labels of an SVG drawing as a paragraph."""
    labels = [" ".join((label.text() or "").split()) for label in node.css("text")]
    text = " ".join(filter(None, labels))
    if text:
        writer.open("p", {})
        writer.text(text)
        writer.close("p")


def _write_choice(node: LexborNode, writer: BlockWriter) -> None:
    chosen = node.css("option[selected]")
    text = ", ".join(" ".join((option.text() or "").split()) for option in chosen)
    writer.text(f" {text} " if text else "")


def _write_typed(node: LexborNode, writer: BlockWriter) -> None:
    writer.text(f" {(node.text() or '').strip()} ")


_REPLACED = {  # elements whose text is not that of their children
    "math": _write_formula,
    "svg": _write_drawing,
    "select": _write_choice,
    "textarea": _write_typed,
}


def _as_node(node: LexborNode, depth: int = 0) -> Node:
    """An element of MathML as a node; what is nested deeper than 60 levels is left out."""
    made = Node(node.tag or "", "", {name: value or "" for name, value in node.attributes.items()})
    child = node.first_child if depth < _MAX_DEPTH else None
    while child is not None:
        if child.is_text_node:
            made.text += child.text_content or ""
        elif child.is_element_node:
            made.children.append(_as_node(child, depth + 1))
        child = child.next
    return made


def decode_html(data: bytes, name: str, encoding: str | None) -> tuple[str, tuple[str, ...]]:
    """Decode by the user's choice, else the byte order mark, else a plausible declaration."""
    if encoding is not None or encoding_of_mark(data) or unmarked_wide_encoding(data):
        return decode_text(data, name, encoding)
    refuse_binary(data, name)
    codec = _declared_codec(data)
    if codec is None or codec.startswith("utf"):  # an ASCII tag rules out UTF-16
        return decode_text(data, name)
    if not data.isascii():
        try:
            return data.decode("utf-8"), ()  # re-saved as UTF-8 with the old tag
        except UnicodeDecodeError:
            pass
    return decode_as(data, codec)


def _declared_codec(data: bytes) -> str | None:
    """The codec that a page declares; None if it has none, or one that does not decode text."""
    declared = _DECLARED.search(data[:_HEAD_BYTES])
    if declared is None:
        return None
    try:
        codec = superset((declared[1] or declared[2]).decode("ascii"))
        bytes(range(256)).decode(codec, "replace")  # raises for zlib, punycode and the like
    except (LookupError, ValueError):
        return None
    return codec
