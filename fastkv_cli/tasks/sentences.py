"""Sentences of a summary as a model writes them: whole, each once, no more than asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..evidence.words import keys_of

# What ends a sentence: its mark, with white space behind it where the script has any; an empty
# line; the end of a line before an item of a list.
_TAG = r"</?[a-zA-Z][^<>]*>"
_END = re.compile(
    rf"[.!?…]+[\"”’»)\]]*(?:{_TAG})*(?=\s+(\S))|[。！？][”’」』）]*"
    r"|\n[ \t]*\n\s*|\n(?=[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t])"
)
_ITEM = re.compile(r"(?:[-*•]|\d{1,3}[.)])\s")
_ABBREVIATIONS = frozenset("mr mrs ms dr prof st vs e.g i.e cf fig sec no vol pp p al".split())  # noqa: SIM905
_BEFORE_WORD = re.compile(r"[\s(\[“\"<>]")
_EMPTY_LINE = re.compile(r"\n[ \t]*\n")
# Small models dress what they write as web pages; inside a sentence a tag is what it speaks of.
_TAGS_AROUND = re.compile(rf"\A(?:{_TAG}\s*)+|(?:\s*{_TAG})+\Z")
# Words that say nothing of a text in particular: of English, and of what summaries are made of.
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
_CLOSED = re.compile(r"[。！？][”’」』）]*\Z")  # no blank stands behind such a mark
_SAME_SHARE = 0.8  # of the words of two sentences that say the same
_MIN_WORDS = 4  # shorter ones may come again: "Yes, it is."


@dataclass(frozen=True)
class Sentence:
    """A sentence, an item of a list, or a heading, on one line.

    Attributes:
        text: without white space around it.
        is_whole: whether it ends with a full stop or the like.
        begins_paragraph: whether an empty line stands before it.
    """

    text: str
    is_whole: bool
    begins_paragraph: bool = False

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Its words, as words are compared."""
        return tuple(keys_of(self.text))

    @cached_property
    def content(self) -> frozenset[str]:
        """Those of its words that say something."""
        return frozenset(self.keys) - GENERIC

    @property
    def is_item(self) -> bool:
        """Whether it is an item of a list."""
        return _ITEM.match(self.text) is not None

    def repeats(self, other: Sentence) -> bool:
        """Whether it says what another one says, in nearly the same words."""
        mine, theirs = set(self.keys), set(other.keys)
        if len(mine) < _MIN_WORDS:
            return self.keys == other.keys and len(mine) > 1
        return len(mine & theirs) >= _SAME_SHARE * len(mine | theirs)


def find_sentences(text: str) -> list[Sentence]:
    """The sentences of a text, in order; the last may be cut short."""
    cutter = _Cutter()
    return [*cutter.push(text), *cutter.rest()]


def join_sentences(sentences: Sequence[Sentence]) -> str:
    """One text of them."""
    pairs = zip([None, *sentences], sentences, strict=False)
    return "".join(_gap(before, sentence) + sentence.text for before, sentence in pairs)


class SentenceFilter:
    """Lets an answer through a sentence at a time, without those that it had before.

    Attributes:
        kept: what was let through.
        num_dropped: sentences that were not, because they repeat another.
    """

    def __init__(self, most: int) -> None:
        """Let so many sentences through."""
        self._most = most
        self._cutter = _Cutter()
        self.kept: list[Sentence] = []
        self.num_dropped = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more is let through."""
        return len(self.kept) >= self._most

    def push(self, text: str) -> str:
        """Add text; gives what may be shown of all that was added."""
        return "".join(map(self._pass, self._cutter.push(text)))

    def end(self, *, was_cut: bool) -> str:
        """The rest; one that was cut short is shown only where there is nothing else."""
        rest = self._cutter.rest()
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
        return _gap(before, sentence) + sentence.text


class _Cutter:
    """Cuts a growing text into sentences."""

    def __init__(self) -> None:
        self._text = ""
        self._after_gap = False

    def push(self, text: str) -> Iterator[Sentence]:
        """Add text; gives the sentences that are known to have ended."""
        self._text += text
        start = 0
        for match in _END.finditer(self._text):
            if match.end() < len(self._text) and _is_end(self._text[start : match.start()], match):
                yield from self._cut(start, match.end())
                start = match.end()
        self._text = self._text[start:]

    def rest(self) -> list[Sentence]:
        """What has not ended yet."""
        rest = list(self._cut(0, len(self._text)))
        self._text = ""
        return rest

    def _cut(self, start: int, end: int) -> Iterator[Sentence]:
        piece = self._text[start:end]
        text = _TAGS_AROUND.sub("", " ".join(piece.split()))
        before = piece[: len(piece) - len(piece.lstrip())]
        begins = self._after_gap or _EMPTY_LINE.search(before) is not None
        self._after_gap = _EMPTY_LINE.search(piece[len(piece.rstrip()) :]) is not None
        if text:
            is_whole = text.rstrip('"”’»)]」』）')[-1:] in tuple(".!?…。！？")
            yield Sentence(text, is_whole and not _ITEM.fullmatch(text + " "), begins)
        else:
            self._after_gap = self._after_gap or begins


def _is_end(before: str, mark: re.Match[str]) -> bool:
    """Whether a mark ends a sentence, and not an abbreviation, a quotation, or an item's number."""
    if mark[1] is None:
        return True
    last = _BEFORE_WORD.split(before)[-1]
    if mark[1].islower() or (last.isdigit() and last == before.strip()):
        return False
    is_initial = len(last) == 1 and last.isupper()
    return not (mark[0].startswith(".") and (is_initial or last.lower() in _ABBREVIATIONS))


def _gap(before: Sentence | None, sentence: Sentence) -> str:
    """What stands between two sentences."""
    if before is None:
        return ""
    if sentence.begins_paragraph:
        return "\n\n"
    if sentence.is_item:
        return "\n"
    return "" if _CLOSED.search(before.text) else " "
