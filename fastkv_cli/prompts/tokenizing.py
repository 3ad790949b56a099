"""From a text to token ids, piece by piece: memory and Ctrl-C do not depend on how long it is.

In one go, a tokenizer takes 30 to 900 bytes a character (measured: blanks to emoji), and nothing
stops it. A piece of 16,384 characters takes at most 40 MB and 0.1 s, and is no slower.

The tokens are those of the whole text. A piece begins some hundred characters before the end of the
one before, and the two are joined where both have the same tokens. Two layers of a tokenizer have
to agree with the whole text there:

- Words (the pre-tokenizer's pieces): its patterns do not look behind, so a piece that begins where
  a word does has the words of the whole text from there on. A word without end is entered in its
  middle, behind its first characters, so that the pattern is in the state that it had in the word.
- Tokens inside a word: BPE tokens are the encoding of their text exactly if every two neighbours
  are the encoding of theirs. Each two in the joined sequence are neighbours in one of the pieces.
"""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from .disarm import replace_at

PIECE_CHARACTERS = 1 << 14
_OVERLAPS = (256, 4096)  # characters that two pieces share: the usual, and where those do not agree
_MARGIN = 64  # characters at a piece's end whose tokens may be others in the whole text
_AGREED = 8  # tokens on each side of a join that both pieces have
_HEAD = 128  # characters of a word without end that go before a piece of it
_MAX_ROUNDS = 8

OnPiece = Callable[[int, int], None]
"""Called before each piece with the characters done and those of the piece."""


