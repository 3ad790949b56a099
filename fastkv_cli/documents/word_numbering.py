"""Word's automatic numbers as a reader sees them: 1., (b), 2.2, Article 2, continued or restarted.

ECMA-376 part 1, section 17.9: a list (`num`) follows a definition (`abstractNum`) of nine levels;
lists of one definition count on together, unless one overrides its start.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element

from .numerals import kind_of, write_number

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_NUM_LEVELS = 9
_FALSE = frozenset(("0", "false", "off"))


@dataclass(frozen=True, slots=True)
class _Level:
    """A level of a list: its first number, how it is written, and the text around the numbers."""

    start: int = 1
    kind: str = "decimal"
    text: str = ""
    style: str = ""
    is_legal: bool = False
    restarts_after: int | None = None  # the level above which it restarts; 0 for never


@dataclass(slots=True)
class _Definition:
    levels: dict[int, _Level] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)  # level → the last number given
    link: str = ""


@dataclass(slots=True)
class _List:
    definition: str
    starts: dict[int, int] = field(default_factory=dict)
    levels: dict[int, _Level] = field(default_factory=dict)
    is_used: bool = False


def value_of(parent: Element | None, tag: str) -> str | None:
    """The `w:val` of a child; None if there is none."""
    child = None if parent is None else parent.find(f"{W}{tag}")
    return None if child is None else child.get(f"{W}val")


class Numbering:
    """Gives each paragraph its number, in the order of the document."""

    def __init__(self, numbering: Element | None, styles: Element | None) -> None:
        """Read the definitions.

        Args:
            numbering: The root of numbering.xml; None if there is none.
            styles: The root of styles.xml; None if there is none.
        """
        self._definitions: dict[str, _Definition] = {}
        self._lists: dict[str, _List] = {}
        self._styles: dict[str, tuple[str | None, str | None, str | None]] = {}
        if numbering is not None:
            self._read(numbering)
        for style in () if styles is None else styles.iter(f"{W}style"):
            properties = style.find(f"{W}pPr")
            numbers = None if properties is None else properties.find(f"{W}numPr")
            self._styles[style.get(f"{W}styleId", "")] = (
                value_of(numbers, "numId"),
                value_of(numbers, "ilvl"),
                value_of(style, "basedOn"),
            )

    def _read(self, numbering: Element) -> None:
        by_style: dict[str, str] = {}
        for item in numbering.iter(f"{W}abstractNum"):
            key = item.get(f"{W}abstractNumId", "")
            definition = _Definition(link=value_of(item, "numStyleLink") or "")
            for level in item.iter(f"{W}lvl"):
                definition.levels[_integer(level.get(f"{W}ilvl"), 0)] = _level(level)
            self._definitions[key] = definition
            by_style[value_of(item, "styleLink") or ""] = key
        for definition in self._definitions.values():
            target = by_style.get(definition.link) if definition.link else None
            if target is not None and not definition.levels:
                definition.levels = self._definitions[target].levels
        for item in numbering.iter(f"{W}num"):
            each = _List(value_of(item, "abstractNumId") or "")
            for override in item.iter(f"{W}lvlOverride"):
                at = _integer(override.get(f"{W}ilvl"), 0)
                start = value_of(override, "startOverride")
                if start is not None:
                    each.starts[at] = _integer(start, 1)
                own = override.find(f"{W}lvl")
                if own is not None:
                    each.levels[at] = _level(own)
            self._lists[item.get(f"{W}numId", "")] = each

    def label(self, paragraph: Element) -> str | None:
        """The number before a paragraph; "" where it counts unseen, None if it has none.

        Bullets are no numbers.
        """
        found = self._place(paragraph)
        if found is None:
            return None
        item, definition, at = found
        level = item.levels.get(at) or definition.levels.get(at) or _Level()
        if level.kind == "bullet":
            return None
        numbers = definition.numbers
        if not item.is_used:
            item.is_used = True
            for each in item.starts:
                numbers.pop(each, None)
        if at in numbers:
            numbers[at] += 1
        else:
            numbers[at] = item.starts.get(at, level.start)
        for below in range(at + 1, _NUM_LEVELS):
            restarts = definition.levels.get(below, _Level()).restarts_after
            if restarts is None or (restarts and at < restarts):
                numbers.pop(below, None)
        return self._written(item, definition, level)

    def _place(self, paragraph: Element) -> tuple[_List, _Definition, int] | None:
        """The list, its definition and the level of a paragraph, from itself or its style."""
        properties = paragraph.find(f"{W}pPr")
        numbers = None if properties is None else properties.find(f"{W}numPr")
        num, level = value_of(numbers, "numId"), value_of(numbers, "ilvl")
        style, own_style = value_of(properties, "pStyle"), value_of(properties, "pStyle") or ""
        for _ in range(20):  # styles may be based on each other in a ring
            if style is None or num is not None:
                break
            num, own_level, base = self._styles.get(style, (None, None, None))
            level = level or own_level
            if num is not None:
                own_style = style
            style = base
        item = self._lists.get(num or "0")
        definition = None if item is None else self._definitions.get(item.definition)
        if item is None or definition is None:
            return None
        if level is None:
            by_style = (at for at, each in definition.levels.items() if each.style == own_style)
            return item, definition, next(by_style, 0)
        return item, definition, min(max(_integer(level, 0), 0), _NUM_LEVELS - 1)

    def _written(self, item: _List, definition: _Definition, level: _Level) -> str:
        """The text of a level, with a number for each `%1` to `%9`."""
        text = level.text
        for at in range(_NUM_LEVELS):
            sign = f"%{at + 1}"
            if sign in text:
                other = item.levels.get(at) or definition.levels.get(at) or _Level()
                number = definition.numbers.setdefault(at, item.starts.get(at, other.start))
                kind = "decimal" if level.is_legal else other.kind
                text = text.replace(sign, write_number(number, kind, repeats=True))
        return "" if level.kind == "none" and "%" not in level.text else text.strip()


def _level(element: Element) -> _Level:
    kind = kind_of(value_of(element, "numFmt"))
    level = _Level(
        start=_integer(value_of(element, "start"), 1),
        kind=kind,
        text=value_of(element, "lvlText") or "",
        style=value_of(element, "pStyle") or "",
    )
    restart = value_of(element, "lvlRestart")
    legal = element.find(f"{W}isLgl")
    if element.find(f"{W}lvlText") is None and kind != "none":
        at = _integer(element.get(f"{W}ilvl"), 0)
        level = replace(level, text=f"%{at + 1}.")
    return replace(
        level,
        restarts_after=None if restart is None else _integer(restart, 0),
        is_legal=legal is not None and legal.get(f"{W}val") not in _FALSE,
    )


def _integer(text: str | None, default: int) -> int:
    """A number of at most six digits, which in a broken file may be anything."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 7 else default
