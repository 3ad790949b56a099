"""Word the messages about pages: without text, unreadable, or failed, and why."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .ocr.extra import ocr_hint

if TYPE_CHECKING:
    from pypdf import PageObject

    from .messages import PageRead

_GLYPH_NAME = re.compile(r"/[A-Za-z]{0,4}\d{1,5}")
_INLINE_IMAGE = re.compile(rb"(?:^|\s)BI\s")
_RAW_BYTES = re.compile(r"(?::| starting with)? b['\"].*")  # pypdf quotes bytes of the file
OTHER_OCR = "run OCR in another program, e.g. ocrmypdf"
SURE = 0.85  # confidence of OCR, below which a page is named
_MAX_REASON = 80
_MAX_SPANS = 12
_MAX_FORM_DEPTH = 5
_LATIN_WORD = re.compile(r"(?<![^\W\d_])[a-zß-öø-ž]{4,}+(?![^\W\d_])")
_VOWEL = re.compile("[aeiouyà-æè-ïò-öøù-ýÿāăąēėęěīįıōőœūůűų]")
_MIN_WORDS = 20
_MAX_VOWELLESS = 0.25  # of the words
_MIN_JUDGED = 50  # below this many characters, a share says little


_IN_WORDS = {  # messages of these are about an object of the parser, in words of Python
    "AssertionError": "its parts contradict each other",
    "AttributeError": "a part is of the wrong kind",
    "EOFError": "it ends early",
    "IndexError": "a part is missing",
    "KeyError": "a part is missing",
    "NotImplementedError": "it needs what the parser cannot do",
    "StopIteration": "it ends early",
    "TypeError": "a part is of the wrong kind",
    "UnicodeDecodeError": "a text in it cannot be decoded",
    "ZeroDivisionError": "a size in it is 0",
}


def reason(error: BaseException) -> str:
    """The reason of an error, in one printable line of words that is never empty."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "out of memory"
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    text = _RAW_BYTES.sub("", text).strip(" .:")
    kind = type(error).__name__
    if kind == "KeyError" and text.strip("'"):
        text = f"{_IN_WORDS[kind]}: {text.strip(chr(39))}"
    elif not text or (kind in _IN_WORDS and kind != "NotImplementedError"):
        text = _IN_WORDS.get(kind, "its structure is broken")
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1].rstrip() + "…"


