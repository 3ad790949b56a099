"""The map of what was read: for each sentence its attention score, propagated and kept shares."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan
from typing import TYPE_CHECKING

from ..documents import Document
from ..engine.generation import Generation, Piece, TokenTrace
from .corpus import Corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Block:
    """A segment of a document (a sentence, a row, an item, a heading), and what prefill made of it.

    Attributes:
        start: its first character in the document's text.
        end: the character behind it; the next block begins there.
        num_tokens: its length.
        score: the mean attention to its tokens, as a share of the highest block's; None if nothing
            was scored.
        propagated: the share of its tokens that were in the answer's prompt and were propagated
            behind the TSP layer; None if not recorded.
        kept: the share of its tokens' KV entries, over all layers and heads, that the cache kept;
            None if not recorded.
    """

    start: int
    end: int
    num_tokens: int
    score: float | None
    propagated: float | None
    kept: float | None


@dataclass(frozen=True, slots=True)
class DocumentMap:
    """The blocks of a document, in order."""

    document: Document
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ReadingMap:
    """The maps of all documents of a run, in order."""

    documents: tuple[DocumentMap, ...]


@dataclass(frozen=True, slots=True)
class _TracedPrompt:
    """What became of a prompt's text; `sources` are its tokens' positions in the corpus."""

    sources: Sequence[int]
    scores: Sequence[float]
    trace: TokenTrace
    first: int  # row of the prompt at which the text begins


class MapRecorder:
    """Collects what a task makes of the corpus's tokens, for a `ReadingMap`."""

    def __init__(self, corpus: Corpus) -> None:
        """Start with nothing recorded."""
        self._corpus = corpus
        self._prompts: list[_TracedPrompt] = []
        self._num_answers = 0
        self._scored: _TracedPrompt | None = None  # an earlier prompt, with its scores

    def begin_answer(self) -> None:
        """Forget earlier prompts, except for their scores: the next one makes the answer."""
        self._num_answers += 1
        self._scored = next((prompt for prompt in self._prompts if prompt.scores), self._scored)
        self._prompts.clear()

    def listen(
        self, events: Iterator[Piece | Generation], first: int, sources: Sequence[int]
    ) -> Iterator[Piece | Generation]:
        """Pass on the events of a prompt, and record what became of its tokens.

        Args:
            events: of a stream that traces tokens.
            first: the row of the prompt at which the text begins.
            sources: the corpus position of each token of the text, negative for none.
        """
        for event in events:
            if isinstance(event, Generation) and event.trace is not None:
                scores = event.token_scores or ()
                self._prompts.append(_TracedPrompt(sources, scores, event.trace, first))
            yield event

    def build(self, attention: Sequence[float] | None = None) -> ReadingMap:
        """Sum up what was recorded, segment by segment.

        Scores of different prompts are comparable if these are about equally long: each is a share
        of the attention within its prompt.

        Args:
            attention: the model's to each segment of the corpus, measured by parts; None takes the
                scores of the recorded prompts.
        """
        import numpy as np

        corpus, index = self._corpus, self._corpus.segment_index
        segments = np.frombuffer(corpus.token_segments, np.intc)
        counts = np.bincount(segments[segments >= 0], minlength=len(index.segments))
        tokens = self._token_values()
        means = [self._means(values, segments, len(counts)) for values in tokens]
        if attention is not None:
            means[0] = np.asarray(attention) / np.maximum(counts, 1)
        highest = np.nanmax(means[0], initial=0.0) or 1.0
        means[0] = np.maximum(means[0], 0.0) / highest
        rows = [[None if isnan(value) else value for value in each.tolist()] for each in means]
        documents = [index.index.blocks[block].document for block in index.blocks]
        maps = []
        for number, document in enumerate(corpus.documents):
            first, last = bisect_left(documents, number), bisect_right(documents, number)
            starts = [0, *(segment.start for segment in index.segments[first + 1 : last])]
            bounds = pairwise([*starts, document.num_characters])
            blocks = (
                Block(start, end, int(counts[at]), *(row[at] for row in rows))
                for at, (start, end) in enumerate(bounds, start=first)
                if first < last
            )
            maps.append(DocumentMap(document, tuple(blocks)))
        return ReadingMap(tuple(maps))

    def _token_values(self) -> tuple[NDArray[np.float64], ...]:
        """Score, propagated and kept, (tokens of the corpus,) each; NaN where not recorded."""
        import numpy as np

        # What is not in the answer's prompt reached no deeper layer and no cache; of parts that
        # were taken from an interrupted run, nothing is known.
        usual = 0.0 if self._num_answers else np.nan
        size = self._corpus.num_tokens
        scores = np.full(size, np.nan)
        propagated, kept = np.full(size, usual), np.full(size, usual)
        for prompt in (*([self._scored] if self._scored else []), *self._prompts):
            at = np.asarray(prompt.sources)
            is_text = at >= 0
            own = np.asarray(prompt.scores[prompt.first : prompt.first + len(at)])
            is_scored = is_text[: len(own)]  # the scores may end before the text does
            scores[at[: len(own)][is_scored]] = own[is_scored]
            if prompt is self._scored:
                continue
            rows = slice(prompt.first, prompt.first + len(at))
            propagated[at[is_text]] = np.asarray(prompt.trace.propagated)[rows][is_text]
            kept[at[is_text]] = np.asarray(prompt.trace.kept)[rows][is_text]
        return scores, propagated, kept

    @staticmethod
    def _means(
        values: NDArray[np.float64], segments: NDArray[np.intc], num_segments: int
    ) -> NDArray[np.float64]:
        """The mean of each segment's known values, (segments,); NaN if none is known."""
        import numpy as np

        known = ~np.isnan(values) & (segments >= 0)
        counts = np.bincount(segments[known], minlength=num_segments)
        sums = np.bincount(segments[known], values[known], minlength=num_segments)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
