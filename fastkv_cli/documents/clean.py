"""Normalize text: characters, line ends, white space, and typesetting artifacts of PDFs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import count, pairwise

from .document import LineGaps
from .page_tables import join_tables
from .running import drop_running_lines

# Not NFKC for everything: it turns m² into m2, ½ into 1⁄2, … into ... and ™ into TM, which
# changes what users quote and what the model sees. NFC keeps all of them. In a PDF, where
# characters stand for the glyphs that a typesetter chose, only the compatibility forms of those
# glyphs are folded: Latin ligatures (ﬁ, ﬀ), Armenian, Hebrew and Arabic presentation forms,
# Kangxi radicals in place of ideographs, and no-break spaces.
_GLYPH_FORMS = re.compile("[\u2f00-\u2fdf\ufb00-\ufdfb\ufe70-\ufefc]")
_NO_BREAK_SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u202f"), " ")

# C0 controls except tab and newline, DEL, C1, and byte order marks where files were joined.
_DROPPED = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160), 0xFEFF])
_LINE_ENDS = ("\r\n", "\r", "\v", "\u2028")
_PARAGRAPH_ENDS = ("\f", "\u2029")
_SURROGATE = re.compile("[\ud800-\udfff]")
REMOVED_LINE_END = "\x1c"  # marks a line end inside text that a loader removed
_FILE_LINES = re.compile(f"\r\n|[\n\r\v\u2028{REMOVED_LINE_END}]|[\f\u2029]")
_PIECE = 2**20  # characters split into lines at once: a line takes 50 bytes and more

_SOFT_HYPHEN = "\u00ad"
_HYPHENS = ("-", "\u2010", _SOFT_HYPHEN)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LINE_END_WORD = re.compile(rf"(?:^|(?<=[\s(\[“„‘'\"—–-]))([^\W\d_]+)[{''.join(_HYPHENS)}]\Z")
_LINE_START_WORD = re.compile(r"[ \t]*([^\W\d_]+)")
_CONJUNCTIONS = frozenset(  # suspended hyphens, as in "pre- and post-war"
    ("and", "or", "to", "of", "und", "oder", "bis", "et", "ou", "y", "o", "e")
)
# A soft hyphen that a PDF shows inside a line is a hyphen, as in 2015-09-01; a tab is a wide gap.
_MARKS = {ord(_SOFT_HYPHEN): "-", ord("\t"): " "}
_MAX_JOINED_LINE = 1000
_MIN_LINE = 20  # average characters per line, below which hyphens are not joined

# The limit of UAX #15 for stream-safe text. No script needs more marks on one letter, and
# normalizing a run of them takes quadratic time.
_MAX_MARKS = 30


def clean_text(text: str) -> tuple[str, LineGaps]:
    """Clean a plain text: NFC, LF line ends, no control characters, no runs of empty lines.

    Returns:
        The text, and its line gaps (see `Document.gaps`).
    """
    loose = compose(_drop_controls(text))
    cleaned = _tidy(loose)
    return cleaned, _gaps(text, loose, cleaned)


def clean_page(text: str) -> str:
    """Clean one page of a PDF: as `clean_text`, and fold glyph forms."""
    text = _GLYPH_FORMS.sub(
        lambda match: unicodedata.normalize("NFKC", match[0]), _drop_controls(text)
    )
    text = _tidy(compose(text.translate(_NO_BREAK_SPACES)))
    return text if text.strip(f"{_SOFT_HYPHEN} \t\n") else ""


def join_pages(pages: Mapping[int, str]) -> dict[int, str]:
    """Apply the cleaning steps that need all pages of a PDF; each page is clean already.

    Drops lines that repeat at the edges of most pages, makes a table over a page break one, and
    joins words hyphenated at line ends within a page. A page that has text never becomes empty.

    Args:
        pages: by page number.
    """
    pages = join_tables(drop_running_lines(pages), pages)
    cutting = {number: page for number, page in pages.items() if _may_cut_words(page)}
    cut = [halves for page in cutting.values() for halves in _cut_words(page)]
    wanted = {join.join(halves).lower() for halves in cut for join in ("", "-")}
    words = _words(pages.values(), wanted)
    num_whole = sum("".join(halves).lower() in words for halves in cut)
    num_compound = sum("-".join(halves).lower() in words for halves in cut)
    # A document either hyphenates words at line ends, or only breaks lines after real hyphens.
    # Words that occur elsewhere, whole or with a hyphen, show which.
    breaks_words = num_whole >= num_compound
    for number, page in cutting.items():
        pages[number] = _join_hyphens(page, words, breaks_words=breaks_words)
    return {number: _tidy(page.translate(_MARKS)) for number, page in pages.items()}


def compose(text: str) -> str:
    """Apply Unicode's NFC, after limiting each letter to 30 combining marks."""
    marks = "".join(character for character in set(text) if _is_mark(character))
    if marks:
        text = re.sub(f"([{marks}]{{{_MAX_MARKS}}})[{marks}]+", r"\1", text)
    return unicodedata.normalize("NFC", text)


