"""Quote what in documents is likely to answer a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..documents.printed import PrintedPlaces
from ..stats import MAX_QUOTES, Quote
from .ranking import Candidate, Wanted, rank
from .segment_index import SegmentIndex

_MIN_SHARE = 0.4  # of the first quote's score, for a further one


def find_quotes(
    question: str,
    index: SegmentIndex,
    *,
    answer: str = "",
    attention: Sequence[float] | None = None,
    max_quotes: int = MAX_QUOTES,
) -> tuple[Quote, ...]:
    """Verbatim extracts that are likely to answer a question, best first.

    Whole sentences, table rows and list items of one page, filled up with their neighbours to 400
    characters; only a sentence that is longer is cut. No two overlap. None if nothing that the
    question names is in the documents.

    Args:
        question: the user's question.
        index: of the documents.
        answer: the model's answer; empty if there is none, or it is not to be trusted.
        attention: the model's, as a share of each block of `index.index`; None if not measured.
        max_quotes: the most to give.
    """
    if max_quotes < 1:
        return ()
    wanted = Wanted(question, answer, index)
    chosen = _choose(rank(wanted, index, attention), index, max_quotes)
    places: dict[int, PrintedPlaces] = {}
    return tuple(_quote(each, wanted, index, places) for each in chosen)


def _choose(ranked: Sequence[Candidate], index: SegmentIndex, most: int) -> Iterator[Candidate]:
    """The best candidates that share no segment and say different things."""
    taken: set[int] = set()
    texts: set[str] = set()
    best = ranked[0].score if ranked else 0.0
    for candidate in ranked:
        if len(texts) == most or candidate.score < _MIN_SHARE * best:
            return
        numbers = range(candidate.first, candidate.last + 1)
        text = " ".join(index.text_of(candidate.first, candidate.last).split())
        if taken.isdisjoint(numbers) and text not in texts:
            taken.update(numbers)
            texts.add(text)
            yield candidate


def _quote(
    candidate: Candidate, wanted: Wanted, index: SegmentIndex, places: dict[int, PrintedPlaces]
) -> Quote:
    block = index.index.blocks[index.blocks[candidate.first]]
    document = index.index.documents[block.document]
    start, end = index.segments[candidate.first].start, index.segments[candidate.last].end
    if block.document not in places:
        places[block.document] = PrintedPlaces(document)
    printed = places[block.document].place_of(start)
    page = document.page_of(start)
    return Quote(
        document=document.path,
        page=None if page is None else page.number,
        page_label=None if page is None else page.label or None,
        line=document.line_at(start) if page is None else None,
        start=printed,
        end=printed + end - start,
        text=document.text[start:end],
        score=wanted.share(candidate.first, candidate.last),
    )
