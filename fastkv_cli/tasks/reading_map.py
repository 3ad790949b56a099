"""The map of what was read: for each sentence its attention score, let through and kept shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..documents import Document
from ..engine.generation import Generation, Piece, TokenTrace
from .corpus import Corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_BLOCK_TOKENS = 64
_PAGE_CUTS, _PARAGRAPH_CUTS, _SENTENCE_CUTS = 0, 1, 3  # ranks in `Corpus.cuts`


@dataclass(frozen=True, slots=True)
class Block:
    """A sentence, up to 64 tokens of one, or a passage that the answer was not made from.

    Attributes:
        start: its first character in the document's text.
        end: the character behind its last.
        num_tokens: its length.
        score: the mean attention to its tokens, as a share of the highest block's; in a long text
            the rank score of its passage. None where nothing was scored.
        propagated: the share of its tokens that were in the answer's prompt and were propagated
            behind the TSP layer; None where it was not recorded.
        kept: the share of its tokens' KV entries, over all layers and heads, that the cache kept;
            None where it was not recorded.
    """

    start: int
    end: int
    num_tokens: int
    score: float | None
    propagated: float | None
    kept: float | None


@dataclass(frozen=True, slots=True)
class DocumentMap:
    """The blocks of a document, in order; parts of the text that were not recorded have none."""

    document: Document
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ReadingMap:
    """What was made of each document of a run."""

    documents: tuple[DocumentMap, ...]


class MapRecorder:
    """Collects what a task makes of the corpus's tokens, for a `ReadingMap`."""

    def __init__(self, corpus: Corpus) -> None:
        """Begin with nothing recorded."""
        self._corpus = corpus
        self._passages: list[tuple[slice, float]] = []
        self._prompts: list[tuple[Sequence[int], Sequence[float], TokenTrace, int]] = []

    def add_passage(self, span: slice, score: float) -> None:
        """Record the score of a passage of a long text: a span of the corpus's tokens."""
        self._passages.append((span, score))

    def listen(
        self, events: Iterator[Piece | Generation], first: int, sources: Sequence[int]
    ) -> Iterator[Piece | Generation]:
        """Pass on the events of a prompt, and record what was made of its tokens.

        Args:
            events: of a stream that traces tokens.
            first: the row of the prompt at which the text begins.
            sources: the corpus position of each token of the text, negative for none.
        """
        for event in events:
            if isinstance(event, Generation) and event.trace is not None:
                self._prompts.append((sources, event.token_scores or (), event.trace, first))
            yield event

    def build(self) -> ReadingMap:
        """Sum up what was recorded, sentence by sentence.

        The scores of different prompts are comparable where these are about equally long: each is
        a share of the attention within its prompt.
        """
        corpus = self._corpus
        tokens = self._token_values()
        bounds = self._bounds()
        maps = [[*self._blocks(at, bounds, tokens)] for at in range(len(corpus.documents))]
        scores = (block.score for blocks in maps for block in blocks)
        highest = max((score for score in scores if score is not None), default=0.0) or 1.0
        return ReadingMap(
            tuple(
                DocumentMap(document, tuple(_scaled(block, highest) for block in blocks))
                for document, blocks in zip(corpus.documents, maps, strict=True)
            )
        )

    def _token_values(self) -> dict[str, NDArray[np.float64]]:
        """(tokens of the corpus,) each: score, propagated and kept; NaN where not recorded."""
        import numpy as np

        # nothing of a passage reaches the answer's prompt unless a prompt is recorded with it
        usual = 0.0 if self._passages else np.nan
        size = self._corpus.num_tokens
        values = {
            "score": np.full(size, np.nan),
            "propagated": np.full(size, usual),
            "kept": np.full(size, usual),
        }
        for sources, scores, trace, first in self._prompts:
            at = np.asarray(sources)
            is_text = at >= 0
            rows = slice(first, first + len(at))
            values["propagated"][at[is_text]] = np.asarray(trace.propagated)[rows][is_text]
            values["kept"][at[is_text]] = np.asarray(trace.kept)[rows][is_text]
            own = np.asarray(scores[rows])  # may end before the text does
            is_text = is_text[: len(own)]
            values["score"][at[: len(own)][is_text]] = own[is_text]
        for span, score in self._passages:
            values["score"][span] = max(score, 0.0)
        return values

    def _bounds(self) -> NDArray[np.intp]:
        """Where blocks begin: passages, and the sentences of what the answer was made from."""
        import numpy as np

        corpus = self._corpus
        is_used = np.zeros(corpus.num_tokens + 1, bool)
        for sources, *_ in self._prompts:
            is_used[[source for source in sources if source >= 0]] = True
        edges = np.flatnonzero(np.diff(is_used)) + 1
        cuts = [
            np.asarray(corpus.cuts[rank], np.intp)
            for rank in (_PAGE_CUTS, _PARAGRAPH_CUTS, _SENTENCE_CUTS)
        ]
        sentences = np.unique(np.concatenate([*cuts, edges]))
        sentences = sentences[is_used[sentences] | is_used[sentences - 1]]
        passages = [span.start for span, _ in self._passages]
        documents = [at for span in corpus.spans for at in (span.start, span.stop)]
        bounds = np.unique(np.concatenate([sentences, passages, documents]).astype(np.intp))
        shorter = [
            part.start
            for start, stop in pairwise(bounds.tolist())
            if stop - start > _MAX_BLOCK_TOKENS and is_used[start]
            for part in corpus.split(_MAX_BLOCK_TOKENS, slice(start, stop))
        ]
        return np.unique(np.concatenate([bounds, np.asarray(shorter, np.intp)]))

    def _blocks(
        self, document: int, bounds: NDArray[np.intp], tokens: dict[str, Any]
    ) -> Iterator[Block]:
        """The blocks of a document of which anything is known, scores not yet scaled."""
        import numpy as np

        corpus, span = self._corpus, self._corpus.spans[document]
        size = corpus.documents[document].num_characters
        starts = np.frombuffer(corpus.starts, np.intc)
        own = bounds[(bounds >= span.start) & (bounds <= span.stop)]
        for first, stop in pairwise(own.tolist()):
            start = max(int(starts[first]), 0)  # negative in a heading
            end = size if stop == span.stop else min(int(starts[stop]), size)
            values = {name: _mean(each[first:stop]) for name, each in tokens.items()}
            if end > start and any(value is not None for value in values.values()):
                yield Block(start, end, stop - first, **values)


def _mean(values: NDArray[np.float64]) -> float | None:
    import numpy as np

    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _scaled(block: Block, highest: float) -> Block:
    return block if block.score is None else replace(block, score=max(block.score, 0.0) / highest)
