"""Do the quotes of `fastkv ask` hold the answer, in the right place?

    python benchmarks/quotes_found.py [--questions FILE.jsonl ...]

No model is asked: the bundled questions on the bundled texts, and those of each FILE (doc, beside
it; question, answer, and page, 1-based, or evidence, verbatim but for white space), are ranked by
words alone. Beside it, the plain baseline: BM25 of sentences plus half of their page's, filled up
to the size of a quote. The place is right where the quote overlaps the evidence, give or take two
lines, or is on its page. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence_cases import SHIPPED, share

from fastkv_cli import Document, load_document
from fastkv_cli.evaluation.quality.scoring import contains
from fastkv_cli.evidence import SegmentIndex, find_quotes, index_documents, index_segments
from fastkv_cli.tasks.overlap import word_overlap

Span = tuple[int, int]  # characters of a document's text
MOST = 400  # characters of a quote
_NEAR = 160  # characters: about two lines
_PAGE_SHARE = 0.5


@dataclass(frozen=True)
class Question:
    """A question, its answer, and the page or the span of where that stands."""

    text: str
    answer: str
    page: int | None
    evidence: Span | None


class Texts:
    """Documents, each read and indexed once."""

    def __init__(self) -> None:
        self._indexes: dict[Path, SegmentIndex] = {}
        self.index_s = 0.0

    def index(self, path: Path) -> SegmentIndex:
        if path not in self._indexes:
            document = load_document(str(path))
            started = time.perf_counter()
            self._indexes[path] = index_segments(index_documents([document]))
            self.index_s += time.perf_counter() - started
        return self._indexes[path]


def read_questions(file: Path, texts: Texts) -> list[tuple[Path, Question]]:
    """The answerable questions of a file, with the paths of their documents."""
    found = []
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        if not row.get("answer"):
            continue
        path = file.parent / row["doc"]
        document = texts.index(path).index.documents[0]
        page = row.get("page") if document.pages else None
        evidence = None if page or not row.get("evidence") else locate(document, row["evidence"])
        found.append((path, Question(row["question"], row["answer"], page, evidence)))
    return found


def locate(document: Document, evidence: str) -> Span | None:
    """Where a text stands in a document, whatever its white space."""
    letters = "".join(evidence.split())
    match = re.search(r"\s*".join(map(re.escape, letters)), document.text)
    return match.span() if match else None


def by_quotes(question: Question, index: SegmentIndex) -> list[Span]:
    """The quotes as fastkv makes them, as spans of the document's text."""
    document, spans = index.index.documents[0], []
    for quote in find_quotes(question.text, index):
        page = next((each for each in document.pages if each.number == quote.page), None)
        start = document.text.index(quote.text, page.start if page else 0)
        spans.append((start, start + len(quote.text)))
    return spans


def by_bm25(question: Question, index: SegmentIndex) -> list[Span]:
    """The baseline."""
    text, segments = index.index.documents[0].text, index.segments
    own = word_overlap(question.text, [text[each.start : each.end] for each in segments])
    pages = word_overlap(
        question.text, [text[each.start : each.end] for each in index.index.blocks]
    )
    scores = [score + _PAGE_SHARE * pages[at] for score, at in zip(own, index.blocks, strict=True)]
    taken: set[int] = set()
    spans: list[Span] = []
    for number in sorted(range(len(segments)), key=lambda at: -scores[at]):
        if len(spans) == 3:
            break
        if number in taken:
            continue
        first = last = number
        while True:
            around = [
                at
                for at in (first - 1, last + 1)
                if 0 <= at < len(segments)
                and index.blocks[at] == index.blocks[number]
                and segments[max(at, last)].end - segments[min(at, first)].start <= MOST
            ]
            if not around:
                break
            best = max(around, key=lambda at: scores[at])
            first, last = min(first, best), max(last, best)
        taken.update(range(first, last + 1))
        spans.append((segments[first].start, segments[last].end))
    return spans


def is_placed(question: Question, document: Document, span: Span) -> bool:
    """Whether a span is where the answer stands."""
    if question.page is not None:
        return question.page == document.page_at(span[0])
    assert question.evidence is not None
    start, end = question.evidence
    return span[0] < end + _NEAR and start - _NEAR < span[1]


def judge(
    find: Callable[[Question, SegmentIndex], list[Span]],
    questions: Sequence[tuple[Path, Question]],
    texts: Texts,
) -> dict[str, Any]:
    """How often the answer is in the quotes, and they are in the right place."""
    hits: dict[str, list[bool]] = defaultdict(list)
    wrong = []
    started = time.perf_counter()
    for path, question in questions:
        index = texts.index(path)
        document = index.index.documents[0]
        spans = find(question, index)
        held = [contains(document.text[slice(*span)], [question.answer]) == 1 for span in spans]
        hits["answer_in_first"].append(held[:1] == [True])
        hits["answer_in_three"].append(any(held))
        if question.page is not None or question.evidence is not None:
            right = [
                holds and is_placed(question, document, span)
                for holds, span in zip(held, spans, strict=True)
            ]
            hits["first_in_right_place"].append(right[:1] == [True])
            hits["three_in_right_place"].append(any(right))
        if held[:1] != [True]:
            wrong.append({"doc": path.name, "question": question.text, "answer": question.answer})
    seconds = (time.perf_counter() - started) / max(len(questions), 1)
    figures: dict[str, Any] = {name: share(each) for name, each in hits.items()}
    return {**figures, "s_per_question": round(seconds, 4), "not_in_first": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    texts = Texts()
    results: dict[str, Any] = {}
    for file in (SHIPPED / "qa.jsonl", *arguments.questions):
        questions = read_questions(file, texts)
        name = "shipped" if file.parent == SHIPPED else f"{file.parent.name}/{file.name}"
        results[name] = {
            "questions": len(questions),
            "quotes": judge(by_quotes, questions, texts),
            "bm25": judge(by_bm25, questions, texts),
        }
        print(name, {kind: results[name][kind]["answer_in_first"] for kind in ("quotes", "bm25")})
    results["index_s"] = round(texts.index_s, 2)
    print(json.dumps(results, ensure_ascii=False))


if __name__ == "__main__":
    main()
