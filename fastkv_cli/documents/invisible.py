"""Remove and count characters that are invisible to readers but not to a model.

They can carry a text of their own (Unicode's tag characters spell ASCII; runs of zero-width
characters or variation selectors spell bytes), reorder the text on screen, or split a word so
that no search finds it. Those that a script or an emoji needs are kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_DIRECTION_MARK = "direction mark"
_KINDS = {
    "tag character": "\U000e0000-\U000e007f",
    "bidi control": "\u202a-\u202e\u2066-\u206f",
    _DIRECTION_MARK: "\u061c\u200e\u200f",
    "zero-width character": "\u200b-\u200d\u2060-\u2064\ufeff",
    "variation selector": "\ufe00-\ufe0f\u180b-\u180f\U000e0100-\U000e01ef",
    "other invisible character": (
        "\u034f\u115f\u1160\u17b4\u17b5\u2065\u3164\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
        "\U0001d173-\U0001d17a\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
    ),
}
_KIND_PATTERNS = {kind: re.compile(f"[{characters}]") for kind, characters in _KINDS.items()}
_RUN = re.compile(f"[{''.join(_KINDS.values())}]+")

# Flags of England, Scotland and Wales: a black flag, a region in tag characters, an end tag.
_FLAGS = tuple(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_BLACK_FLAG = "\U0001f3f4"
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff]")
# A character is kept after one that matches here (a space stands for the start of the text).
_INDIC = "\u0900-\u0dff\u1780-\u17ff\ua8e0-\ua8ff\U00011000-\U00011fff"
_UNSPACED = "\u0e00-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaa7f"
_NEEDED_AFTER = {
    "\u200c": re.compile(f"[\u0600-\u08ff\u1800-\u18af{_INDIC}{_UNSPACED}]"),
    "\u200d": re.compile(f"[\u0600-\u08ff\u1800-\u18af{_INDIC}{_UNSPACED}]"),
    "\u200b": re.compile(f"[{_UNSPACED}]"),
    "\u1160": re.compile("[\u1100-\u115e]"),  # an initial consonant without a vowel
    **dict.fromkeys("\u180b\u180c\u180d\u180e\u180f", re.compile("[\u1820-\u18aa]")),
}
_EMOJI_PRESENTATION = "\ufe0e\ufe0f"
_JOINER = "\u200d"
_PIECE = 2**20  # characters


def strip_invisible(text: str) -> tuple[str, Counter[str]]:
    """Remove invisible characters from a text.

    Direction marks are ordinary in texts with Hebrew or Arabic: they are removed, but not counted
    there. Soft hyphens are left to the caller: at a line end they mark a hyphenated word.

    Returns:
        The text, and how many characters of each kind were removed.
    """
    if _RUN.search(text) is None:
        return text, Counter()
    pieces: list[str] = []
    removed = Counter[str]()
    start = 0
    while start < len(text):  # in pieces, because `sub` holds a list of all runs
        end = min(start + _PIECE, len(text))
        run = _RUN.match(text, end)
        end = run.end() if run else end
        piece = text[start:end]
        stripped = _strip(piece, text[start - 1] if start else " ", text[end : end + 1])
        removed.update("".join(_RUN.findall(piece)))
        removed.subtract("".join(_RUN.findall(stripped)))
        pieces.append(stripped)
        start = end
    counts = Counter[str]()
    for kind, pattern in _KIND_PATTERNS.items():
        number = sum(n for character, n in removed.items() if pattern.match(character))
        if number and not (kind == _DIRECTION_MARK and _RIGHT_TO_LEFT.search(text)):
            counts[kind] = number
    return "".join(pieces), counts


def invisible_warning(counts: Counter[str]) -> str | None:
    """The warning about characters removed from a document; None if there were none."""
    if not counts:
        return None
    kinds = (f"{number:,} {kind}{'s' if number > 1 else ''}" for kind, number in counts.items())
    return f"hidden characters removed: {', '.join(kinds)}"


def _strip(piece: str, before: str, behind: str) -> str:
    """Strip a piece of text; `before` and `behind` are its neighbouring characters."""

    def replace(run: re.Match[str]) -> str:
        return _needed(
            run[0],
            piece[run.start() - 1] if run.start() else before,
            piece[run.end()] if run.end() < len(piece) else behind,
        )

    return _RUN.sub(replace, piece)


def _needed(run: str, before: str, behind: str) -> str:
    """The part of a run of invisible characters that affects how its neighbours look.

    Apart from flags, that is at most two characters: a presentation selector and a joiner, as
    between two emoji. Longer runs have no further effect.
    """
    if before == _BLACK_FLAG:
        for flag in _FLAGS:
            if run.startswith(flag):
                return flag
    kept = ""
    if run[0] in _EMOJI_PRESENTATION and _is_pictorial(before):
        kept, run = run[0], run[1:]
    if run == _JOINER and _is_pictorial(before) and behind and _is_pictorial(behind):
        return kept + run
    if run == "\u115f" and "\u1161" <= behind <= "\u11ff":  # a vowel without an initial consonant
        return run
    needed = _NEEDED_AFTER.get(run[:1])
    if not kept and len(run) == 1 and needed is not None and needed.match(before):
        return run
    return kept


def _is_pictorial(character: str) -> bool:
    """Whether it can be an emoji or part of one: symbols, and the bases of keycaps."""
    return character in "#*0123456789‼⁉" or unicodedata.category(character) in {
        "So", "Sk", "Sm", "Pd",
    }  # fmt: skip
