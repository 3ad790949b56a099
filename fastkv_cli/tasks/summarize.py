"""Summaries: in one go where the text fits the window, else part by part and then of the parts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Self

from ..config import Length
from ..errors import ContextError
from ..events import Generation, Piece
from ..prompts import MERGE_TASKS, PART_TASK, SUMMARY_TASKS, build_prompt, tokenize_text
from ..stats import KVStats, ReadingStats
from .corpus import Corpus
from .parts import open_parts
from .run import Outcome, Work

PART_SUMMARY_TOKENS = 128
# Greedy summaries of a small model fall into the same words again and again; this much keeps them
# out of it. Answers to questions go without: the digits of a number are tokens that come again.
REPETITION_PENALTY = 1.1


@dataclass(frozen=True, slots=True)
class Note:
    """What the model said of a part, and the cache of the part's prompt."""

    text: str
    kv: KVStats

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        """Read what `asdict` made of one."""
        return cls(kept["text"], KVStats.of(kept["kv"]))


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
    parts = split_to_note(corpus, work.room(PART_TASK))
    frame = build_prompt(work.tokenizer, [], PART_TASK).token_ids
    keys = open_parts(work, f"notes of {PART_SUMMARY_TOKENS}", parts, work.method, frame)
    notes = _take_notes(work, [corpus.token_ids[part] for part in parts], keys, "part")
    kv = [note.kv for note in notes]
    text_ids = _join(work, notes)
    while len(text_ids) > work.room(MERGE_TASKS[length]):
        room = work.room(PART_TASK)
        pieces = [text_ids[at : at + room] for at in range(0, len(text_ids), room)]
        keys = [f"notes {len(text_ids)} {at}" for at in range(len(pieces))]
        notes = _take_notes(work, pieces, keys, "notes, part")
        kv += [note.kv for note in notes]
        shorter_ids = _join(work, notes)
        if len(shorter_ids) >= len(text_ids):
            raise ContextError(
                "the notes on the parts do not fit the model's window",
                "give a smaller --max-tokens, or a model with a longer window",
            )
        text_ids = shorter_ids
    reading = ReadingStats(
        parts=len(parts),
        tokens_read=corpus.num_tokens,
        tokens_used=corpus.num_tokens,
        parts_s=time.perf_counter() - started,
        parts_resumed=work.parts.num_resumed,
    )
    yield from work.answer(text_ids, MERGE_TASKS[length], "reading the notes", reading, kv)


def split_to_note(corpus: Corpus, room: int) -> list[slice]:
    """The parts of a text that are summarized one by one; `room` tokens fit the window.

    Half of the window each: a small model loses sight of the middle of a full one.
    """
    return corpus.split(max(room // 2, 1))


def _take_notes(
    work: Work, parts: Sequence[list[int]], keys: Sequence[str], name: str
) -> list[Note]:
    """Summarize each part; what an earlier run kept under its key is taken as it is."""
    total = sum(map(len, parts))
    before = 0
    notes = []
    for number, (key, token_ids) in enumerate(zip(keys, parts, strict=True), start=1):
        label = f"{name} {number} of {len(parts)}"
        make = partial(_take_note, work, token_ids, label, before, total)
        notes.append(Note.of(work.parts.once(key, make)))
        before += len(token_ids)
    return notes


def _take_note(
    work: Work, token_ids: list[int], label: str, before: int, total: int
) -> dict[str, Any]:
    """Summarize a part; a `Note` as JSON can hold it."""
    *_, said = work.stream(token_ids, PART_TASK, PART_SUMMARY_TOKENS, label, before, total)
    if not isinstance(said, Generation):
        raise TypeError("a stream ends with its generation")
    return asdict(Note(said.text, said.kv))


def _join(work: Work, notes: Sequence[Note]) -> list[int]:
    """The tokens of one text with a note on every part."""
    texts = [f"Part {at}: {note.text.strip()}" for at, note in enumerate(notes, start=1)]
    return tokenize_text(work.tokenizer, "\n\n".join(texts)).token_ids
