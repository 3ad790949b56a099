"""The text of one block of a web page: scripts, struck text, notes, ruby and form fields."""

from __future__ import annotations

from dataclasses import dataclass

from .scripts import lower_text, raise_text

_STRUCK = frozenset(("s", "strike", "del"))
_SPANS = frozenset(("sup", "sub", "ruby", "rt", "rp", "a", *_STRUCK))
_BOXES = frozenset(("checkbox", "radio"))
_NO_TEXT_FIELDS = frozenset(
    ("hidden", "password", "submit", "button", "reset", "image", "file", "search", "color", "range")
)

_MAX_SPANS = 100  # open at once; a page that nests more is not meant to be read

Attributes = dict[str, str | None]


@dataclass(slots=True)
class _Span:
    """An open element: its kind, where its text begins, and whether it is the mark of a note."""

    tag: str
    start: int
    is_note: bool = False
    readings: str = ""


class InlineText:
    """Takes text and inline tags in document order; returns the text when a block ends."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._spans: list[_Span] = []

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, text: str) -> None:
        """Add text."""
        self._parts.append(text)

    def open(self, tag: str, attributes: Attributes) -> None:
        """Handle an opening tag."""
        if tag == "br":
            self._parts.append("\n")
        elif tag == "q":
            self._parts.append('"')
        elif tag == "input":
            self._parts.append(_field(attributes))
        elif tag in _SPANS and len(self._spans) < _MAX_SPANS:
            kind = "s" if tag in _STRUCK else tag
            is_note = kind == "a" and _is_note(attributes)
            if kind == "a" and (attributes.get("href") or "").startswith("#"):
                for span in self._spans:
                    span.is_note |= span.tag == "sup"
            if kind == "sup":
                is_note = any(span.tag == "a" and span.is_note for span in self._spans)
            self._spans.append(_Span(kind, len(self._parts), is_note))

    def close(self, tag: str) -> None:
        """Handle a closing tag."""
        if tag == "q":
            self._parts.append('"')
        kind = "s" if tag in _STRUCK else tag
        for at in range(len(self._spans) - 1, -1, -1):
            if self._spans[at].tag == kind:
                self._end(self._spans.pop(at))
                return

    def take(self) -> str:
        """The text of the block; what is struck goes on in the next one."""
        for span in reversed(self._spans):
            self._end(span)
        text = "".join(self._parts)
        self._parts.clear()
        for span in self._spans:
            span.start = 0
        return text

    def _end(self, span: _Span) -> None:
        """Rewrite the text of a span."""
        text = "".join(self._parts[span.start :])
        del self._parts[span.start :]
        if span.tag in {"rt", "rp"}:
            outer = next((each for each in reversed(self._spans) if each.tag == "ruby"), None)
            if outer is not None:  # without one, it is not shown above anything
                outer.readings += text.strip() if span.tag == "rt" else ""
                return
        if not text.strip():
            self._parts.append(text)
            return
        if span.tag == "ruby":
            text = f"{text.strip()}({span.readings})" if span.readings else text
        elif span.tag == "s":
            is_inner = any(each is not span and each.tag == "s" for each in self._spans)
            text = text if is_inner else _around(text, "~~", "~~")
        elif span.tag == "sup":
            text = raise_text(text, "".join(self._parts[-20:]), is_note=span.is_note)
        elif span.tag == "sub":
            text = lower_text(text)
        elif span.is_note and not text.strip().startswith("["):
            text = _around(text, "[", "]")
        self._parts.append(text)


def _around(text: str, opening: str, closing: str) -> str:
    bare = text.strip()
    return text.replace(bare, f"{opening}{bare}{closing}", 1)


def _is_note(attributes: Attributes) -> bool:
    """Whether a link is the mark of a note, as books say it."""
    kinds = f"{attributes.get('epub:type') or ''} {attributes.get('role') or ''}".split()
    return "noteref" in kinds or "doc-noteref" in kinds


def _field(attributes: Attributes) -> str:
    """The value of a form field as it is shown; "" if there is none."""
    kind = (attributes.get("type") or "text").strip().lower()
    if kind in _BOXES:
        return "[x] " if "checked" in attributes else "[ ] "
    if kind in _NO_TEXT_FIELDS or not (attributes.get("value") or "").strip():
        return ""
    return f" {attributes.get('value')} "
