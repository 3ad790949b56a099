"""Normalising text: characters, line ends, blanks, and what typesetting put into a PDF."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import count, pairwise

from .document import LineGaps
from .running import drop_running_lines

# Not NFKC over everything: it turns m² into m2, ½ into 1⁄2, … into ... and ™ into TM, which
# changes what a reader quotes and a model reads. NFC keeps all of them. In a PDF, where the
# characters stand for glyphs that a typesetter chose, the compatibility forms of those glyphs are
# folded one by one: Latin (ﬁ, ﬀ), Armenian, Hebrew and Arabic presentation forms, Kangxi
# radicals in place of ideographs, and no-break spaces.
_GLYPH_FORMS = re.compile("[\u2f00-\u2fdf\ufb00-\ufdfb\ufe70-\ufefc]")
_NO_BREAK_SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u202f"), " ")

# C0 but tab and newline, DEL, C1, and the byte order mark where files were joined.
_DROPPED = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160), 0xFEFF])
_LINE_ENDS = ("\r\n", "\r", "\v", "\u2028")
_PARAGRAPH_ENDS = ("\f", "\u2029")
_SURROGATE = re.compile("[\ud800-\udfff]")
LINE_GONE = "\x1c"  # stands where a reader took out a line end with what it left out
_FILE_LINES = re.compile(f"\r\n|[\n\r\v\u2028{LINE_GONE}]|[\f\u2029]")
_PIECE = 2**20  # characters: what is split into lines at once, at 50 bytes a line and more

_SOFT_HYPHEN = "\u00ad"
_HYPHENS = ("-", "\u2010", _SOFT_HYPHEN)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LINE_END_WORD = re.compile(rf"(?:^|(?<=[\s(\[“„‘'\"]))([^\W\d_]+)[{''.join(_HYPHENS)}]\Z")
_LINE_START_WORD = re.compile(r"[ \t]*([^\W\d_]+)")
_CONJUNCTIONS = frozenset(  # pre- and post-war
    ("and", "or", "to", "of", "und", "oder", "bis", "et", "ou", "y", "o", "e")
)
_MAX_JOINED_LINE = 1000
_MIN_LINE = 20  # characters, on average, of lines that are joined

# The bound of UAX #15 for stream-safe text: no script needs more marks on one letter, and
# normalising a run of them takes time with the square of its length.
_MAX_MARKS = 30


def clean_text(text: str) -> tuple[str, LineGaps]:
    """Clean a plain text: NFC, line ends, no control characters, no runs of empty lines.

    Returns:
        The text, and its gaps, as `Document` has them.
    """
    loose = compose(_drop_controls(text))
    cleaned = _tidy(loose)
    return cleaned, _gaps(text, loose, cleaned)


def clean_page(text: str) -> str:
    """Clean one page of a PDF by itself: as `clean_text`, with glyph forms folded."""
    text = _GLYPH_FORMS.sub(
        lambda match: unicodedata.normalize("NFKC", match[0]), _drop_controls(text)
    )
    text = _tidy(compose(text.translate(_NO_BREAK_SPACES)))
    return text if text.strip(f"{_SOFT_HYPHEN} \t\n") else ""


def join_pages(pages: Mapping[int, str]) -> dict[int, str]:
    """What only all pages of a PDF together tell, by page number, each page cleaned already.

    Lines that repeat at the edges of most pages are dropped, and words cut at line ends are joined
    within a page. A page that holds text keeps some.
    """
    pages = drop_running_lines(pages)
    cutting = {number: page for number, page in pages.items() if _may_cut_words(page)}
    cut = [halves for page in cutting.values() for halves in _cut_words(page)]
    wanted = {join.join(halves).lower() for halves in cut for join in ("", "-")}
    words = _words(pages.values(), wanted)
    num_whole = sum("".join(halves).lower() in words for halves in cut)
    num_compound = sum("-".join(halves).lower() in words for halves in cut)
    # Either the document cuts words at line ends, or it only ends lines after real hyphens: told
    # by the cut words that occur elsewhere in it, whole or with a hyphen.
    breaks_words = num_whole >= num_compound
    for number, page in cutting.items():
        pages[number] = _join_hyphens(page, words, breaks_words=breaks_words)
    return {number: _tidy(page.replace(_SOFT_HYPHEN, "")) for number, page in pages.items()}


def compose(text: str) -> str:
    """Unicode's NFC, with no more than 30 marks on one letter."""
    marks = "".join(character for character in set(text) if _is_mark(character))
    if marks:
        text = re.sub(f"([{marks}]{{{_MAX_MARKS}}})[{marks}]+", r"\1", text)
    return unicodedata.normalize("NFC", text)


def _is_mark(character: str) -> bool:
    """Whether normalising sorts it among its neighbours: combining, or made of what combines."""
    return unicodedata.combining(unicodedata.normalize("NFD", character)[0]) > 0


