"""What is said about pages: which hold no text, which could not be read, and why."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdf import PageObject

_GLYPH_NAME = re.compile(r"/[A-Za-z]{0,4}\d{1,5}")
_INLINE_IMAGE = re.compile(rb"(?:^|\s)BI\s")
_RAW_BYTES = re.compile(r"(?::| starting with)? b['\"].*")  # pypdf quotes the file
_MAX_REASON = 80
_MAX_SPANS = 12
_MAX_FORM_DEPTH = 5
_MIN_JUDGED = 50  # below this many characters a share says little


def reason(error: BaseException) -> str:
    """Why it failed, in one printable line that is never empty."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "out of memory"
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    text = _RAW_BYTES.sub("", text).rstrip(".:") or type(error).__name__
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1].rstrip() + "…"


def page_list(numbers: Sequence[int]) -> str:
    """Ascending page numbers for people: `1–3, 5`, cut short after a dozen parts."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    parts = [str(a) if a == b else f"{a}–{b}" for a, b in spans[:_MAX_SPANS]]
    rest = sum(b - a + 1 for a, b in spans[_MAX_SPANS:])
    return ", ".join(parts) + (f" and {rest} more" if rest else "")


def pages_phrase(numbers: Sequence[int]) -> str:
    """The subject of a sentence in the past: `page 2 was`, `pages 4–6 were`."""
    return f"page {numbers[0]} was" if len(numbers) == 1 else f"pages {page_list(numbers)} were"


def failed_pages(failures: Mapping[int, str]) -> str:
    """The warning about pages that could not be read; `failures` maps page number → reason."""
    reasons = Counter(failures.values())
    why = reasons.most_common(1)[0][0]
    if len(reasons) > 1:
        why += "; and other reasons"
    pages, verb = pages_phrase(list(failures)).rsplit(" ", 1)
    return f"{pages} could not be read ({why}) and {verb} left out"


def empty_pages(empty: Sequence[int], num_read: int, has_images: bool) -> str:
    """The warning about pages without text, among `num_read` pages."""
    holds = "holds" if len(empty) == 1 else "hold"
    what = f"{len(empty)} of {num_read} pages {holds} no text ({page_list(empty)})"
    if has_images:
        return f"{what}: scanned? run OCR first, e.g. ocrmypdf"
    return f"{what}: blank or drawing only"


def unreadable(texts: Iterable[str]) -> bool:
    """Whether extracted text is likely garbage: fonts without a usable map to characters.

    Two shares are looked at, over the whole document: glyph names (`/101/32`, `/g12`) above a
    half (at a fifth, a table of dates like 12/31/2020 would do), and characters that Unicode
    does not assign, private ones, controls and U+FFFD above a tenth.
    """
    num_named, counts = 0, Counter[str]()
    for text in texts:
        num_named += sum(len(match[0]) for match in _GLYPH_NAME.finditer(text))
        counts.update(text)
    visible = {c: n for c, n in counts.items() if not c.isspace()}
    total = sum(visible.values())
    if total < _MIN_JUDGED:
        return False
    odd = sum(
        n
        for c, n in visible.items()
        if c == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(c) in {"Cn", "Co", "Cc"}
    )
    return num_named / total > 0.5 or odd / total > 0.1


def has_image(page: PageObject) -> bool:
    """Whether a page shows a picture, also inside forms; False where that cannot be found out."""
    try:
        if _resources_hold_image(page.get("/Resources"), depth=0, seen=set()):
            return True
        contents = page.get_contents()
        data = b"" if contents is None else contents.get_data()
    except Exception:  # noqa: BLE001 (pypdf raises many kinds; this only words a message)
        return False
    return _INLINE_IMAGE.search(data) is not None


def _resources_hold_image(resources: Any, depth: int, seen: set[int]) -> bool:
    """Walk the XObjects of a resource dictionary; PDF objects are untyped by nature."""
    if resources is None or depth > _MAX_FORM_DEPTH:
        return False
    objects = resources.get_object().get("/XObject")
    for value in () if objects is None else objects.get_object().values():
        item = value.get_object()
        if id(item) in seen:  # forms may share or hold each other
            continue
        seen.add(id(item))
        if item.get("/Subtype") == "/Image":
            return True
        if item.get("/Subtype") == "/Form" and _resources_hold_image(
            item.get("/Resources"), depth + 1, seen
        ):
            return True
    return False
