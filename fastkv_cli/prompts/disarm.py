"""Disarms text that is data, so that it cannot close the fence, open a turn or give control tokens.

In each look-alike one character is replaced by another that looks similar, so that a reader (and a
model) still sees what was written, and all character positions stay the same.

A text is processed in pieces, as a call of a regular expression blocks the interpreter, Ctrl-C
included, until it returns. Each expression takes time proportional to the text: runs are
possessive, and the lengths of token names are bounded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

FENCE_NAME = "document"

_FILLER = "\u200b"  # stands for every invisible character between two letters
_FILLERS = frozenset({"Mn", "Me", "Cf"})
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_STAND_INS = {"<": "‹", "[": "⟦", "{": "❴", "#": "♯", ":": "∶", "=": "≈", "⩶": "≈"}
_STAND_IN = "·"
_PIECE = 2**17  # characters: some 10 ms
_MAX_NAME = 64  # characters of a control token's name, on each side of an `_of_` it contains

_ANGLED = (
    *("s", "bos", "eos", "sop", "eop", "pad", "unk", "sys", "system", "think"),
    *("tool_call", "tool_response"),
)
_SQUARE = (
    *("inst", "system_prompt", "available_tools", "tool_calls", "tool_results", "think"),
    *("gmask", "smask"),
)
_ROLES = (
    *("system", "user", "human", "assistant", "bot", "gpt", "model", "instruction", "response"),
    *("input", "output"),
)
_ROLE = re.compile(rf"(?:#{{1,6}} ?)?\b(?:{'|'.join(_ROLES)})s?:", re.IGNORECASE)

# Headings between documents, `=== other.pdf ===`: at least three equals signs on each side.
_LINE_ENDS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_LINE_END = re.compile(f"[{_LINE_ENDS}]")
_GAPS = f" \t\x1f\u1680{_FILLER}"  # blank characters within a line, after folding
_EQUALS = "=⩶"  # the second looks like three of the first
_OPENING = re.compile(
    rf"(?<![^{_LINE_ENDS}])[{_GAPS}]*+[{_EQUALS}][{_EQUALS}{_GAPS}]*+(?=[^{_LINE_ENDS}])"
)
_MIN_EQUALS = 3


class _Folds(dict[int, str]):
    """Maps each character to one by its looks, ignoring width, style, accents and case."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if unicodedata.category(character) in _FILLERS or character in _BLANK_LETTERS:
            folded = _FILLER
        else:
            folded = unicodedata.normalize("NFKD", character)[0].lower()[0]
        self[code] = folded
        return folded


_FOLDS = _Folds()
_HEADING_FOLDS = _Folds({ord("⩶"): "⩶"} | dict.fromkeys(map(ord, "═꞊゠᐀⹀≡≣🟰"), "="))


def disarm(text: str, tokens: Iterable[str] = (), turns: Iterable[str] = ()) -> str:
    """Disarm a text's look-alikes; its length stays the same.

    Args:
        text: any text.
        tokens: the model's tokens that its tokenizer would find even in data.
        turns: the words that begin a turn in the model's template, where those are plain words.
    """
    tokens, turns = list(tokens), list(turns)
    first, last = _pattern(tokens), [(_opens(turn), _spaced(turn)) for turn in turns]
    candidate = re.compile(f"[{''.join({re.escape(c) for c in ('<', '[', *map(_first, tokens))})}]")
    folded = "".join(piece.translate(_FOLDS) for piece in _pieces(text))
    pieces: list[str] = []
    places: set[int] = set()  # those after the current piece, too
    for start in range(0, len(text), _PIECE):
        end = start + _PIECE
        for found in candidate.finditer(folded, start, end):
            if first.match(folded, found.start()):
                places.add(found.start())
        for opening, words in last:
            for found in opening.finditer(folded, start, end):
                # Replace the colon at the end, not the first character: `User` may be any word.
                if turn := words.match(folded, found.start()):
                    places.add(turn.end() - 1)
        inside = {place - start for place in places if place < end}
        pieces.append(replace_at(text[start:end], inside))
        places = {place for place in places if place >= end}
    return "".join(pieces)


