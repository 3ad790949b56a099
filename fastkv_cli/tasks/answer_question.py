"""Answer questions from the whole text if it fits the window, else from its best passages."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..engine.generation import Piece
from ..prompts.prompt import Prompt, Turn, ask_task, build_scoring_prompt, copy_task
from ..stats import KVStats, ReadingStats
from .answer_gate import AnswerGate
from .attended import attention_of
from .corpus import Corpus
from .excerpt import choose_excerpt, sum_by_segment
from .frame_cut import FrameCut
from .parts import open_parts
from .work import Outcome, Work

# A part is scored in one prefill. Short parts cost less attention, and their scores, each a share
# of the attention within its part, are comparable because all parts are about equally long.
PART_TOKENS = 2048
EXCERPT_NOTE = "the best passages are kept in full"


@dataclass(frozen=True, slots=True)
class Look:
    """A text to answer from.

    Attributes:
        token_ids: the text.
        sources: the position of each token in the corpus; -1 for one that is in no document.
        task: the instruction.
        label: of the progress bar.
        reading: how the text was obtained.
        is_excerpt: whether it was chosen for the question, and is not compressed any further.
        attention: the model's to each segment of the corpus; None if not measured.
        kv: KV cache statistics of earlier prompts.
    """

    token_ids: Sequence[int]
    sources: Sequence[int]
    task: str
    label: str
    reading: ReadingStats
    is_excerpt: bool = True
    attention: Sequence[float] | None = None
    kv: tuple[KVStats, ...] = ()


def ask(work: Work, question: str, history: Sequence[Turn] = ()) -> Iterator[Piece | Outcome]:
    """Answer a question; the last event is the outcome.

    A text longer than the window, or than the model can answer from well, is prefilled in parts up
    to the TSP layer, and answered from the passages with the most attention from the question and
    the most of its words: the deeper layers read those alone. If `work.check` is set, the
    answer is held back until its first sentence is complete. If no passage says that, the question
    is put once more, to other passages; if nothing in the documents is about the question, a
    refusal stands in the answer's place. Passages are chosen by the question alone, without the
    conversation. If the window is too small for a conversation, its oldest turns are left out.

    Raises:
        ContextError: when the question leaves no room for text.
    """
    gate = AnswerGate(question, work.corpus, enabled=work.check, strict=work.strict)
    room = work.room(ask_task(question))
    look = _look_first(work, question, room)
    gate.begin(look.attention, may_retry=work.check)
    outcome = yield from _answer(work, history, look, gate)
    if gate.wants_retry:
        look = _look_again(work, question, room, look, outcome)
        gate.begin(look.attention, may_retry=False)
        outcome = yield from _answer(work, history, look, gate)
    yield gate.conclude(outcome)


def _look_first(work: Work, question: str, room: int) -> Look:
    """The whole text if it is short enough, else an excerpt."""
    corpus = work.corpus
    if corpus.num_tokens > work.window.whole(room):
        started = time.perf_counter()
        parts = split_to_score(corpus, room)
        scored = score_segments(work, question, parts)
        reading = ReadingStats(len(parts), corpus.num_tokens, 0, 0.0, work.parts.num_resumed)
        look = _look_at_excerpt(work, question, room, scored.attention, reading, work.passages[0])
        elapsed = time.perf_counter() - started
        share = look.reading.tokens_used / corpus.num_tokens
        return replace(
            look,
            reading=replace(look.reading, parts_s=elapsed),
            kv=(replace(scored.kv, tsp_rate=share),),
        )
    reading = ReadingStats(1, corpus.num_tokens, corpus.num_tokens)
    sources = range(corpus.num_tokens)
    task = ask_task(question)
    return Look(corpus.token_ids, sources, task, "reading", reading, is_excerpt=False)


def _look_again(work: Work, question: str, room: int, first: Look, outcome: Outcome) -> Look:
    """The best passages, and the instruction to copy, after an answer that nothing supports.

    Of 41 such answers of the embedded model 6 were right, and 13 of those that it copied.
    """
    attention, number = first.attention, work.passages[1]
    if not first.is_excerpt:
        number = work.passages[0]
        attention = attention_of(outcome.attended, work.corpus)
    earlier_s = (first.reading.parts_s or 0.0) + outcome.generation.stats.end_to_end_s
    reading = replace(outcome.reading, parts_s=earlier_s, looks=2)
    look = _look_at_excerpt(work, question, room, attention, reading, number)
    return replace(look, task=copy_task(question), kv=(outcome.kv,))


def _look_at_excerpt(
    work: Work,
    question: str,
    room: int,
    attention: Sequence[float] | None,
    reading: ReadingStats,
    num_passages: int,
) -> Look:
    excerpt = choose_excerpt(work.corpus, work.tokenizer, question, attention, num_passages, room)
    return Look(
        excerpt.token_ids,
        excerpt.sources,
        ask_task(question),
        "reading the best passages",
        replace(reading, tokens_used=excerpt.num_used),
        attention=attention,
    )


def _answer(
    work: Work, history: Sequence[Turn], look: Look, gate: AnswerGate
) -> Generator[Piece, None, Outcome]:
    """Answer from a look's text, as far as the gate shows it."""
    cut = FrameCut()
    kept = work.window.keep_turns(look.task, history, len(look.token_ids))
    events = (replace(work, method=work.excerpt_method) if look.is_excerpt else work).answer(
        look.token_ids,
        look.task,
        look.label,
        look.reading,
        look.kv,
        until=lambda: cut.is_cut or gate.is_closed,
        sources=look.sources,
        recurs=not look.is_excerpt,
        history=kept,
    )
    for event in events:
        if isinstance(event, Piece):
            shown = gate.push(cut.push(event.text))
        else:
            shown = gate.push(cut.end()) + gate.end()
            outcome = replace(event, generation=replace(event.generation, text=cut.text))
        if shown:
            yield Piece(shown)
    return _warn_of_left_out(outcome, len(history) - len(kept))


