"""Questions: answered from the whole text where it fits the window, else from its best passages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from statistics import fmean

from ..engine.generation import Piece
from ..prompts.prompt import Turn, ask_task, build_scoring_prompt, tokenize_text
from ..stats import ReadingStats
from .answer_gate import Withheld
from .corpus import Corpus
from .overlap import word_overlap
from .parts import open_parts
from .work import Outcome, Work

# A part is scored at once. Short parts cost less attention, and their scores, each a share of the
# attention of its own part, compare well because all parts are about equally long.
PART_TOKENS = 2048
PASSAGE_TOKENS = 256
# What is answered from: enough for the answer to be among it, little enough for a small model, and
# more where the window is larger. Measured with the embedded model on 24 facts planted in a text of
# 150,000 tokens: 21 answers from two passages of 256 tokens (as many as from the right page alone),
# 18 from four of them, 14 from 16 of 128.
_ANSWER_TOKENS, _ANSWER_SHARE = 512, 1 / 16
_GAP = "\n\n[…]\n\n"


@dataclass(frozen=True, slots=True)
class Passage:
    """Some tokens of the text, and what speaks for answering from them."""

    span: slice
    score: float

    @property
    def num_tokens(self) -> int:
        """How long it is."""
        return int(self.span.stop - self.span.start)


def ask(work: Work, question: str, history: Sequence[Turn] = ()) -> Iterator[Piece | Outcome]:
    """Answer a question; the last event is the outcome.

    A text beyond the window is read up to the TSP layer, and answered from the passages that the
    question looks at most. Where the work is to be checked, the answer is held back until its first
    sentence is there, and for good where no document can hold that. Passages are chosen by the
    question alone. Of a conversation, the oldest turns are left out where the window is too small.

    Raises:
        ContextError: when the question leaves no room for text.
    """
    corpus, task = work.corpus, ask_task(question)
    room = work.room(task)
    if corpus.num_tokens <= room:
        sources: Sequence[int] = range(corpus.num_tokens)
        token_ids: Sequence[int] = corpus.token_ids
        label = "reading"
        reading = ReadingStats(1, corpus.num_tokens, corpus.num_tokens)
    else:
        gap = tokenize_text(work.tokenizer, _GAP).token_ids
        best, reading = _find_passages(work, question, room, len(gap))
        sources = _join(best, len(gap))
        marks = cycle(gap)
        token_ids = [corpus.token_ids[at] if at >= 0 else next(marks) for at in sources]
        label = "reading the best passages"
    kept = work.window.keep_turns(task, history, len(token_ids))
    withheld = Withheld(question, corpus.documents, enabled=work.check)
    events = work.answer(
        token_ids,
        task,
        label,
        reading,
        until=lambda: withheld.is_refused,
        sources=sources,
        recurs=reading.parts == 1,
        history=kept,
    )
    for event in events:
        shown = withheld.push(event.text) if isinstance(event, Piece) else withheld.end()
        if shown:
            yield Piece(shown)
        if isinstance(event, Outcome):
            yield _tell_left_out(withheld.conclude(event), len(history) - len(kept))


def _tell_left_out(outcome: Outcome, num_turns: int) -> Outcome:
    """The outcome with a warning of turns that are left out, if any are."""
    if not num_turns:
        return outcome
    turns = "turn no longer fits" if num_turns == 1 else f"{num_turns} turns no longer fit"
    left = "is" if num_turns == 1 else "are"
    warning = f"the oldest {turns} the window and {left} left out"
    return replace(outcome, turns_left_out=num_turns, warnings=(warning, *outcome.warnings))


def _find_passages(
    work: Work, question: str, room: int, gap_tokens: int
) -> tuple[list[Passage], ReadingStats]:
    """The passages of a long text that the question looks at most, in the order of the text."""
    started = time.perf_counter()
    parts = split_to_score(work.corpus, room)
    passages = rank_passages(work, question, score_passages(work, question, parts))
    best = choose_passages(passages, answer_tokens(room), gap_tokens)
    reading = ReadingStats(
        parts=len(parts),
        tokens_read=work.corpus.num_tokens,
        tokens_used=sum(passage.num_tokens for passage in best),
        parts_s=time.perf_counter() - started,
        parts_resumed=work.parts.num_resumed,
    )
    return best, reading


def answer_tokens(room: int) -> int:
    """How many tokens of passages a question is answered from; `room` fit the window."""
    return min(max(_ANSWER_TOKENS, round(room * _ANSWER_SHARE)), room)


def split_to_score(corpus: Corpus, room: int) -> list[slice]:
    """The parts of a text that are scored one by one; `room` tokens fit the window."""
    return corpus.split(min(PART_TOKENS, room))


def score_passages(work: Work, question: str, parts: Sequence[slice]) -> list[Passage]:
    """Read parts up to the TSP layer, with the question as the observation window.

    Returns:
        All passages of the parts, in the order of the text, with the attention that the question
        paid to them on average.
    """
    corpus = work.corpus
    frame, window = build_scoring_prompt(work.tokenizer, [], question)
    task, method = f"score passages of {PASSAGE_TOKENS}", work.scoring_method(window)
    keys = open_parts(work, task, parts, method, frame.token_ids)
    passages = []
    for number, (key, part) in enumerate(zip(keys, parts, strict=True), start=1):
        spans = corpus.split(PASSAGE_TOKENS, part)
        label = f"scoring part {number} of {len(parts)}"
        scored = work.parts.once(key, partial(_score_part, work, question, part, spans, label))
        passages += [Passage(*each) for each in zip(spans, scored["scores"], strict=True)]
    return passages


def _score_part(
    work: Work, question: str, part: slice, spans: Sequence[slice], label: str
) -> dict[str, list[float]]:
    """The mean score of the tokens of each span of a part."""
    work.on_progress(label, part.start, work.corpus.num_tokens)
    prompt, window = build_scoring_prompt(work.tokenizer, work.corpus.token_ids[part], question)
    scores = work.engine.score(
        prompt.token_ids,
        work.scoring_method(window),
        shared=prompt.document_span.stop,
        reuse=work.reuse,
    )
    scores = scores[prompt.document_span]
    inside = (scores[span.start - part.start : span.stop - part.start] for span in spans)
    return {"scores": [fmean(each) for each in inside]}


def rank_passages(work: Work, question: str, passages: Sequence[Passage]) -> list[Passage]:
    """Let the question's words count as much as the model's attention.

    Each is taken as a share of its highest value. Attention finds what is said in other words, the
    words find names and numbers; of 30 questions on six texts, 17 had the answer in the passage
    that attention put first, 20 in the one that both did, and 26 and 28 in the first five.
    """
    texts = [work.tokenizer.decode(work.corpus.token_ids[passage.span]) for passage in passages]
    overlap = word_overlap(question, texts)
    most_looked_at = max(passage.score for passage in passages) or 1.0
    most_shared = max(overlap) or 1.0
    return [
        replace(passage, score=passage.score / most_looked_at + shared / most_shared)
        for passage, shared in zip(passages, overlap, strict=True)
    ]


def choose_passages(passages: Sequence[Passage], max_tokens: int, gap_tokens: int) -> list[Passage]:
    """The passages with the highest scores that fit, in the order of the text."""
    chosen, left = [], max_tokens
    for passage in sorted(passages, key=lambda passage: passage.score, reverse=True):
        if passage.num_tokens + gap_tokens <= left:
            chosen.append(passage)
            left -= passage.num_tokens + gap_tokens
    return sorted(chosen, key=lambda passage: passage.span.start)


def _join(passages: Sequence[Passage], gap_tokens: int) -> list[int]:
    """The passages' tokens by their places in the text; -1 for a mark where text was left out."""
    joined: list[int] = []
    end = 0
    for passage in passages:
        if passage.span.start != end:
            joined += [-1] * gap_tokens
        joined += range(passage.span.start, passage.span.stop)
        end = passage.span.stop
    return joined
