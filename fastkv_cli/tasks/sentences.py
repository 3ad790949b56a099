"""Split a model's output into sentences: whole, without repetitions, up to a maximum number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..evidence.words import keys_of

# What ends a sentence: its end mark, followed by white space in scripts that use it; an empty line;
# a line end before a list item.
_TAG = r"</?[a-zA-Z][^<>]*>"
_END = re.compile(
    rf"(?<![.!?…])[.!?…]++[\"”’»)\]]*+(?:{_TAG})*+(?=\s++(\S))|[。！？][”’」』）]*+"
    r"|\n[ \t]*+\n\s*+|\n(?=[ \t]*+(?:[-*•]|\d{1,3}[.)])[ \t])"
)
_ITEM = re.compile(r"(?:[-*•]|\d{1,3}[.)])\s")
_ABBREVIATIONS = frozenset("mr mrs ms dr prof st vs e.g i.e cf fig sec no vol pp p al".split())  # noqa: SIM905
_LAST_WORD = re.compile(r"[^\s(\[“\"<>]+\Z")
_EMPTY_LINE = re.compile(r"\n[ \t]*+\n")
_WHOLE_TAG = re.compile(_TAG)
_LOOKBACK = 1000  # characters before a new piece in which a sentence may have ended
_MAX_LAST_WORD = 64  # characters examined before a mark; of a longer word only the end
# Words without content: common English words, and those typical of summaries.
GENERIC = frozenset(
    keys_of(
        """a an the this that these those it its he she they them their his her we our you your i
        and or but not nor so if as than then also into onto of in on at to for from with by about
        over between through such both all any each more most other some only own same very just is
        are was were be been being has have had do does did will would can could may might must
        shall should there here who whom whose which what when where why how
        author conclude content contain describe detail discuss document example explain following
        highlight include including important key main mention note overview part passage point
        provide section several story summarize summary text various first second finally"""
    )
)
_CLOSED = re.compile(r"[。！？][”’」』）]*+\Z")  # no space follows these marks
_SAME_SHARE = 0.8  # of the words of two sentences that repeat each other
_MIN_WORDS = 4  # shorter ones may be repeated: "Yes, it is."


@dataclass(frozen=True)
class Sentence:
    """A sentence, a list item, or a heading, on one line.

    Attributes:
        text: without surrounding white space.
        is_whole: whether it ends with a full stop or the like.
        begins_paragraph: whether an empty line precedes it.
    """

    text: str
    is_whole: bool
    begins_paragraph: bool = False

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The comparison keys of its words."""
        return tuple(keys_of(self.text))

    @cached_property
    def content(self) -> frozenset[str]:
        """The keys of its content words."""
        return frozenset(self.keys) - GENERIC

    @property
    def is_item(self) -> bool:
        return _ITEM.match(self.text) is not None

    def repeats(self, other: Sentence) -> bool:
        """Whether it says the same as another sentence in nearly the same words."""
        mine, theirs = set(self.keys), set(other.keys)
        if len(mine) < _MIN_WORDS:
            return self.keys == other.keys and len(mine) > 1
        return len(mine & theirs) >= _SAME_SHARE * len(mine | theirs)


def find_sentences(text: str) -> list[Sentence]:
    """The sentences of a text, in order; the last may be truncated."""
    cutter = _SentenceSplitter()
    return [*cutter.push(text), *cutter.rest()]


def join_sentences(sentences: Sequence[Sentence]) -> str:
    """Join sentences to one text."""
    pairs = zip([None, *sentences], sentences, strict=False)
    return "".join(gap_between(before, sentence) + sentence.text for before, sentence in pairs)