def disarm_headings(text: str) -> str:
    """Disarm the lines that look like a heading between documents.

    Rules (`=====`), heads of tables (`==== ===`) and comparisons in code (`a === b`) do not.
    """
    pieces: list[str] = []
    start = 0
    while start < len(text):
        # Parts of a line longer than a piece are treated as lines: no heading is that long.
        end = text.find("\n", start + _PIECE, start + 2 * _PIECE) + 1 or start + 2 * _PIECE
        piece = text[start:end]
        pieces.append(replace_at(piece, _heading_places(piece)))
        start = end
    return "".join(pieces)


def replace_at(text: str, places: Iterable[int]) -> str:
    """Replace the characters at these positions by others, similar ones where there are any."""
    pieces, at = [], 0
    for place in sorted(places):
        pieces += [text[at:place], _STAND_INS.get(_HEADING_FOLDS[ord(text[place])], _STAND_IN)]
        at = place + 1
    return "".join([*pieces, text[at:]])


def turn_words(rendered: str) -> Iterator[str]:
    """The plain words that begin turns in a rendered template, such as `USER:`, `### Response:`."""
    found = (match[0].lower() for match in _ROLE.finditer(rendered))
    yield from dict.fromkeys(found)


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _heading_places(text: str) -> Iterator[int]:
    """Positions of the opening equals signs in each line that looks like a heading."""
    folded = text.translate(_HEADING_FOLDS)
    for opening in _OPENING.finditer(folded):
        found = _LINE_END.search(folded, opening.end())
        rest = folded[opening.end() : found.start() if found else len(folded)]
        closing = rest[len(rest.rstrip(_EQUALS + _GAPS)) :]
        if min(map(_num_equals, (opening[0], closing))) >= _MIN_EQUALS:
            yield from (at for at in range(*opening.span()) if folded[at] in _EQUALS)


def _num_equals(signs: str) -> int:
    return signs.count("=") + _MIN_EQUALS * signs.count("⩶")


def _opens(turn: str) -> re.Pattern[str]:
    """A pattern for positions in a folded text at which the words of a turn may begin."""
    return re.compile((r"(?<!\w)" if turn[0].isalpha() else "") + re.escape(turn[0]))


def _spaced(turn: str) -> re.Pattern[str]:
    return re.compile(rf"[\s{_FILLER}]*+".join(map(_spelled, turn.split())))


def _visible(token: str) -> str:
    """A token folded, without invisible characters; one filler if it has no others."""
    return token.translate(_FOLDS).replace(_FILLER, "") or _FILLER


def _first(token: str) -> str:
    return _visible(token)[0]


def _pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """A pattern for the first character of each look-alike in a folded text.

    Look-alikes are tags with the fence's name, whatever else they hold; tokens in the forms of chat
    templates, of any model, as every model was trained on texts with other models' tokens; and
    `tokens`.
    """
    blank, pipe = rf"[\s{_FILLER}/]*+", rf"{_FILLER}*+\|"
    letter = rf"{_FILLER}*+\w"
    of = rf"(?=(?:{letter}){{0,{_MAX_NAME}}}?{_FILLER}*+{_spelled('_of_')})"
    looks = [
        f"<(?={blank}{_spelled(FENCE_NAME)})",
        rf"<(?={pipe}(?:{_FILLER}*+[\w\s.:/▁-]){{1,{_MAX_NAME}}}{pipe}{_FILLER}*+>)",
        rf"<(?={blank}(?:{_either(_ANGLED)}){blank}>)",
        rf"<(?={blank}{of}(?:{letter}){{4,{2 * _MAX_NAME}}}+{blank}>)",
        rf"\[(?={blank}(?:{_either(_SQUARE)}){blank}\])",
    ]
    for token in tokens:
        visible = _visible(token)
        rest = f"{_FILLER}*+{_spelled(visible[1:])}" if visible[1:] else ""
        looks.append(f"{re.escape(visible[0])}(?={rest})")
    return re.compile("|".join(looks))


def _either(words: Iterable[str]) -> str:
    return "|".join(map(_spelled, words))


def _spelled(word: str) -> str:
    """A pattern for a word with any invisible characters between its letters."""
    return f"{_FILLER}*+".join(map(re.escape, word))
