"""Tokenizing a text in pieces, so that memory use and Ctrl-C do not depend on its length.

For a whole text, a tokenizer takes 30 to 900 bytes per character (measured: spaces to emoji), and
cannot be interrupted. A piece of 16,384 characters takes at most 40 MB and 0.1 s, and pieces are no
slower in total.

The tokens are the same as for the whole text. A piece begins a few hundred characters before the
end of the previous one, and the two are joined where both have the same tokens. Two layers of a
tokenizer have to agree with the whole text there:

- Words (the pre-tokenizer's pieces): its patterns have no lookbehind, so a piece that begins at the
  start of a word has the words of the whole text from there on. A word that is longer than a piece
  is entered in its middle, after a copy of its first characters, so that the pattern is in the same
  state as inside the word.
- Tokens inside a word: a sequence of BPE tokens is the encoding of its text exactly if every two
  neighbours are the encoding of theirs. Any two neighbours in the joined sequence are neighbours in
  one of the pieces.
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
_OVERLAPS = (256, 4096)  # characters that two pieces share: first try, and if tokens do not agree
_MARGIN = 64  # characters at a piece's end whose tokens may differ in the whole text
_AGREED = 8  # tokens on each side of a join that both pieces must share
_HEAD = 128  # characters from a long word's start that are put before a piece of it
_MAX_ROUNDS = 8

OnPiece = Callable[[int, int], None]
"""Called before each piece with the number of characters done and the size of the piece."""


def ignore_piece(_done: int, _size: int) -> None:
    """Do nothing before a piece."""


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text's tokens and the character at which each begins; 8 bytes per token."""

    token_ids: array[int]
    starts: array[int]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a text, and its tokens.

    Attributes:
        text: the head of a word that began earlier, if any, and the piece, as it was tokenized.
        begin: offset to add to a position in `text` to get the position in the whole text; the
            head counts as if it were the text right before the piece.
        head: length of the head in characters.
        token_ids: the tokens of `text`.
        starts: position in `text` of each token's first character.
        ends: position after each token's last character.
        words: index of the word that each token belongs to.
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
        """The end of the piece in the whole text."""
        return self.begin + len(self.text)

    def tokens(self, first: int, last: int | None = None) -> TokenizedText:
        """Tokens `first` to `last`, with their positions in the whole text."""
        starts = array("i", [self.begin + start for start in self.starts[first:last]])
        return TokenizedText(self.token_ids[first:last], starts)

    def starts_word(self, token: int) -> bool:
        """Whether a token is the first of its word."""
        return token == 0 or self.words[token] != self.words[token - 1]

    def inside(self, start: int, end: int) -> range:
        """The tokens that lie within these characters of the whole text."""
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
    """Tokenize a disarmed text; the result has no control tokens.

    Args:
        tokenizer: a fast tokenizer of transformers.
        text: the text.
        on_piece: called before each piece; may raise to stop.
        size: characters per piece.

    Returns:
        The tokens in order, piece by piece.

    Raises:
        ModelError: when the tokenizer turns ordinary text into control tokens.
    """
    control_ids = {
        number for number, token in tokenizer.added_tokens_decoder.items() if is_control(token)
    } - {tokenizer.unk_token_id}

    def encode(start: str, begin: int, head: int, num_more: int) -> _Piece:
        at = begin + len(start)
        piece = start + text[at : at + num_more]
        on_piece(begin + head, len(piece))
        is_last = begin + len(piece) == len(text)
        checked = len(piece) if is_last else len(piece) - _MARGIN
        return _encode(tokenizer, piece, begin, head, control_ids, checked)

    piece, first = encode("", 0, 0, size), 0
    while piece.end < len(text):
        for overlap in _OVERLAPS:
            start, begin, head = _restart(piece, overlap)
            following = encode(start, begin, head, size) if start else piece
            joint = _join(piece, following, first) if start else None
            if joint is not None:
                break
        else:  # the pieces cannot be joined: tokenize this piece again with twice the length
            following = encode(piece.text, piece.begin, piece.head, len(piece.text))
            joint = _join(piece, following, first) or (first, first)
        yield piece.tokens(first, joint[0])
        piece, first = following, joint[1]
    yield piece.tokens(first)


def join_pieces(pieces: Iterable[TokenizedText]) -> TokenizedText:
    """Concatenate the tokens of all pieces."""
    whole = TokenizedText(array("i"), array("i"))
    for piece in pieces:
        whole.token_ids.extend(piece.token_ids)
        whole.starts.extend(piece.starts)
    return whole


def is_control(token: Any) -> bool:
    """Whether an added token may control a model; runs of whitespace and plain words cannot."""
    return token.special or not (token.content.isspace() or token.content.isalnum())


def _encode(
    tokenizer: Any, text: str, begin: int, head: int, control_ids: set[int], checked: int
) -> _Piece:
    """Tokenize a piece without control tokens in its first `checked` characters.

    A tokenizer may normalize other look-alikes, or ignore the request to split special tokens: then
    characters of each control token are replaced until none is left.

    Raises:
        ModelError: when control tokens are left after 8 rounds.
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
    """Start of the next piece: its text so far, its position in the whole, and its head's length.

    It begins at the last word that leaves `overlap` characters to compare, or, inside a word of
    more than 4,096 characters, at a token. The text is empty if there is no such position.
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
    # cut at a token's end: in a run of one letter, tokens of several letters stay aligned
    head_end = bisect_left(piece.starts, piece.starts[word] + _HEAD)
    head = piece.text[piece.starts[word] : min(piece.starts[head_end], start)]
    return head + piece.text[start:], piece.begin + start - len(head), len(head)


def _join(piece: _Piece, following: _Piece, first: int) -> tuple[int, int] | None:
    """Find where the next piece takes over: a token's index in each piece; None if nowhere.

    Both pieces have the same tokens from at least 8 before it to the end of their overlap. The
    token's first character does not combine with the one before, so that no normalizer mixes the
    two sides.
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
    """Whether two pieces have the same token at one position, in the same part of a word."""
    shift = following.begin - piece.begin
    return (
        piece.token_ids[one] == following.token_ids[other]
        and piece.starts[one] == following.starts[other] + shift
        and piece.ends[one] == following.ends[other] + shift
        and piece.starts_word(one) == following.starts_word(other)
    )


def _is_starter(character: str) -> bool:
    """Whether a character does not combine with those before it."""
    return unicodedata.category(character)[0] != "M"
