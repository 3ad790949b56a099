"""Which words of a quote the question and the answer name."""

from __future__ import annotations

from collections.abc import Iterator

from .words import COMMON, find_words, is_number, keys_of

_MIN_BEGINNING = 5  # letters that words have in common if their endings differ


def find_marks(text: str, question: str, answer: str = "") -> Iterator[tuple[int, int]]:
    """The spans of the words of a text that are in the question or the answer, in order.

    Endings may differ (publish, published). Common words (what, the) are not marked.
    """
    wanted = {*keys_of(question), *keys_of(answer)} - COMMON
    stems = {key[:_MIN_BEGINNING] for key in wanted if len(key) >= _MIN_BEGINNING}
    for word in find_words(text):
        is_alike = word.key[:_MIN_BEGINNING] in stems and not is_number(word.key)
        if word.key in wanted or is_alike:
            yield word.start, word.end
