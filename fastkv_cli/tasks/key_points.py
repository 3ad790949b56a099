"""Read a text up to the TSP layer, and choose its key sentences by words and attention."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..config import SUMMARY_SENTENCES, Length
from ..evidence.key_sentences import (
    KeySentence,
    TermWeights,
    choose_sentences,
    find_key_sentences,
)
from ..prompts.prompt import Prompt, build_summary_scoring_prompt, summary_task
from ..stats import KVStats, ReadingStats
from .answer_question import split_to_score
from .corpus import Corpus
from .excerpt import sum_by_segment
from .parts import open_parts
from .work import Work

if TYPE_CHECKING:
    from ..engine.methods import Method

# What the most attended sentence is worth more than the least attended one.
_ATTENTION = 0.5


@dataclass(frozen=True, slots=True)
class KeyPoints:
    """The key sentences of a text, in order, and how they were found.

    Attributes:
        sentences: in text order; none if the text has no words.
        reading: how the text was read.
        kv: of the prompts that were scored.
        seconds: that it took.
        prompt_tokens: of all prompts.
        attention: the instruction's to each segment of the corpus.
    """

    sentences: tuple[KeySentence, ...]
    reading: ReadingStats
    kv: KVStats
    seconds: float
    prompt_tokens: int
    attention: list[float]


def split_to_read(corpus: Corpus, room: int) -> list[slice]:
    """The parts of a text to score one by one, if `room` tokens fit the window."""
    if corpus.num_tokens <= room:
        return [slice(0, corpus.num_tokens)]
    return split_to_score(corpus, room)


def find_key_points(work: Work, length: Length) -> KeyPoints:
    """The sentences of a text that make up a summary of a length.

    Every part of the text passes the layers up to the TSP layer, with the instruction to summarize
    as its observation window.

    Raises:
        ContextError: when the window leaves no room for text.
    """
    started = time.perf_counter()
    corpus = work.corpus
    parts = split_to_read(corpus, work.room(summary_task(length)))
    weights = TermWeights(corpus.documents)
    sentences = find_key_sentences(corpus.documents, weights)
    spans = [_tokens_of(sentence, corpus) for sentence in sentences]
    scores, prompt_tokens, window = _score(work, length, parts)
    means = _mean_scores(spans, scores)
    chosen = choose_sentences(
        sentences,
        weights,
        [span.stop - span.start for span in spans],
        min(SUMMARY_SENTENCES[length][1], -(-len(sentences) // 2)),
        work.max_tokens,
        _factors(means),
    )
    seconds = time.perf_counter() - started
    reading = ReadingStats(
        parts=len(parts),
        tokens_read=corpus.num_tokens,
        tokens_used=corpus.num_tokens,
        parts_s=seconds if len(parts) > 1 else None,
        parts_resumed=work.parts.num_resumed,
        state=None if work.reuse is None else work.reuse.stats,
    )
    kv = work.engine.scoring_stats(work.scoring_method(window), prompt_tokens)
    kv = replace(kv, method=work.method.name, budget=work.method.budget)
    attention = sum_by_segment(corpus, range(corpus.num_tokens), scores)
    return KeyPoints(tuple(chosen), reading, kv, seconds, sum(prompt_tokens), attention)


def _score(
    work: Work, length: Length, parts: Sequence[slice]
) -> tuple[list[float], list[int], int]:
    """The TSP layer's score of every token of the text, the prompts' lengths, and their window."""
    frame, window = build_summary_scoring_prompt(work.tokenizer, [], length, thinks=work.thinks)
    method = work.scoring_method(window)
    keys = [""]
    if len(parts) > 1:
        keys = open_parts(work, "attention of the summary", parts, method, frame.token_ids)
    scores: list[float] = []
    for number, (key, part) in enumerate(zip(keys, parts, strict=True), start=1):
        label = f"part {number} of {len(parts)}" if len(parts) > 1 else "reading"
        make = partial(_score_part, work, frame, method, part, label)
        scores += work.parts.once(key, make)["scores"]
    work.on_progress(label, work.corpus.num_tokens, work.corpus.num_tokens)
    frame_tokens = len(frame.token_ids)
    return scores, [frame_tokens + part.stop - part.start for part in parts], window


def _score_part(
    work: Work, frame: Prompt, method: Method, part: slice, label: str
) -> dict[str, Any]:
    work.on_progress(label, part.start, work.corpus.num_tokens)
    prompt = frame.with_document(work.corpus.token_ids[part])
    scores = work.engine.score(
        prompt.token_ids,
        method,
        shared=prompt.document_span.stop,
        reuse=work.reuse,
    )
    return {"scores": [round(score, 6) for score in scores[prompt.document_span]]}


def _tokens_of(sentence: KeySentence, corpus: Corpus) -> slice:
    """The tokens of a sentence, at least one."""
    found = corpus.tokens_of(sentence.document, sentence.start, sentence.end)
    first = min(found.start, corpus.spans[sentence.document].stop - 1)
    return slice(first, max(found.stop, first + 1))


def _mean_scores(spans: Sequence[slice], scores: Sequence[float]) -> list[float]:
    sums = [0.0, *accumulate(scores)]
    return [(sums[span.stop] - sums[span.start]) / (span.stop - span.start) for span in spans]


def _factors(means: Sequence[float]) -> list[float]:
    """A factor for each sentence by the rank of its attention: 1 for the least attended one."""
    order = sorted(range(len(means)), key=lambda at: means[at])
    factors = [1.0] * len(means)
    for rank, at in enumerate(order):
        factors[at] += _ATTENTION * rank / max(len(means) - 1, 1)
    return factors
