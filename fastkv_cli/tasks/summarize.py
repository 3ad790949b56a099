"""Summaries: in one go where the text fits the window, else part by part and then of the parts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..config import Length
from ..errors import ContextError
from ..events import Generation, Piece
from ..prompts import MERGE_TASKS, PART_TASK, SUMMARY_TASKS, tokenize_text
from ..stats import ReadingStats
from .run import Outcome, Work

PART_SUMMARY_TOKENS = 128
# Greedy summaries of a small model fall into the same words again and again; this much keeps them
# out of it. Answers to questions go without: the digits of a number are tokens that come again.
REPETITION_PENALTY = 1.1


def summarize(work: Work, length: Length) -> Iterator[Piece | Outcome]:
    """Summarize the corpus; the last event is the outcome.

    A text beyond the window is cut at page and paragraph boundaries; each part is summarized, and
    the summary is made of those. Where they still do not fit, they are summarized in turn.

    Raises:
        ContextError: when the window leaves no room for text.
    """
    sampling = replace(work.sampling, repetition_penalty=REPETITION_PENALTY)
    work = replace(work, sampling=sampling)
    corpus, task = work.corpus, SUMMARY_TASKS[length]
    if corpus.num_tokens <= work.room(task):
        reading = ReadingStats(1, corpus.num_tokens, corpus.num_tokens)
        yield from work.answer(corpus.token_ids, task, "reading", reading)
        return
    started = time.perf_counter()
    # half of the window each: a small model loses sight of the middle of a full one
    parts = corpus.split(max(work.room(PART_TASK) // 2, 1))
    summaries = _summarize_parts(work, [corpus.token_ids[part] for part in parts], "part")
    kv = [summary.kv for summary in summaries]
    notes = _notes(work, summaries)
    while len(notes) > work.room(MERGE_TASKS[length]):
        room = work.room(PART_TASK)
        pieces = [notes[at : at + room] for at in range(0, len(notes), room)]
        summaries = _summarize_parts(work, pieces, "notes, part")
        kv += [summary.kv for summary in summaries]
        shorter = _notes(work, summaries)
        if len(shorter) >= len(notes):
            raise ContextError(
                "the notes on the parts do not fit the model's window",
                "give a smaller --max-tokens, or a model with a longer window",
            )
        notes = shorter
    reading = ReadingStats(
        parts=len(parts),
        tokens_read=corpus.num_tokens,
        tokens_used=corpus.num_tokens,
        parts_s=time.perf_counter() - started,
    )
    yield from work.answer(notes, MERGE_TASKS[length], "reading the notes", reading, kv)


def _summarize_parts(work: Work, parts: Sequence[list[int]], name: str) -> list[Generation]:
    """Summarize each part."""
    total = sum(map(len, parts))
    before = 0
    summaries = []
    for number, token_ids in enumerate(parts, start=1):
        label = f"{name} {number} of {len(parts)}"
        events = work.stream(token_ids, PART_TASK, PART_SUMMARY_TOKENS, label, before, total)
        summaries += [event for event in events if isinstance(event, Generation)]
        before += len(token_ids)
    return summaries


def _notes(work: Work, summaries: Sequence[Generation]) -> list[int]:
    """The tokens of one text with a note on every part."""
    notes = [f"Part {at}: {part.text.strip()}" for at, part in enumerate(summaries, start=1)]
    return tokenize_text(work.tokenizer, "\n\n".join(notes)).token_ids
