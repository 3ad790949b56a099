"""Summarize: in one prompt if the text fits the window, else via notes on its parts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Self

from ..config import SUMMARY_SENTENCES, Length
from ..engine.generation import Piece
from ..prompts.prompt import PART_TASK, SUMMARY_TASKS, build_prompt, tokenize_text
from ..stats import KVStats, ReadingStats
from .corpus import Corpus
from .digest import Candidate, choose, find_candidates, is_faithful, write
from .parts import open_parts
from .sentences import SentenceFilter, find_sentences, join_sentences
from .work import Outcome, Work

# A small model says more, and more of it is correct, about a page or two than about ten.
PART_TOKENS = 2048
NOTE_TOKENS = 128
NOTE_SENTENCES = 4
# Greedy summaries of a small model loop over the same words; this penalty prevents that. Answers
# to questions go without it, because the digits of a number are repeated tokens.
REPETITION_PENALTY = 1.1
# The number of the notes' sentences that the model summarizes, and the number that are used as the
# summary themselves if the model's is not faithful to them.
_SOURCES: dict[Length, int] = {Length.SHORT: 6, Length.MEDIUM: 12, Length.LONG: 16}
_SENTENCES: dict[Length, int] = {Length.SHORT: 3, Length.MEDIUM: 6, Length.LONG: 16}


@dataclass(frozen=True, slots=True)
class Note:
    """The model's note on a part, and the KV cache statistics of the part's prompt."""

    text: str
    kv: KVStats

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        """Restore a note from the dict of `asdict`."""
        return cls(kept["text"], KVStats.of(kept["kv"]))


def summarize(work: Work, length: Length) -> Iterator[Piece | Outcome]:
    """Summarize the corpus; the last event is the outcome.

    A text longer than the window is split at page and paragraph boundaries, the model takes a note
    on each part, and the summary is built from sentences of the notes. In either case, repeated
    sentences are left out, and so is a last sentence truncated by the token limit.

    Raises:
        ContextError: when the window leaves no room for text.
    """
    sampling = replace(work.sampling, repetition_penalty=REPETITION_PENALTY)
    work = replace(work, sampling=sampling)
    corpus, task = work.corpus, SUMMARY_TASKS[length]
    room = work.room(task)
    if corpus.num_tokens <= room:
        reading = ReadingStats(1, corpus.num_tokens, corpus.num_tokens)
        yield from _write(work, corpus.token_ids, length, "reading", reading)
        return
    started = time.perf_counter()
    parts = split_to_note(corpus, work.room(PART_TASK))
    notes = _take_notes(work, parts)
    texts = [work.tokenizer.decode(corpus.token_ids[part]) for part in parts]
    candidates = find_candidates([note.text for note in notes], texts)
    reading = ReadingStats(
        parts=len(parts),
        tokens_read=corpus.num_tokens,
        tokens_used=corpus.num_tokens,
        parts_s=time.perf_counter() - started,
        parts_resumed=work.parts.num_resumed,
    )
    yield from _write_from_notes(work, notes, candidates, length, reading)


def split_to_note(corpus: Corpus, room: int) -> list[slice]:
    """The parts of a text to summarize one by one, if `room` tokens fit the window."""
    return corpus.split(max(min(PART_TOKENS, room // 2), 1))


def _take_notes(work: Work, parts: Sequence[slice]) -> list[Note]:
    """Summarize each part, or take its note from an earlier run."""
    frame = build_prompt(work.tokenizer, [], PART_TASK).token_ids
    task = f"notes of {NOTE_SENTENCES} sentences, {NOTE_TOKENS} tokens"
    keys = open_parts(work, task, parts, work.method, frame)
    notes = []
    for number, (key, part) in enumerate(zip(keys, parts, strict=True), start=1):
        make = partial(_take_note, work, part, f"part {number} of {len(parts)}")
        notes.append(Note.of(work.parts.once(key, make)))
    return notes


def _take_note(work: Work, part: slice, label: str) -> dict[str, Any]:
    """Summarize a part; returns a `Note` as JSON values."""
    sentences = SentenceFilter(NOTE_SENTENCES)
    events = work.stream(
        work.corpus.token_ids[part],
        PART_TASK,
        NOTE_TOKENS,
        label,
        before=part.start,
        total=work.corpus.num_tokens,
        until=lambda: sentences.is_full,
        recurs=True,
        sources=range(part.start, part.stop),
    )
    for event in events:
        if isinstance(event, Piece):
            sentences.push(event.text)
            continue
        sentences.end(was_cut=event.finish_reason != "stop")
        return asdict(Note(join_sentences(sentences.kept), event.kv))
    raise TypeError("a stream ends with its generation")


def _write(
    work: Work,
    token_ids: Sequence[int],
    length: Length,
    label: str,
    reading: ReadingStats,
    parts_kv: Sequence[KVStats] = (),
) -> Iterator[Piece | Outcome]:
    """Let the model summarize a text that fits the window, sentence by sentence."""
    sentences = SentenceFilter(SUMMARY_SENTENCES[length][1])
    events = work.answer(
        token_ids,
        SUMMARY_TASKS[length],
        label,
        reading,
        parts_kv,
        until=lambda: sentences.is_full,
        recurs=reading.parts == 1,
        sources=range(len(token_ids)) if reading.parts == 1 else None,
    )
    shown = ""
    for event in events:
        if isinstance(event, Piece):
            new = sentences.push(event.text)
        else:
            new = sentences.end(was_cut=event.generation.finish_reason != "stop")
        shown += new
        if new:
            yield Piece(new)
        if isinstance(event, Outcome):
            ends_whole = sentences.kept and sentences.kept[-1].is_whole
            yield replace(
                event,
                generation=replace(event.generation, text=shown),
                warnings=() if ends_whole else event.warnings,
                attended=(),  # a summary is about the whole text
            )


def _write_from_notes(
    work: Work,
    notes: Sequence[Note],
    candidates: Sequence[Candidate],
    length: Length,
    reading: ReadingStats,
) -> Iterator[Piece | Outcome]:
    """Let the model summarize the notes' best sentences, and check the result.

    If it is not faithful to them, the best sentences themselves become the summary.
    """
    sources = choose(candidates, len(notes), _SOURCES[length])
    text = write(sources, len(notes), length) or "\n\n".join(note.text for note in notes)
    token_ids = tokenize_text(work.tokenizer, text).token_ids[: work.room(SUMMARY_TASKS[length])]
    kv = [note.kv for note in notes]
    *_, outcome = _write(work, token_ids, length, "reading the notes", reading, kv)
    if not isinstance(outcome, Outcome):
        raise TypeError("a task ends with its outcome")
    summary = outcome.generation.text
    if candidates and not is_faithful(find_sentences(summary), sources, length):
        best = choose(candidates, len(notes), _SENTENCES[length])
        summary = write(best, len(notes), length)
        outcome = replace(
            outcome, generation=replace(outcome.generation, text=summary), warnings=()
        )
    yield Piece(summary)
    yield outcome
