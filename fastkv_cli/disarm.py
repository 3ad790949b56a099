"""Text as data: nothing in it closes the fence, opens a turn, or becomes a control token.

Each look-alike loses its first character to one that looks alike, so that a reader (and a model)
still sees what was written, and every place in the text stays where it was.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

FENCE_NAME = "document"

_FILLER = "\u200b"  # stands for all that is not seen between two letters
_FILLERS = frozenset({"Mn", "Me", "Cf"})
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")
_STAND_INS = {"<": "‹", "[": "⟦", "{": "❴", "#": "♯", ":": "∶"}
_STAND_IN = "·"

_ANGLED = ("s", "bos", "eos", "pad", "unk", "sys", "system", "think", "tool_call", "tool_response")
_SQUARE = ("inst", "system_prompt", "available_tools", "tool_calls", "tool_results", "think")
_ROLES = (
    *("system", "user", "human", "assistant", "bot", "gpt", "model", "instruction", "response"),
    *("input", "output"),
)
_ROLE = re.compile(rf"(?:#+ ?)?\b(?:{'|'.join(_ROLES)})s?:", re.IGNORECASE)


class _Folds(dict[int, str]):
    """Characters as they look, one for one: width, style, accents and case aside."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if unicodedata.category(character) in _FILLERS or character in _BLANK_LETTERS:
            folded = _FILLER
        else:
            folded = unicodedata.normalize("NFKD", character)[0].lower()[0]
        self[code] = folded
        return folded


_FOLDS = _Folds()


def disarm(text: str, tokens: Iterable[str] = (), turns: Iterable[str] = ()) -> str:
    """The text with its look-alikes disarmed, character for character.

    Args:
        text: Any text.
        tokens: The model's own tokens that its tokenizer would find even in data.
        turns: What begins a turn in the model's template, where that is plain words.
    """
    folded = text.translate(_FOLDS)
    places = {match.start() for match in _pattern(tokens).finditer(folded)}
    for turn in turns:
        # The last character, a colon, and not the first: `User` may be any word of the text.
        words = rf"[\s{_FILLER}]*".join(map(_spelled, turn.split()))
        start = r"(?<!\w)" if turn[0].isalpha() else ""
        places |= {match.end() - 1 for match in re.finditer(start + words, folded)}
    return replace_at(text, places)


def replace_at(text: str, places: Iterable[int]) -> str:
    """The text with other characters, which look alike where there are some, in these places."""
    pieces, at = [], 0
    for place in sorted(places):
        pieces += [text[at:place], _STAND_INS.get(_FOLDS[ord(text[place])], _STAND_IN)]
        at = place + 1
    return "".join([*pieces, text[at:]])


def turn_words(rendered: str) -> Iterator[str]:
    """What begins turns in a rendered template in plain words, as `USER:` or `### Response:`."""
    found = (match[0].lower() for match in _ROLE.finditer(rendered))
    yield from dict.fromkeys(found)


def _pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """Matches the first character of each look-alike in a folded text.

    The fence's name, whatever else the tag holds; the forms that chat templates give their tokens,
    of any model, as all of them have been trained on texts with those of others; and `tokens`.
    """
    blank, pipe = rf"[\s{_FILLER}/]*", rf"{_FILLER}*\|"
    looks = [
        f"<(?={blank}{_spelled(FENCE_NAME)})",
        rf"<(?={pipe}[\w\s.:/▁-]{{1,64}}{pipe}{_FILLER}*>)",
        rf"<(?={blank}(?:{_either(_ANGLED)}|\w*_of_\w*){blank}>)",
        rf"\[(?={blank}(?:{_either(_SQUARE)}){blank}\])",
    ]
    for token in tokens:
        looked_for = token.translate(_FOLDS)
        rest = f"{_FILLER}*{_spelled(looked_for[1:])}"
        looks.append(f"{re.escape(looked_for[0])}(?={rest})")
    return re.compile("|".join(looks))


def _either(words: Iterable[str]) -> str:
    return "|".join(map(_spelled, words))


def _spelled(word: str) -> str:
    """A pattern for a word with whatever is not seen between its letters."""
    return f"{_FILLER}*".join(map(re.escape, word))
