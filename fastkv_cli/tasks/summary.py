"""Summaries: in one go where the text fits the window, else part by part and then of the parts."""

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
from .digest import Candidate, choose, find_candidates, holds_up, write
from .parts import open_parts
from .sentences import SentenceFilter, find_sentences, join_sentences
from .work import Outcome, Work

# A small model says more, and more that is so, of a page or two than of ten.
PART_TOKENS = 2048
NOTE_TOKENS = 128
NOTE_SENTENCES = 4
# Greedy summaries of a small model fall into the same words again and again; this much keeps them
# out of it. Answers to questions go without: the digits of a number are tokens that come again.
REPETITION_PENALTY = 1.1
# How many of the notes' sentences a summary is made of, and how many are it where the model's own
# summary of them does not hold up.
_SOURCES: dict[Length, int] = {Length.SHORT: 6, Length.MEDIUM: 12, Length.LONG: 16}
_SENTENCES: dict[Length, int] = {Length.SHORT: 3, Length.MEDIUM: 6, Length.LONG: 16}


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

    A text beyond the window is cut at page and paragraph boundaries, the model takes a note on each
    part, and the summary is made of sentences of the notes. Of either kind of summary, sentences
    that say again what was said are left out, and so is one that the limit of tokens cuts short.

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
    """The parts of a text that are summarized one by one; `room` tokens fit the window."""
    return corpus.split(max(min(PART_TOKENS, room // 2), 1))


def _take_notes(work: Work, parts: Sequence[slice]) -> list[Note]:
    """Summarize each part; what an earlier run kept is taken as it is."""
    frame = build_prompt(work.tokenizer, [], PART_TASK).token_ids
    task = f"notes of {NOTE_SENTENCES} sentences, {NOTE_TOKENS} tokens"
    keys = open_parts(work, task, parts, work.method, frame)
    notes = []
    for number, (key, part) in enumerate(zip(keys, parts, strict=True), start=1):
        make = partial(_take_note, work, part, f"part {number} of {len(parts)}")
        notes.append(Note.of(work.parts.once(key, make)))
    return notes


def _take_note(work: Work, part: slice, label: str) -> dict[str, Any]:
    """Summarize a part; a `Note` as JSON can hold it."""
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
    """Let the model summarize a text that fits the window, a sentence at a time."""
    sentences = SentenceFilter(SUMMARY_SENTENCES[length][1])
    events = work.answer(
        token_ids,
        SUMMARY_TASKS[length],
        label,
        reading,
        parts_kv,
        until=lambda: sentences.is_full,
        recurs=reading.parts == 1,
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
            )


def _write_from_notes(
    work: Work,
    notes: Sequence[Note],
    candidates: Sequence[Candidate],
    length: Length,
    reading: ReadingStats,
) -> Iterator[Piece | Outcome]:
    """Let the model write a summary of the notes' best sentences; see whether it is one.

    Where it does not hold up, the sentences are the summary themselves.
    """
    sources = choose(candidates, len(notes), _SOURCES[length])
    text = write(sources, len(notes), length) or "\n\n".join(note.text for note in notes)
    token_ids = tokenize_text(work.tokenizer, text).token_ids[: work.room(SUMMARY_TASKS[length])]
    kv = [note.kv for note in notes]
    *_, outcome = _write(work, token_ids, length, "reading the notes", reading, kv)
    if not isinstance(outcome, Outcome):
        raise TypeError("a task ends with its outcome")
    said = outcome.generation.text
    if candidates and not holds_up(find_sentences(said), sources, length):
        best = choose(candidates, len(notes), _SENTENCES[length])
        said = write(best, len(notes), length)
        outcome = replace(outcome, generation=replace(outcome.generation, text=said), warnings=())
    yield Piece(said)
    yield outcome
