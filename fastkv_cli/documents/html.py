"""Web pages: what a reader of the page sees, as Markdown; hidden text is left out and reported."""

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
_BESIDE = {  # what stands around the text: on every page, or only outside main and article
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
_MOST = 0.5


def read_html(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Read a web page that was saved as HTML.

    Args:
        data: The whole file.
        name: How messages call it.
        encoding: What it is in, as the user says; None takes its mark or its own word for it,
            unless that cannot be, and guesses otherwise.

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
    """The warning about text that a page hides from its readers; None if it does not."""
    if not num_places:
        return None
    return f"hidden text left out: {num_places:,} place{'s' if num_places > 1 else ''}"


def html_to_text(source: str, *, is_book: bool = False) -> tuple[str, int]:
    """The text of a page as Markdown, and in how many places it hides text from its readers.

    Headings, lists, tables and preformatted text keep their form. Navigation and the like are left
    out, and where `main` or `article` hold most of the text, everything around them as well. In a
    book, asides are notes and boxes, and belong to the text; and the title of each page is nothing
    but the book's.
    """
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    try:
        tree = LexborHTMLParser(source)
    except SelectolaxError as error:  # any text is a page: it fails when it gets no memory
        raise MemoryError(str(error)) from error
    survey = _survey(tree, keeps_asides=is_book, keeps_all=False)
    if not survey.num_shown:  # all of it is navigation, or a header: better than nothing
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
    """What a first walk over a page finds.

    Attributes:
        keeps_asides: whether asides belong to the text.
        keeps_all: whether navigation and the like do.
        hidden: the nodes that the style sheets hide, by id.
        skipped: the nodes that are left out, by id.
        regions: the nodes that are `main` or `article`, by id.
        sizes: the characters shown in each kind of region.
        num_shown: all characters shown.
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
        """The kind of region that holds most of the text, if any does."""
        for kind, size in self.sizes.items():
            if size and size >= _MOST * self.num_shown:
                return kind
        return None

    def enter(self, node: LexborNode) -> None:
        """Find out whether an element is left out, and if not, whether it is a region."""
        tag, attributes = node.tag or "", node.attributes
        kind = _ROLES.get((attributes.get("role") or "").strip().lower(), tag)
        if tag != "body" and self._is_left_out(node, tag, kind, attributes):
            self.skipped.add(node.mem_id)
        elif kind in self._depths:
            self.regions[node.mem_id] = kind
            self._depths[kind] += 1

    def leave(self, node: LexborNode) -> None:
        """Note that a region ends."""
        kind = self.regions.get(node.mem_id)
        if kind is not None:
            self._depths[kind] -= 1

    def count(self, text: str) -> None:
        """Count what is shown, and where."""
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
        if self.keeps_all or kind not in _BESIDE or (kind == "aside" and self.keeps_asides):
            return False
        return _BESIDE[kind] or not any(self._depths.values())


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
    """All nodes in their order, each element twice: "enter" and "leave"; "text" between them.

    Without recursion, as pages may be nested deeper than any stack. What the caller adds to
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
    """Whether an element itself says that its text is not for readers."""
    if tag == "dialog" and "open" not in attributes:
        return True
    if "hidden" in attributes and attributes["hidden"] != "until-found":
        return True
    if (attributes.get("aria-hidden") or "").strip().lower() == "true":
        return True
    style = attributes.get("style")
    return style is not None and hidden_by_style(style)


def decode_html(data: bytes, name: str, encoding: str | None) -> tuple[str, tuple[str, ...]]:
    """Decode by what the user says, else the mark, else the page's own word where that can be."""
    if encoding is not None or encoding_of_mark(data) or unmarked_wide_encoding(data):
        return decode_text(data, name, encoding)
    refuse_binary(data, name)
    codec = _declared_codec(data)
    if codec is None or codec.startswith("utf"):  # the tag was read: UTF-16 cannot be true
        return decode_text(data, name)
    if not data.isascii():
        try:
            return data.decode("utf-8"), ()  # saved anew, and the tag was left as it was
        except UnicodeDecodeError:
            pass
    return decode_as(data, codec)


def _declared_codec(data: bytes) -> str | None:
    """The codec that a page names; None without one that decodes any bytes to text."""
    declared = _DECLARED.search(data[:_HEAD_BYTES])
    if declared is None:
        return None
    try:
        codec = superset((declared[1] or declared[2]).decode("ascii"))
        bytes(range(256)).decode(codec, "replace")  # which zlib and punycode do not
    except (LookupError, ValueError):
        return None
    return codec