def ignore_piece(_done: int, _size: int) -> None:
    """Do nothing before a piece."""


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text's tokens and where each begins in it, in characters; 8 bytes a token."""

    token_ids: array[int]
    starts: array[int]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some of a text, and its tokens.

    Attributes:
        text: the head of a word that began earlier, if any, and the piece, as it was tokenized.
        begin: where `text` would begin in the whole if it had no head but more text there: what is
            added to a place in it.
        head: characters of the head.
        token_ids: of `text`.
        starts: the first character of each token.
        ends: the one behind it.
        words: the number of the word that each token belongs to.
    """

    text: str
    begin: int
    head: int
    token_ids: array[int]
    starts: array[int]
    ends: array[int]
    words: list[int | None]

    @property
    def end(self) -> int:
        """Where it ends in the whole."""
        return self.begin + len(self.text)

    def tokens(self, first: int, last: int | None = None) -> TokenizedText:
        """Tokens by their numbers, with their places in the whole."""
        starts = array("i", [self.begin + start for start in self.starts[first:last]])
        return TokenizedText(self.token_ids[first:last], starts)

    def starts_word(self, token: int) -> bool:
        """Whether a token is the first of its word."""
        return token == 0 or self.words[token] != self.words[token - 1]

    def inside(self, start: int, end: int) -> range:
        """The tokens that lie within these characters of the whole."""
        first = bisect_left(self.starts, start - self.begin)
        last = bisect_left(self.starts, end - self.begin)
        while last > first and self.ends[last - 1] > end - self.begin:
            last -= 1
        return range(first, last)


def tokenize_pieces(
    tokenizer: Any,
    text: str,
    on_piece: OnPiece = ignore_piece,
    size: int = PIECE_CHARACTERS,
) -> Iterator[TokenizedText]:
    """Tokenize a disarmed text; no control token comes out of it.

    Args:
        tokenizer: a fast tokenizer of transformers.
        text: the text.
        on_piece: may raise what is to end it.
        size: characters of a piece.

    Returns:
        The tokens in order, some for each piece.

    Raises:
        ModelError: when the tokenizer makes control tokens of ordinary text.
    """
    control_ids = {
        number for number, token in tokenizer.added_tokens_decoder.items() if is_control(token)
    } - {tokenizer.unk_token_id}

    def encode(begun: str, begin: int, head: int, num_more: int) -> _Piece:
        at = begin + len(begun)
        piece = begun + text[at : at + num_more]
        on_piece(begin + head, len(piece))
        is_last = begin + len(piece) == len(text)
        checked = len(piece) if is_last else len(piece) - _MARGIN
        return _encode(tokenizer, piece, begin, head, control_ids, checked)

    piece, first = encode("", 0, 0, size), 0
    while piece.end < len(text):
        for overlap in _OVERLAPS:
            begun, begin, head = _restart(piece, overlap)
            following = encode(begun, begin, head, size) if begun else piece
            joint = _join(piece, following, first) if begun else None
            if joint is not None:
                break
        else:  # no place to join: this piece is made twice as long
            following = encode(piece.text, piece.begin, piece.head, len(piece.text))
            joint = _join(piece, following, first) or (first, first)
        yield piece.tokens(first, joint[0])
        piece, first = following, joint[1]
    yield piece.tokens(first)


def join_pieces(pieces: Iterable[TokenizedText]) -> TokenizedText:
    """All tokens in one."""
    whole = TokenizedText(array("i"), array("i"))
    for piece in pieces:
        whole.token_ids.extend(piece.token_ids)
        whole.starts.extend(piece.starts)
    return whole


def is_control(token: Any) -> bool:
    """Whether an added token may control a model; runs of blanks and plain words do not."""
    return token.special or not (token.content.isspace() or token.content.isalnum())


def _encode(
    tokenizer: Any, text: str, begin: int, head: int, control_ids: set[int], checked: int
) -> _Piece:
    """Tokenize a piece, and see that no control token came out of its first `checked` characters.

    A tokenizer may have its own idea of what looks alike, or split no special tokens: then what
    became one is taken apart until it does not.

    Raises:
        ModelError: when that does not help.
    """
    for _ in range(_MAX_ROUNDS):
        encoded = tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        token_ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        places = []
        if not control_ids.isdisjoint(token_ids):
            found = zip(token_ids, spans, strict=True)
            places = [start for number, (start, _) in found if number in control_ids]
        places = [place for place in places if place < checked]
        if not places:
            starts = array("i", [start for start, _ in spans])
            ends = array("i", [end for _, end in spans])
            words = encoded.word_ids(0)
            return _Piece(text, begin, head, array("i", token_ids), starts, ends, words)
        text = replace_at(text, places)
    raise ModelError(
        "the model's tokenizer makes control tokens of ordinary text", "try another model"
    )


def _restart(piece: _Piece, overlap: int) -> tuple[str, int, int]:
    """What the next piece begins with: text, its place in the whole, and the length of a head.

    It begins at the last word that leaves `overlap` characters to compare, or, inside a word of
    more than 4,096 characters, at a token. The text is empty where there is no such place.
    """
    latest = len(piece.text) - _MARGIN - overlap
    low = bisect_right(piece.starts, max(piece.head, latest - _OVERLAPS[-1]))
    tokens = range(low, bisect_right(piece.starts, latest))
    usable = [at for at in reversed(tokens) if _is_starter(piece.text[piece.starts[at]])]
    if not usable:
        return "", 0, 0
    token = next(filter(piece.starts_word, usable), None)
    if token is not None:
        start = piece.starts[token]
        return piece.text[start:], piece.begin + start, 0
    start, word = piece.starts[usable[0]], usable[-1]
    while not piece.starts_word(word):
        word -= 1
    # up to a token's end: in a run of one letter, tokens of several keep in step
    head_end = bisect_left(piece.starts, piece.starts[word] + _HEAD)
    head = piece.text[piece.starts[word] : min(piece.starts[head_end], start)]
    return head + piece.text[start:], piece.begin + start - len(head), len(head)


def _join(piece: _Piece, following: _Piece, first: int) -> tuple[int, int] | None:
    """Where the next piece takes over: a token's number in each of the two; None for nowhere.

    Both have the same tokens around it, for as far as their texts overlap. The character there
    combines with none before it, so that no normalizer mixes the two sides.
    """
    start, end = following.begin + following.head, piece.end - _MARGIN
    ours, theirs = piece.inside(start, end), following.inside(start, end)
    num_agreed = 0
    for one, other in zip(reversed(ours), reversed(theirs), strict=False):
        if one < first or not _is_same(piece, one, following, other):
            break
        num_agreed += 1
    for back in range(_AGREED, num_agreed - _AGREED):
        one, other = ours[-1] - back, theirs[-1] - back
        at = piece.starts[one]
        if piece.starts[one - 1] < at and _is_starter(piece.text[at]):
            return one, other
    return None


def _is_same(piece: _Piece, one: int, following: _Piece, other: int) -> bool:
    """Whether two pieces have the same token at the same place, and as the same part of a word."""
    shift = following.begin - piece.begin
    return (
        piece.token_ids[one] == following.token_ids[other]
        and piece.starts[one] == following.starts[other] + shift
        and piece.ends[one] == following.ends[other] + shift
        and piece.starts_word(one) == following.starts_word(other)
    )


def _is_starter(character: str) -> bool:
    """Whether a character is no mark that combines with those before it."""
    return unicodedata.category(character)[0] != "M"
