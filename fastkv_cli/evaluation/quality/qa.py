"""The qa suite: questions on real documents, each asked of a span that contains the answer."""

from __future__ import annotations

import json
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DocumentError
from ...prompts.prompt import tokenize_text
from ...tasks.corpus import Corpus
from .questions import Question, room_for_text

_AS_IN = 'a line is as {"doc": "report.txt", "question": "…", "answer": "…"}'


@dataclass(frozen=True, slots=True)
class Pair:
    """A question on a document; `evidence` is the verbatim text that contains the answer."""

    doc: str
    question: str
    answer: str
    evidence: str


def read_pairs(file: Path) -> list[Pair]:
    """Read a JSON Lines file with doc, question, answer, and evidence if known.

    Raises:
        DocumentError: when a line cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DocumentError(f"cannot read {file} ({reason})", _AS_IN) from error
    pairs = [
        _read_pair(line, f"{file}, line {number},")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not pairs:
        raise DocumentError(f"{file} holds no questions", _AS_IN)
    return pairs


def _read_pair(line: str, place: str) -> Pair:
    try:
        row = json.loads(line)
        pair = Pair(
            row["doc"], row["question"], row["answer"], row.get("evidence") or row["answer"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"{place} cannot be read ({error})", _AS_IN) from error
    for name in ("doc", "question", "answer", "evidence"):
        value = getattr(pair, name)
        if not isinstance(value, str) or not value.strip():
            raise DocumentError(f"{place} has no text for {name!r}", _AS_IN)
    return pair


def qa_questions(
    pairs: Sequence[Pair],
    corpora: Mapping[str, Corpus],
    lengths: Sequence[int],
    samples: int,
    seed: int,
    tokenizer: Any,
) -> Iterator[Question]:
    """`samples` questions for each length; a pair is repeated only after all were used.

    Raises:
        DocumentError: when a document does not contain the evidence of its question.
    """
    starts = {
        doc: tokenize_text(tokenizer, corpus.documents[0].text).starts
        for doc, corpus in corpora.items()
    }
    order = random.Random(f"qa {seed}").sample(range(len(pairs)), len(pairs))
    drawn = 0
    for length in lengths:
        for number in range(min(samples, len(pairs))):
            pair = pairs[order[drawn % len(order)]]
            drawn += 1
            corpus = corpora[pair.doc]
            inside = _evidence_span(pair, corpus.documents[0].text, starts[pair.doc])
            size = min(room_for_text(tokenizer, pair.question, length), corpus.num_tokens)
            rng = random.Random(f"qa {seed} {length} {pair.question}")
            first = max(0, min(inside.stop, corpus.num_tokens) - size)
            last = min(inside.start, corpus.num_tokens - size)
            start = rng.randint(min(first, last), max(first, last))
            yield Question(
                suite="qa",
                task=pair.doc,
                length=length,
                depth=round((inside.start - start) / size, 2),
                number=number,
                document_ids=tuple(corpus.token_ids[start : start + size]),
                text=pair.question,
                answers=(pair.answer,),
            )


def _evidence_span(pair: Pair, text: str, starts: Sequence[int]) -> slice:
    """The tokens of the evidence."""
    first = text.find(pair.evidence)
    if first < 0:
        raise DocumentError(
            f"{pair.doc} does not hold {pair.evidence!r}",
            f"check the answer, or the evidence, of {pair.question!r}",
        )
    return slice(bisect_right(starts, first) - 1, bisect_left(starts, first + len(pair.evidence)))
