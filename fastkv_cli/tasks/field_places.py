"""The page or line of a field's value, and the sentence, row or item that it stands in."""

from __future__ import annotations

from bisect import bisect_right

from ..field_values import FieldValue
from .corpus import Corpus


def locate(
    corpus: Corpus, span: tuple[int, int, int], path: str, value: object, *, supported: bool
) -> FieldValue:
    """A field's value, with its place in the documents.

    Args:
        corpus: the documents.
        span: where it stands: the number of the document, and the first and last character of its
            text, exclusive.
        path: the keys to it.
        value: normalized.
        supported: whether the words around it name the field.
    """
    number, start, end = span
    document, index = corpus.documents[number], corpus.segment_index
    page = document.page_at(start)

    def begin(segment: int) -> tuple[int, int]:
        block = index.index.blocks[index.blocks[segment]]
        return block.document, index.segments[segment].start

    at = bisect_right(range(len(index.segments)), (number, start), key=begin) - 1
    first, last = start, end
    if at >= 0 and begin(at)[0] == number:
        first, last = index.segments[at].start, max(index.segments[at].end, end)
    return FieldValue(
        path=path,
        value=value,
        text=document.text[start:end],
        document=document.path,
        page=page,
        line=document.line_at(start) if page is None else None,
        quote=" ".join(document.text[first:last].split()),
        supported=supported,
    )
