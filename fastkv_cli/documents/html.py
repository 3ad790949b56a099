"""Convert web pages to Markdown: visible text only; hidden text is reported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .blocks import BlockWriter
from .css import hidden_by_style, hidden_by_style_sheets
from .decode_text import decode_as, decode_text, refuse_binary
from .encodings import encoding_of_mark, superset, unmarked_wide_encoding

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_HEAD_BYTES = 16 * 1024
_DECLARED = re.compile(
    rb"<meta\s[^>]{0,500}?charset\s*+=\s*+[\"']?\s*+([\w.:-]{2,40})"
    rb"|<\?xml\s[^>]{0,200}?encoding\s*+=\s*+[\"']([\w.:-]{2,40})",
    re.IGNORECASE,
)
_NOT_SHOWN = frozenset({
    "annotation", "annotation-xml", "audio", "button", "canvas", "datalist", "embed", "head",
    "iframe", "input", "map", "noembed", "noframes", "noscript", "object", "script", "select",
    "style", "svg", "template", "textarea", "video",
})  # fmt: skip
_BOILERPLATE = {  # boilerplate: dropped everywhere (True), or only outside main and article (False)
    "nav": True,
    "aside": True,
    "search": True,
    "header": False,
    "footer": False,
}
_ROLES = {
    "navigation": "nav",
    "complementary": "aside",
    "search": "search",
    "banner": "header",
    "contentinfo": "footer",
    "main": "main",
    "article": "article",
}
_MIN_REGION_SHARE = 0.5


def read_html(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Read a web page that was saved as HTML.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: The user's choice; None to use its byte order mark or the declared encoding,
            unless that is impossible, and to guess otherwise.

    Returns:
        The text as Markdown, and warnings (guessed encoding, hidden text).

    Raises:
        DocumentError: when it is binary data.
    """
    source, warnings = decode_html(data, name, encoding)
    text, num_hidden = html_to_text(source)
    hidden = hidden_warning(num_hidden)
    return text, warnings if hidden is None else (*warnings, hidden)


def hidden_warning(num_places: int) -> str | None:
    """The warning about text that a page hides from its readers; None if there is none."""
    if not num_places:
        return None
    return f"hidden text left out: {num_places:,} place{'s' if num_places > 1 else ''}"


def html_to_text(source: str, *, is_book: bool = False) -> tuple[str, int]:
    """Convert a page to Markdown, and count the places with hidden text.

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
    survey = _survey(tree, keeps_asides=is_book, keeps_all=False)
    if not survey.num_shown:  # all of it is navigation or a header: better than nothing
        survey = _survey(tree, keeps_asides=is_book, keeps_all=True)
    writer = BlockWriter()
    region = survey.region
    depth = 0
    for event, node in _walk(tree.body, survey.skipped):
        is_region = region is not None and survey.regions.get(node.mem_id) == region
        if event == "enter":
            depth += is_region
            writer.open(node.tag or "", node.attributes)
        elif event == "leave":
            writer.close(node.tag or "")
            depth -= is_region
        elif region is None or depth:
            writer.text(node.text_content or "")
    title = None if is_book else tree.css_first("head > title")
    return writer.finish(title.text() if title is not None else ""), survey.num_hidden


@dataclass(slots=True)
class _Survey:
    """The first pass over a page: what to skip, and where most of the text is.

    Attributes:
        keeps_asides: whether asides are part of the text.
        keeps_all: whether navigation and the like are.
        hidden: ids of the nodes hidden by style sheets.
        skipped: ids of the nodes that are left out.
        regions: ids of the nodes that are `main` or `article`, with their kind.
        sizes: visible characters in each kind of region.
        num_shown: all visible characters.
        num_hidden: places with hidden text.
    """

    keeps_asides: bool
    keeps_all: bool
    hidden: set[int]
    skipped: set[int] = field(default_factory=set)
    regions: dict[int, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=lambda: {"main": 0, "article": 0})
    num_shown: int = 0
    num_hidden: int = 0
    _depths: dict[str, int] = field(default_factory=lambda: {"main": 0, "article": 0})

    @property
    def region(self) -> str | None:
        """The kind of region that holds at least half of the text, or None."""
        for kind, size in self.sizes.items():
            if size and size >= _MIN_REGION_SHARE * self.num_shown:
                return kind
        return None

    def enter(self, node: LexborNode) -> None:
        """Decide whether to skip an element, and record it if it is a region."""
        tag, attributes = node.tag or "", node.attributes
        kind = _ROLES.get((attributes.get("role") or "").strip().lower(), tag)
        if tag != "body" and self._is_left_out(node, tag, kind, attributes):
            self.skipped.add(node.mem_id)
        elif kind in self._depths:
            self.regions[node.mem_id] = kind
            self._depths[kind] += 1

    def leave(self, node: LexborNode) -> None:
        """Close the region that an element opened, if any."""
        kind = self.regions.get(node.mem_id)
        if kind is not None:
            self._depths[kind] -= 1

    def count(self, text: str) -> None:
        """Count visible characters by region."""
        size = len("".join(text.split()))
        self.num_shown += size
        for kind, depth in self._depths.items():
            self.sizes[kind] += size if depth else 0

    def _is_left_out(
        self, node: LexborNode, tag: str, kind: str, attributes: dict[str, str | None]
    ) -> bool:
        if tag in _NOT_SHOWN:
            return True
        if node.mem_id in self.hidden or _is_hidden(tag, attributes):
            self.num_hidden += bool((node.text() or "").strip())
            return True
        if self.keeps_all or kind not in _BOILERPLATE or (kind == "aside" and self.keeps_asides):
            return False
        return _BOILERPLATE[kind] or not any(self._depths.values())


def _survey(tree: LexborHTMLParser, *, keeps_asides: bool, keeps_all: bool) -> _Survey:
    survey = _Survey(keeps_asides, keeps_all, hidden_by_style_sheets(tree))
    for event, node in _walk(tree.body, survey.skipped):
        if event == "enter":
            survey.enter(node)
        elif event == "leave":
            survey.leave(node)
        else:
            survey.count(node.text_content or "")
    return survey


def _walk(root: LexborNode | None, skipped: set[int]) -> Iterator[tuple[str, LexborNode]]:
    """All nodes in document order: "enter" and "leave" for elements, "text" between them.

    Not recursive, as pages may be nested deeper than any stack. An element that the caller adds to
    `skipped` on "enter" is neither descended into nor left.
    """
    node = root
    while node is not None:
        child = None
        if node.is_text_node:
            yield "text", node
        elif node.is_element_node and node.mem_id not in skipped:
            yield "enter", node
            if node.mem_id not in skipped:
                child = node.first_child
                if child is None:
                    yield "leave", node
        if child is not None:
            node = child
            continue
        while node is not None and node.next is None:
            node = node.parent
            if node is None:
                return
            yield "leave", node
            if root is None or node.mem_id == root.mem_id:
                return
        node = node.next


def _is_hidden(tag: str, attributes: dict[str, str | None]) -> bool:
    """Whether an element's own attributes hide its text from readers."""
    if tag == "dialog" and "open" not in attributes:
        return True
    if "hidden" in attributes and attributes["hidden"] != "until-found":
        return True
    if (attributes.get("aria-hidden") or "").strip().lower() == "true":
        return True
    style = attributes.get("style")
    return style is not None and hidden_by_style(style)


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