def _drop_controls(text: str) -> str:
    if _SURROGATE.search(text):
        # Pairs become the character they stand for; lone ones go.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    for mark in _LINE_ENDS:  # replaced, not by expressions, which hold a list of all matches
        text = text.replace(mark, "\n")
    for mark in _PARAGRAPH_ENDS:
        text = text.replace(mark, "\n\n")
    return text.translate(_DROPPED)


def _tidy(text: str) -> str:
    """No trailing blanks, at most one empty line in a row, none at either end."""
    text = "\n".join("\n".join(map(str.rstrip, lines)) for lines in _split(text))
    while "\n\n\n" in text:  # a third less each time
        text = text.replace("\n\n\n", "\n\n")
    return text.strip("\n")


def _split(text: str) -> Iterator[list[str]]:
    """The lines of a text, some at a time."""
    start = 0
    while (end := text.find("\n", start + _PIECE)) >= 0:
        yield text[start:end].split("\n")
        start = end + 1
    yield text[start:].split("\n")


def _lines(text: str) -> Iterator[str]:
    return (line for lines in _split(text) for line in lines)


def _gaps(raw: str, loose: str, cleaned: str) -> LineGaps:
    """Where the raw text comes to have more lines, or fewer, and how many more up to there.

    Args:
        raw: The text as it is in the file.
        loose: The same with every line that it had, and those that other marks make.
        cleaned: The same without runs of empty lines: all others stand in it, in order.
    """
    has_other_ends = any(mark in raw for mark in (*_LINE_ENDS, *_PARAGRAPH_ENDS, LINE_GONE))
    lines = zip(_file_lines(raw) if has_other_ends else count(1), _lines(loose), strict=False)
    filled = (number for number, line in lines if line.rstrip())
    gaps = LineGaps()
    start = more = 0
    for number, line in enumerate(_lines(cleaned), start=1):
        if line and (now := next(filled, number) - number) != more:
            more = now
            gaps.add(start, more)
        start += len(line) + 1
    return gaps


def _file_lines(raw: str) -> Iterator[int]:
    """The number in the file of each line that `_drop_controls` makes of it."""
    number = 1
    yield number
    for mark in _FILE_LINES.finditer(raw):
        is_line_end = mark[0] in ("\r\n", "\n", "\r", LINE_GONE)
        number += is_line_end
        if mark[0] != LINE_GONE:
            yield number
        if mark[0][0] in "\f\u2029":
            yield number


def _may_cut_words(page: str) -> bool:
    """Whether lines end in hyphens, and not so many as no text has, which would take long."""
    num_ends = sum(page.count(f"{hyphen}\n") for hyphen in _HYPHENS)
    return 0 < num_ends <= 100 + len(page) / _MIN_LINE


def _cut_words(page: str) -> Iterator[tuple[str, str]]:
    """The halves of the words that a page cuts at its line ends."""
    for line, following in pairwise(page.split("\n")):
        halves = _halves(line, following)
        if halves is not None:
            yield halves


def _words(pages: Iterable[str], wanted: set[str]) -> set[str]:
    """Those of the wanted words that occur, with inner hyphens, in lower case."""
    if not wanted:
        return set()
    every = (match[0].lower() for page in pages for match in _WORD.finditer(page))
    return {word for word in every if word in wanted}


def _join_hyphens(page: str, words: set[str], *, breaks_words: bool) -> str:
    """Join words cut at line ends; the rest of the second line stays a line of its own.

    Only a word followed by a lower-case letter is joined, so that `Nord-/Süd`, numbers and
    addresses stay. The hyphen goes where the whole word occurs elsewhere, stays where the
    compound does, and for the rest follows the document's habit.
    """
    lines: list[str] = []
    for line in page.split("\n"):
        halves = _halves(lines[-1], line) if lines else None
        if halves is None:
            lines.append(line)
            continue
        whole, compound = "".join(halves).lower() in words, "-".join(halves).lower() in words
        drops = whole or (breaks_words and not compound) or lines[-1].endswith(_SOFT_HYPHEN)
        start, _, rest = line.lstrip(" \t").partition(" ")
        lines[-1] = lines[-1][:-1] + ("" if drops else "-") + start
        if rest.strip():
            lines.append(rest.lstrip())
    return "\n".join(lines)


def _halves(line: str, following: str) -> tuple[str, str] | None:
    """The two parts of a word that is cut between two lines; None if none is."""
    if not line.endswith(_HYPHENS) or len(line) > _MAX_JOINED_LINE:
        return None
    end, start = _LINE_END_WORD.search(line), _LINE_START_WORD.match(following)
    if end is None or start is None:
        return None
    if not start[1][0].islower() or start[1] in _CONJUNCTIONS:
        return None
    return end[1], start[1]