def _warn_of_left_out(outcome: Outcome, num_turns: int) -> Outcome:
    """Add a warning about the turns of the conversation that were left out, if any."""
    if not num_turns:
        return outcome
    turns = "turn no longer fits" if num_turns == 1 else f"{num_turns} turns no longer fit"
    left = "is" if num_turns == 1 else "are"
    warning = f"the oldest {turns} the window and {left} left out"
    return replace(outcome, turns_left_out=num_turns, warnings=(warning, *outcome.warnings))


def split_to_score(corpus: Corpus, room: int) -> list[slice]:
    """The parts of a text to score one by one, if `room` tokens fit the window."""
    return corpus.split(min(PART_TOKENS, room))


@dataclass(frozen=True, slots=True)
class Scored:
    """What a question attends to.

    Attributes:
        attention: for each segment of the corpus, the sum over its tokens.
        prompt_tokens: of the prompts that measured it.
        kv: their KV cache statistics.
    """

    attention: list[float]
    prompt_tokens: int
    kv: KVStats


def score_segments(work: Work, question: str, parts: Sequence[slice]) -> Scored:
    """Prefill parts up to the TSP layer, with the question as the observation window."""
    frame, window = build_scoring_prompt(work.tokenizer, [], question, thinks=work.thinks)
    method = work.scoring_method(window)
    keys = open_parts(work, "attention to segments", parts, method, frame.token_ids)
    total = [0.0] * len(work.corpus.segment_index.segments)
    for number, (key, part) in enumerate(zip(keys, parts, strict=True), start=1):
        label = f"scoring part {number} of {len(parts)}"
        scored = work.parts.once(key, partial(_score_part, work, frame, window, part, label))
        for at, score in enumerate(scored["scores"], start=scored["first"]):
            total[at] += score
    lengths = [len(frame.token_ids) + part.stop - part.start for part in parts]
    kv = work.engine.scoring_stats(method, lengths)
    return Scored(total, sum(lengths), replace(kv, budget="100%", note=EXCERPT_NOTE))


def _score_part(
    work: Work, frame: Prompt, window: int, part: slice, label: str
) -> dict[str, int | list[float]]:
    """The attention to each segment of a part, from the first to the last."""
    corpus = work.corpus
    work.on_progress(label, part.start, corpus.num_tokens)
    prompt = frame.with_document(corpus.token_ids[part])
    scores = work.engine.score(
        prompt.token_ids,
        work.scoring_method(window),
        shared=prompt.document_span.stop,
        reuse=work.reuse,
    )
    sums = sum_by_segment(corpus, range(part.start, part.stop), scores[prompt.document_span])
    segments = [at for at in corpus.token_segments[part] if at >= 0]
    first, last = (segments[0], segments[-1]) if segments else (0, -1)
    return {"first": first, "scores": sums[first : last + 1]}
