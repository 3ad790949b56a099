"""Answer a question with the passage that is likeliest to hold the answer, word for word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from ..engine.generation import Piece
from ..evidence import is_judged, why_not_found
from ..evidence.quotes import find_passages
from ..prompts.prompt import ask_task
from ..stats import ReadingStats, Verdict
from .answer_gate import refusal
from .answer_question import score_segments, split_to_score
from .work import Outcome, Work


def extract(work: Work, question: str) -> Iterator[Piece | Outcome]:
    """Quote the best passage; the model ranks passages, and writes nothing.

    The text is prefilled up to the TSP layer only, so this is the fastest answer.

    Raises:
        ContextError: when the question leaves no room for text.
    """
    corpus, started = work.corpus, time.perf_counter()
    parts = split_to_score(corpus, work.room(ask_task(question)))
    scored = score_segments(work, question, parts)
    index = corpus.segment_index
    is_checked = work.check and is_judged(question, corpus.index)
    reason = why_not_found(question, index) if is_checked else ""
    passages = find_passages(question, index, 1, attention=scored.attention)
    if not passages:
        reason = "no passage in it is about the question"
    text = refusal(corpus)
    if not reason:
        text = " ".join(index.text_of(passages[0].first, passages[0].last).split())
    elapsed = time.perf_counter() - started
    kv = replace(scored.kv, note="the best passage is quoted")
    yield Piece(text)
    yield Outcome(
        generation=work.engine.quote(text, elapsed, scored.prompt_tokens, kv),
        reading=ReadingStats(
            parts=len(parts),
            tokens_read=corpus.num_tokens,
            tokens_used=corpus.num_tokens,
            parts_resumed=work.parts.num_resumed,
            state=None if work.reuse is None else work.reuse.stats,
        ),
        kv=kv,
        question=question,
        verdict=Verdict.NOT_FOUND if reason else Verdict.SUPPORTED,
        found=not reason if work.check else None,
        reason=reason,
        attention=scored.attention,
    )