def page_list(numbers: Sequence[int]) -> str:
    """Ascending page numbers as text: `1–3, 5`, truncated after a dozen parts."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    parts = [str(a) if a == b else f"{a}–{b}" for a, b in spans[:_MAX_SPANS]]
    rest = sum(b - a + 1 for a, b in spans[_MAX_SPANS:])
    return ", ".join(parts) + (f" and {rest} more" if rest else "")


def pages_phrase(numbers: Sequence[int], singular: str = "", plural: str = "") -> str:
    """`page 2` or `pages 4–6`, followed by the matching verb."""
    if len(numbers) == 1:
        return f"page {numbers[0]}{singular}"
    return f"pages {page_list(numbers)}{plural}"


def failed_pages(failures: Mapping[int, str]) -> str:
    """The warning about pages that could not be read; `failures` maps page number → reason."""
    reasons = Counter(failures.values())
    why = reasons.most_common(1)[0][0]
    if len(reasons) > 1:
        why += "; and other reasons"
    verb = "was" if len(failures) == 1 else "were"
    return f"{pages_phrase(list(failures))} could not be read ({why}) and {verb} left out"


def empty_pages(scans: Sequence[int], blanks: Sequence[int]) -> str:
    """The warning about pages without text: those that show an image, and the others."""
    parts = []
    if scans:
        parts.append(f"{pages_phrase(scans, ' holds', ' hold')} no text: a scan; {ocr_hint()}")
    if blanks:
        holds = pages_phrase(blanks, " holds", " hold")
        parts.append(f"{holds} no text (blank or drawing only)")
    return "; ".join(parts)


def garbled_pages(pages: Mapping[int, PageRead]) -> str | None:
    """The warning about likely garbage in the text of all or some pages; None if there is none."""
    visible = sum(page.visible for page in pages.values())
    named = sum(page.named for page in pages.values())
    odd = sum(page.odd for page in pages.values())
    why = "looks unreadable (its fonts do not say which characters they show)"
    if is_unreadable(visible, named, odd):
        return f"text {why}: {ocr_hint(again=True)}"
    garbled = [n for n, page in pages.items() if is_unreadable(page.visible, page.named, page.odd)]
    if not garbled:
        return None
    return f"text of {pages_phrase(garbled)} {why}: {ocr_hint(again=True)}"


def failed_ocr(failures: Mapping[int, str]) -> str:
    """The warning about pages that OCR failed on; `failures` maps page number → reason."""
    why = Counter(failures.values()).most_common(1)[0][0]
    return f"OCR of {pages_phrase(list(failures))} failed ({why})"


def unsure_pages(pages: Mapping[int, PageRead]) -> str | None:
    """The warning about pages that OCR read with a low confidence; None if there are none."""
    unsure = {
        number: page.confidence
        for number, page in pages.items()
        if page.confidence is not None and page.confidence < SURE
    }
    if not unsure:
        return None
    low, high = (f"{100 * value:.0f}%" for value in (min(unsure.values()), max(unsure.values())))
    confidence = low if low == high else f"{low} to {high}"
    was = pages_phrase(list(unsure), " was", " were")
    return f"{was} read by OCR with a confidence of only {confidence}: compare them with the text"


def halved_words(suspects: Mapping[str, int]) -> list[str]:
    """The warning about words that may be split in two, if any are.

    Args:
        suspects: the parts of each, with a space between, and its first page.
    """
    if not suspects:
        return []
    parts, page = next(iter(suspects.items()))
    more = f" and {len(suspects) - 1} more" if len(suspects) > 1 else ""
    return [f"words may be split in two: “{parts}” on page {page}{more}"]


@lru_cache(maxsize=1)  # a page is judged twice
def count_odd(text: str) -> tuple[int, int, int]:
    """Count the characters of a raw text that are visible, spell glyph names, or are odd.

    Glyph names look like `/101/32` or `/g12`. Odd characters are unassigned, private, controls or
    U+FFFD; all are odd if letters stand for other letters. Fonts without a usable map to
    characters yield both.
    """
    named = sum(len(match[0]) for match in _GLYPH_NAME.finditer(text))
    visible = {c: n for c, n in Counter(text).items() if not c.isspace()}
    odd = sum(
        n
        for c, n in visible.items()
        if c == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(c) in {"Cn", "Co", "Cc"}
    )
    num_visible = sum(visible.values())
    return num_visible, named, num_visible if _is_cipher(text) else odd


def _is_cipher(text: str) -> bool:
    """Whether letters stand for other letters: many words in lower case have no vowel.

    A font whose map to characters is shifted shows "the" and gives "sgd". In every language in
    Latin letters nearly all words of four letters and more have a vowel (99% in Czech, 97% in a
    manual of a program with its abbreviations), and 40% or less in such a text.
    """
    words = _LATIN_WORD.findall(text)
    if len(words) < _MIN_WORDS or len(words) * 5 < len(text.split()):
        return False
    return sum(_VOWEL.search(word) is None for word in words) > _MAX_VOWELLESS * len(words)


def looks_unreadable(text: str) -> bool:
    """Whether a text is likely garbage."""
    return is_unreadable(*count_odd(text))


def is_unreadable(visible: int, named: int, odd: int) -> bool:
    """Whether text with these counts is likely garbage.

    It is if more than half of it spells glyph names (a fifth would match a table of dates like
    12/31/2020), or if more than a tenth is odd. A text of few characters is given the benefit of
    the doubt.
    """
    return visible >= _MIN_JUDGED and (named > 0.5 * visible or odd > 0.1 * visible)


def has_image(page: PageObject) -> bool:
    """Whether a page shows an image, also inside forms; False if that cannot be found out."""
    try:
        if _resources_hold_image(page.get("/Resources"), depth=0, seen=set()):
            return True
        contents = page.get_contents()
        data = b"" if contents is None else contents.get_data()
    except Exception:  # noqa: BLE001 (pypdf raises many kinds; this only words a message)
        return False
    return _INLINE_IMAGE.search(data) is not None


def _resources_hold_image(resources: Any, depth: int, seen: set[int]) -> bool:
    """Search the XObjects of a resource dictionary; PDF objects have no static types."""
    if resources is None or depth > _MAX_FORM_DEPTH:
        return False
    objects = resources.get_object().get("/XObject")
    for value in () if objects is None else objects.get_object().values():
        item = value.get_object()
        if id(item) in seen:  # forms may share or contain each other
            continue
        seen.add(id(item))
        if item.get("/Subtype") == "/Image":
            return True
        if item.get("/Subtype") == "/Form" and _resources_hold_image(
            item.get("/Resources"), depth + 1, seen
        ):
            return True
    return False