class SentenceFilter:
    """Passes an answer on sentence by sentence, without repetitions.

    Attributes:
        kept: the sentences passed on.
        num_dropped: the number of sentences dropped as repetitions.
    """

    def __init__(self, most: int) -> None:
        """Pass at most this many sentences."""
        self._most = most
        self._splitter = _SentenceSplitter()
        self.kept: list[Sentence] = []
        self.num_dropped = 0

    @property
    def is_full(self) -> bool:
        """Whether no further sentence can pass."""
        return len(self.kept) >= self._most

    def push(self, text: str) -> str:
        """Add text; returns the new text to show."""
        return "".join(map(self._pass, self._splitter.push(text)))

    def end(self, *, was_cut: bool) -> str:
        """Return the rest; a truncated last sentence is dropped unless it is the only one."""
        rest = self._splitter.rest()
        if was_cut and self.kept and rest and not rest[-1].is_whole:
            rest.pop()
        return "".join(map(self._pass, rest))

    def _pass(self, sentence: Sentence) -> str:
        if self.is_full:
            return ""
        if any(map(sentence.repeats, self.kept)):
            self.num_dropped += 1
            return ""
        before = self.kept[-1] if self.kept else None
        self.kept.append(sentence)
        return gap_between(before, sentence) + sentence.text


class _SentenceSplitter:
    """Splits a growing text into sentences."""

    def __init__(self) -> None:
        self._text = ""
        self._decided_to = 0  # the position up to which sentence ends are decided
        self._after_gap = False

    def push(self, text: str) -> Iterator[Sentence]:
        """Add text; yields the sentences that have certainly ended."""
        searched_to = max(self._decided_to, len(self._text) - _LOOKBACK)
        self._text += text
        start = 0
        for match in _END.finditer(self._text, searched_to):
            if match.end() == len(self._text):
                break
            self._decided_to = match.end()
            if _is_end(start, match):
                yield from self._cut(start, match.end())
                start = match.end()
        self._text = self._text[start:]
        self._decided_to -= min(start, self._decided_to)

    def rest(self) -> list[Sentence]:
        """The sentences that have not ended yet."""
        rest = list(self._cut(0, len(self._text)))
        self._text, self._decided_to = "", 0
        return rest

    def _cut(self, start: int, end: int) -> Iterator[Sentence]:
        piece = self._text[start:end]
        text = _strip_outer_tags(" ".join(piece.split()))
        before = piece[: len(piece) - len(piece.lstrip())]
        begins = self._after_gap or _EMPTY_LINE.search(before) is not None
        self._after_gap = _EMPTY_LINE.search(piece[len(piece.rstrip()) :]) is not None
        if text:
            is_whole = text.rstrip('"”’»)]」』）')[-1:] in tuple(".!?…。！？")
            yield Sentence(text, is_whole and not _ITEM.fullmatch(text + " "), begins)
        else:
            self._after_gap = self._after_gap or begins


def _strip_outer_tags(text: str) -> str:
    """Remove the tags at both ends of a line.

    Small models wrap their output in HTML; a tag inside a sentence is part of its content.
    """
    start, end = 0, len(text)
    while (tag := _WHOLE_TAG.match(text, start)) is not None:
        start = tag.end() + text.startswith(" ", tag.end())
    while text.endswith(">", start, end):
        opening = text.rfind("<", start, end)
        if opening < 0 or _WHOLE_TAG.fullmatch(text, opening, end) is None:
            break
        end = opening - text.endswith(" ", start, opening)
    return text[start:end]


def _is_end(start: int, mark: re.Match[str]) -> bool:
    """Whether a mark ends a sentence, not an abbreviation, a quotation, or an item's number.

    Args:
        start: where the sentence begins in the text of the mark.
        mark: a match of `_END`.
    """
    if mark[1] is None:
        return True
    text, end = mark.string, mark.start()
    found = _LAST_WORD.search(text, max(start, end - _MAX_LAST_WORD), end)
    last = found[0] if found else ""
    if mark[1].islower() or (last.isdigit() and last == text[start:end].strip()):
        return False
    is_initial = len(last) == 1 and last.isupper()
    return not (mark[0].startswith(".") and (is_initial or last.lower() in _ABBREVIATIONS))


def gap_between(before: Sentence | None, sentence: Sentence) -> str:
    """The separator between two sentences."""
    if before is None:
        return ""
    if sentence.begins_paragraph:
        return "\n\n"
    if sentence.is_item:
        return "\n"
    return "" if _CLOSED.search(before.text) else " "
