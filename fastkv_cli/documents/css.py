"""The part of CSS that decides which text of a page is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_ZERO = r"0*+\.?0*+(?:px|em|rem|pt|%|vh|vw)?(?![\d.])"
# Declarations as `_declarations` writes them: lower case, no white space, each after a semicolon.
_HIDING = re.compile(
    r";(?:display:none|visibility:(?:hidden|collapse)|content-visibility:hidden|mso-hide:all"
    rf"|opacity:{_ZERO}|font-size:(?:{_ZERO}|(?:[01]?\.\d+|[01])p[xt])|color:transparent"
    r"|(?:left|right|top|bottom|text-indent|margin-left):-\d{3,}|margin-top:-\d{4,}"
    r"|clip:rect\([01]|clip-path:(?:inset\((?:50|100)%|circle\(0)|transform:scale\(0\)"
    r")"
)
_OFFSET = re.compile(r";margin-top:-\d++[^;]*")
_LOOKS = {  # of text that means something else on the line
    "s": re.compile(r";text-decoration(?:-line)?:[^;]*line-through"),
    "sup": re.compile(r";vertical-align:super"),
    "sub": re.compile(r";vertical-align:sub(?:;|$)"),
}
_NO_SIZE = re.compile(rf";(?:max-)?(?:width|height):{_ZERO}")
_COLOR = re.compile(r";color:([^;]+)")
_BACKGROUND = re.compile(r";background(?:-color)?:([^;]+)")
_DISPLAY = re.compile(r";(?:display|visibility):([^;]+)")
_NOT_DISPLAYED = frozenset({"none", "hidden", "collapse"})
_BRACE = re.compile(r"[{}]")
_MAX_SELECTORS = 200  # each takes a search of the whole page


def hidden_by_style(style: str) -> bool:
    """Whether a `style` attribute hides the element from readers."""
    style = _declarations(style)
    if "margin-top:-" in style and "padding-top:" in style:  # an anchor below a fixed header
        style = _OFFSET.sub("", style)
    if _HIDING.search(style) is not None:
        return True
    if "overflow:hidden" in style and _NO_SIZE.search(style) is not None:
        return True
    color, background = _COLOR.search(style), _BACKGROUND.search(style)
    return color is not None and background is not None and color[1] == background[1]


def look_of_style(style: str) -> str | None:
    """The tag that says what a style does to the meaning of text: `s`, `sup`, `sub`, or None."""
    style = _declarations(style)
    return next((tag for tag, pattern in _LOOKS.items() if pattern.search(style)), None)


def looks_of_style_sheets(tree: LexborHTMLParser) -> dict[int, str]:
    """Ids of the nodes whose look the page's own style sheets change, with the tag that says so."""
    looks: dict[int, str] = {}
    num_selectors = 0
    for selectors, declarations in _all_rules(tree):
        tag = look_of_style(declarations)
        for selector in selectors.split(",") if tag is not None else ():
            num_selectors += 1
            if num_selectors > _MAX_SELECTORS:
                return looks
            if tag is not None and ":" not in selector and selector.strip():
                looks |= dict.fromkeys((node.mem_id for node in _select(tree, selector)), tag)
    return looks


def _all_rules(tree: LexborHTMLParser) -> Iterator[tuple[str, str]]:
    """Selectors and declarations of the style sheets for a screen."""
    for sheet in tree.css("style"):
        if (sheet.attributes.get("media") or "all").strip().lower() in {"all", "screen"}:
            yield from _rules(_COMMENT.sub("", sheet.text() or ""))


def _select(tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    try:
        return tree.css(selector.strip())
    except Exception:  # noqa: BLE001 (the parser has no exception type for a bad selector)
        return []


def hidden_by_style_sheets(tree: LexborHTMLParser) -> set[int]:
    """The ids of the nodes that the page's own style sheets hide.

    Later rules win, whatever their specificity, and a `style` attribute wins over all. Rules for
    some media or states only (`@media`, `:hover`) are ignored.
    """
    hidden: set[int] = set()
    num_selectors = 0
    for selectors, declarations in _all_rules(tree):
        display = _DISPLAY.findall(_declarations(declarations))
        if not display:
            continue
        is_hiding = not _NOT_DISPLAYED.isdisjoint(display)
        if not is_hiding and not hidden:
            continue
        for selector in selectors.split(","):
            num_selectors += 1
            if num_selectors > _MAX_SELECTORS:
                return hidden
            _mark(tree, selector.strip(), hidden, is_hiding=is_hiding)
    return hidden


def _mark(tree: LexborHTMLParser, selector: str, hidden: set[int], *, is_hiding: bool) -> None:
    """Add the nodes matched by a selector to the hidden ones, or remove them."""
    if not selector or ":" in selector:
        return
    for node in _select(tree, selector):
        if not is_hiding:
            hidden.discard(node.mem_id)
        elif node.tag not in {"html", "body"} and not _is_displayed(node.attributes.get("style")):
            hidden.add(node.mem_id)


def _is_displayed(style: str | None) -> bool:
    """Whether a `style` attribute overrides a style sheet that hides the element."""
    display = _DISPLAY.findall(_declarations(style or ""))
    return bool(display) and _NOT_DISPLAYED.isdisjoint(display)


def _declarations(style: str) -> str:
    bare = "".join(_COMMENT.sub("", style).lower().split()).replace("!important", "")
    return f";{bare}"


def _rules(sheet: str) -> Iterator[tuple[str, str]]:
    """Selectors and declarations of the rules outside any `@` block."""
    depth, selectors, at = 0, "", 0
    for brace in _BRACE.finditer(sheet):
        between, at = sheet[at : brace.start()], brace.end()
        if brace[0] == "{":
            if depth == 0:
                selectors = between.rpartition(";")[2].strip()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0 and not selectors.startswith("@"):
                yield selectors, between
