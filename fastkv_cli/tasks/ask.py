"""Questions: answered from the whole text where it fits the window, else from its best passages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from ..events import Piece
from ..prompts import ask_task, build_scoring_prompt, tokenize_text
from ..stats import ReadingStats
from .run import Outcome, Work

# A part is scored at once. Short parts cost less attention, and their scores, each a share of the
# attention of its own part, compare well because all parts are about equally long.
PART_TOKENS = 2048
PASSAGE_TOKENS = 128
# What is answered from: enough for the answer to be among it, little enough for a small model.
ANSWER_TOKENS = 2048
_GAP = "\n\n[…]\n\n"


@dataclass(frozen=True, slots=True)
class _Passage:
    span: slice
    score: float


def ask(work: Work, question: str) -> Iterator[Piece | Outcome]:
    """Answer a question; the last event is the outcome.

    A text beyond the window is cut into parts, each is read up to the TSP layer with the question
    as the observation window, and the passages that the question looks at most are answered from,
    in the order of the text.

    Raises:
        ContextError: when the question leaves no room for text.
    """
    corpus, task = work.corpus, ask_task(question)
    room = work.room(task)
    if corpus.num_tokens <= room:
        reading = ReadingStats(1, corpus.num_tokens, corpus.num_tokens)
        yield from work.answer(corpus.token_ids, task, "reading", reading)
        return
    started = time.perf_counter()
    parts = corpus.split(min(PART_TOKENS, room))
    passages = [
        passage for part in parts for passage in _score_part(work, part, question, len(parts))
    ]
    gap = tokenize_text(work.tokenizer, _GAP).token_ids
    best = _choose(passages, min(ANSWER_TOKENS, room), len(gap))
    token_ids: list[int] = []
    end = 0
    for passage in best:
        if passage.span.start != end:
            token_ids += gap
        token_ids += corpus.token_ids[passage.span]
        end = passage.span.stop
    reading = ReadingStats(
        parts=len(parts),
        tokens_read=corpus.num_tokens,
        tokens_used=sum(passage.span.stop - passage.span.start for passage in best),
        parts_s=time.perf_counter() - started,
    )
    yield from work.answer(token_ids, task, "reading the best passages", reading)


def _score_part(work: Work, part: slice, question: str, num_parts: int) -> Iterator[_Passage]:
    """Read a part up to the TSP layer; gives its passages with the attention on each."""
    corpus = work.corpus
    work.on_progress(f"scoring {num_parts} parts", part.start, corpus.num_tokens)
    prompt, window = build_scoring_prompt(work.tokenizer, corpus.token_ids[part], question)
    scores = work.engine.score(prompt.token_ids, work.scoring_method(window))
    scores = scores[prompt.document_span]
    for span in corpus.split(PASSAGE_TOKENS, part):
        yield _Passage(span, fmean(scores[span.start - part.start : span.stop - part.start]))


def _choose(passages: list[_Passage], max_tokens: int, gap_tokens: int) -> list[_Passage]:
    """The passages with the highest scores that fit, in the order of the text."""
    chosen, left = [], max_tokens
    for passage in sorted(passages, key=lambda passage: passage.score, reverse=True):
        size = passage.span.stop - passage.span.start + gap_tokens
        if size <= left:
            chosen.append(passage)
            left -= size
    return sorted(chosen, key=lambda passage: passage.span.start)