def _is_mark(character: str) -> bool:
    """Whether normalization reorders it: combining, or decomposing to something combining."""
    return unicodedata.combining(unicodedata.normalize("NFD", character)[0]) > 0


def _drop_controls(text: str) -> str:
    if _SURROGATE.search(text):
        # Surrogate pairs become one character; lone surrogates are dropped.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    for mark in _LINE_ENDS:  # `replace`, because `re.sub` would hold a list of all matches
        text = text.replace(mark, "\n")
    for mark in _PARAGRAPH_ENDS:
        text = text.replace(mark, "\n\n")
    return text.translate(_DROPPED)


def _tidy(text: str) -> str:
    """Strip trailing white space, repeated empty lines, and empty lines at either end."""
    text = "\n".join("\n".join(map(str.rstrip, lines)) for lines in _split(text))
    while "\n\n\n" in text:  # each pass removes a third
        text = text.replace("\n\n\n", "\n\n")
    return text.strip("\n")


def _split(text: str) -> Iterator[list[str]]:
    """Split a text into lists of lines, `_PIECE` characters at a time to save memory."""
    start = 0
    while (end := text.find("\n", start + _PIECE)) >= 0:
        yield text[start:end].split("\n")
        start = end + 1
    yield text[start:].split("\n")


def _lines(text: str) -> Iterator[str]:
    return (line for lines in _split(text) for line in lines)


def _gaps(raw: str, loose: str, cleaned: str) -> LineGaps:
    """Find where the line numbers of the cleaned text deviate from those of the file.

    Args:
        raw: The text as in the file.
        loose: The same with all its lines, and those made by other line end characters.
        cleaned: The same without runs of empty lines; all other lines are in it, in order.
    """
    has_other_ends = any(mark in raw for mark in (*_LINE_ENDS, *_PARAGRAPH_ENDS, REMOVED_LINE_END))
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
    """The line number in the file of each line that `_drop_controls` makes."""
    number = 1
    yield number
    for mark in _FILE_LINES.finditer(raw):
        is_line_end = mark[0] in ("\r\n", "\n", "\r", REMOVED_LINE_END)
        number += is_line_end
        if mark[0] != REMOVED_LINE_END:
            yield number
        if mark[0][0] in "\f\u2029":
            yield number


def _may_cut_words(page: str) -> bool:
    """Whether lines end in hyphens, and few enough: a flood of them would take too long."""
    num_ends = sum(page.count(f"{hyphen}\n") for hyphen in _HYPHENS)
    return 0 < num_ends <= 100 + len(page) / _MIN_LINE


def _cut_words(page: str) -> Iterator[tuple[str, str]]:
    """The halves of each word that is hyphenated at a line end."""
    for line, following in pairwise(page.split("\n")):
        halves = _halves(line, following)
        if halves is not None:
            yield halves


def _words(pages: Iterable[str], wanted: set[str]) -> set[str]:
    """Those of the wanted words that occur, in lower case, inner hyphens included."""
    if not wanted:
        return set()
    every = (match[0].lower() for page in pages for match in _WORD.finditer(page))
    return {word for word in every if word in wanted}


def _join_hyphens(page: str, words: set[str], *, breaks_words: bool) -> str:
    """Join words hyphenated at line ends; the rest of the second line stays a line of its own.

    Words are joined only before a lower-case letter, so that `Nord-/Süd`, numbers and addresses
    stay. The hyphen is dropped if the whole word occurs elsewhere and kept if the compound does;
    otherwise the document's habit decides. The last word of a compound (`non-nar-`) is joined only
    if the whole word occurs elsewhere.
    """
    lines: list[str] = []
    for line in page.split("\n"):
        halves = _halves(lines[-1], line) if lines else None
        if halves is None or not (_is_first(lines[-1], halves) or "".join(halves).lower() in words):
            lines.append(line)
            continue
        whole, compound = "".join(halves).lower() in words, "-".join(halves).lower() in words
        drops = whole or (breaks_words and not compound) or lines[-1].endswith(_SOFT_HYPHEN)
        start, _, rest = line.lstrip(" \t").partition(" ")
        lines[-1] = lines[-1][:-1] + ("" if drops else "-") + start
        if rest.strip():
            lines.append(rest.lstrip())
    return "\n".join(lines)


def _is_first(line: str, halves: tuple[str, str]) -> bool:
    """Whether the word that is cut at the end of a line does not follow another hyphen."""
    return line[-2 - len(halves[0]) : -1 - len(halves[0])] != "-"


def _halves(line: str, following: str) -> tuple[str, str] | None:
    """The two halves of a word hyphenated between two lines, or None."""
    if not line.endswith(_HYPHENS) or len(line) > _MAX_JOINED_LINE:
        return None
    end, start = _LINE_END_WORD.search(line), _LINE_START_WORD.match(following)
    if end is None or start is None:
        return None
    if not start[1][0].islower() or start[1] in _CONJUNCTIONS:
        return None
    return end[1], start[1]
