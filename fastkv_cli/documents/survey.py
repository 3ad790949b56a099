"""Decide what of a web page is read: its text, and not what is hidden, left aside or around it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .css import hidden_by_style, hidden_by_style_sheets

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_NOT_SHOWN = frozenset({
    "audio", "canvas", "datalist", "embed", "head", "iframe", "map", "noembed", "noframes",
    "object", "script", "style", "template", "video",
})  # fmt: skip
_NOT_READ = {  # what is told when it is left out
    "audio": "recording",
    "canvas": "drawing",
    "embed": "embedded object",
    "iframe": "embedded page",
    "object": "embedded object",
    "video": "video",
}
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "summary", "dt", "legend", "caption"))
_NOTES = re.compile(r"note|warn|caution|danger|alert|important|callout|admonition|info|tip|hint")
_MIN_SENTENCE = 8  # words of a paragraph outside links
_MIN_LABEL = 3  # words of a button that opens a text
_MAX_MESSAGE = 200  # characters of a note that asks for scripts
_MAX_EXAMINED = 200  # asides and headers of a page whose text is looked at
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


@dataclass(slots=True)
class Survey:
    """The first pass over a page: what to skip, and where most of the text is.

    Attributes:
        keeps_asides: whether asides are part of the text.
        keeps_all: whether navigation and the like are.
        keeps_noscript: whether the text for readers without scripts is.
        hidden: ids of the nodes hidden by style sheets.
        skipped: ids of the nodes that are left out.
        regions: ids of the nodes that are `main` or `article`, with their kind.
        sizes: visible characters in each kind of region.
        num_shown: all visible characters.
        num_hidden: places with hidden text.
        num_noscript: characters of the text for readers without scripts.
        kept: ids of headers and asides outside the region that say something.
    """

    keeps_asides: bool
    keeps_all: bool
    keeps_noscript: bool
    hidden: set[int]
    skipped: set[int] = field(default_factory=set)
    regions: dict[int, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=lambda: {"main": 0, "article": 0})
    num_shown: int = 0
    num_hidden: int = 0
    num_noscript: int = 0
    kept: set[int] = field(default_factory=set)
    _left: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    _num_examined: int = 0
    _depths: dict[str, int] = field(default_factory=lambda: {"main": 0, "article": 0})

    @property
    def region(self) -> str | None:
        """The kind of region that holds at least half of the text, or None."""
        for kind, size in self.sizes.items():
            if size and size >= _MIN_REGION_SHARE * self.num_shown:
                return kind
        return None

    @property
    def omissions(self) -> Counter[str]:
        """What cannot be read within the region: kind → count."""
        region = self.region
        return Counter(kind for kind, inside in self._left if region is None or region in inside)

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
        if node.mem_id in self.hidden or _is_hidden(tag, attributes):
            self.num_hidden += tag not in _NOT_SHOWN and bool((node.text() or "").strip())
            return True
        if tag in _NOT_SHOWN:
            if tag in _NOT_READ and _is_visible(tag, attributes):
                inside = frozenset(kind for kind, depth in self._depths.items() if depth)
                self._left.append((_NOT_READ[tag], inside))
            return True
        if tag == "noscript":
            text = "".join((node.text() or "").split())
            if len(text) < _MAX_MESSAGE and "javascript" in text.lower():
                return True  # "Please enable JavaScript"
            self.num_noscript += len(text)
            return not self.keeps_noscript
        if tag == "button":
            return not self._is_label(node, attributes)
        is_inside = any(self._depths.values())
        return (
            kind in _BOILERPLATE
            and not self.keeps_all
            and not (kind == "aside" and self.keeps_asides)
            and (_BOILERPLATE[kind] or not is_inside)
            and not self._says_something(node, kind, attributes, is_inside=is_inside)
        )

    def _is_label(self, node: LexborNode, attributes: dict[str, str | None]) -> bool:
        """Whether a button is a heading, or names the text that it opens."""
        parent, words = node.parent, (node.text() or "").split()
        while parent is not None and parent.tag in {"span", "div", "a"}:
            parent = parent.parent
        if parent is not None and parent.tag in _HEADINGS:
            return True
        return "aria-expanded" in attributes and len(words) >= _MIN_LABEL

    def _says_something(
        self, node: LexborNode, kind: str, attributes: dict[str, str | None], *, is_inside: bool
    ) -> bool:
        """Whether a header has a lead, or an aside is a note on the text and no list of links."""
        self._num_examined += 1
        if kind not in {"header", "aside"} or self._num_examined > _MAX_EXAMINED:
            return False
        if kind == "aside" and not is_inside:
            names = f"{attributes.get('class') or ''} {attributes.get('role') or ''}".lower()
            if _NOTES.search(names) is None:
                return False
        if kind == "header" and node.css_first("h1, h2") is None:
            return False
        says = any(_num_plain_words(each) >= _MIN_SENTENCE for each in node.css("p, li, div"))
        says = says or (kind == "aside" and _num_plain_words(node) >= _MIN_SENTENCE)
        if says:
            self.kept.add(node.mem_id)
        return says


def _num_plain_words(node: LexborNode) -> int:
    """The words of an element outside of links."""
    words = len((node.text() or "").split())
    return words - sum(len((link.text() or "").split()) for link in node.css("a"))


def _is_visible(tag: str, attributes: dict[str, str | None]) -> bool:
    """Whether something embedded takes room on the page, unlike what counts its visitors."""
    sizes = [attributes.get("width"), attributes.get("height")]
    return not any((size or "").strip() in {"0", "1"} for size in sizes) and (
        tag != "iframe" or bool(attributes.get("src"))
    )


def survey_page(tree: LexborHTMLParser, *, keeps_asides: bool) -> Survey:
    """Survey a page; where it seems to have no text, once more with what is left out else."""
    hidden = hidden_by_style_sheets(tree)
    survey = _survey(tree, Survey(keeps_asides, False, False, hidden))
    if survey.num_noscript > survey.num_shown:
        survey = _survey(tree, Survey(keeps_asides, False, True, hidden))
    if not survey.num_shown:  # all of it is navigation or a header: better than nothing
        survey = _survey(tree, Survey(keeps_asides, True, True, hidden))
    return survey


def _survey(tree: LexborHTMLParser, survey: Survey) -> Survey:
    for event, node in walk(tree.body, survey.skipped):
        if event == "enter":
            survey.enter(node)
        elif event == "leave":
            survey.leave(node)
        else:
            survey.count(node.text_content or "")
    return survey


def walk(root: LexborNode | None, skipped: set[int]) -> Iterator[tuple[str, LexborNode]]:
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
