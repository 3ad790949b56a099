"""Questions, answers and their pages, shared by citations.py and not_found.py.

The bundled texts have no pages, so they are split into pages of about 1,800 characters. Of the
novel, a stretch is used that the embedded model can process in a minute. Answers are saved, so
that both scripts ask each question once, and an interrupted run can be resumed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from task_work import make_work

from fastkv_cli import Document, Engine, load_document
from fastkv_cli.documents import Page
from fastkv_cli.evaluation.quality.scoring import Interval, contains, mean_interval
from fastkv_cli.evidence import (
    Index,
    cite,
    index_documents,
    is_judged,
    not_in_document,
    why_not_found,
)
from fastkv_cli.store.journal import Journal
from fastkv_cli.tasks import Outcome, ask
from fastkv_cli.tasks.attended import share_attention
from fastkv_cli.tasks.corpus import Corpus, join_documents
from fastkv_cli.version import __version__

SHIPPED = Path(str(files("fastkv_cli.evaluation") / "data"))
STRETCHES = {"time-machine.txt": slice(60_000, 110_000)}
PAGE_CHARACTERS = 1800
MAX_TOKENS = 96


@dataclass(frozen=True)
class Case:
    """A question; if the text answers it, also the answer, its position, and its page."""

    doc: str
    question: str
    answer: str = ""
    evidence: str = ""
    page: int | None = None


class Asker:
    """Asks questions on documents, each once."""

    def __init__(self, engine: Engine, journal: Journal, documents: Path | None) -> None:
        """Ask a model about the bundled documents, and about those of a folder."""
        self._engine, self._journal, self._folder = engine, journal, documents
        self._corpora: dict[str, Corpus] = {}
        self._indexes: dict[str, Index] = {}

    def corpus(self, doc: str) -> Corpus:
        """A bundled document split into pages, or a document of the folder."""
        if doc not in self._corpora:
            document = read(doc, self._folder)
            self._corpora[doc] = join_documents([document], self._engine.tokenizer)
        return self._corpora[doc]

    def index(self, doc: str) -> Index:
        if doc not in self._indexes:
            self._indexes[doc] = index_documents(self.corpus(doc).documents)
        return self._indexes[doc]

    def ask(self, case: Case) -> dict[str, Any]:
        """The answer of fastkv, its citations, and whether it would be refused."""
        key = f"{case.doc} {case.question}"
        if key not in self._journal.results:
            self._journal.add(key, self._ask(case))
        kept = self._journal.results[key]
        answer, corpus, index = kept["answer"], self.corpus(case.doc), self.index(case.doc)
        started = time.perf_counter()
        attention = share_attention(kept["looked_at"], corpus, index)
        citations = cite(answer, case.question, index, attention)
        missing = not_in_document(answer, case.question, index)
        evidence_s = time.perf_counter() - started
        by_words = cite(answer, case.question, index)
        looked = max(range(len(attention)), key=attention.__getitem__)
        return {
            **kept,
            "pages": [citation.page for citation in citations],
            "page_by_words": by_words[0].page if by_words else None,
            "page_by_attention": index.blocks[looked].page,
            "missing": missing,
            "refused": why_not_found(case.question, corpus.segment_index)
            if is_judged(case.question, index)
            else "",
            "evidence_s": evidence_s,
        }

    def _ask(self, case: Case) -> dict[str, Any]:
        work = make_work(self._engine, self.corpus(case.doc), MAX_TOKENS)
        *_, outcome = ask(work, case.question)
        if not isinstance(outcome, Outcome):
            raise TypeError("a task ends with its outcome")
        answer = outcome.generation.text
        print(f"{case.doc}: {case.question} {' '.join(answer.split())[:80]}", flush=True)
        return {
            "answer": answer,
            "verdict": outcome.verdict,
            "looks": outcome.reading.looks,
            "looked_at": outcome.attended,
            "reading_s": (outcome.reading.parts_s or 0.0) + outcome.generation.stats.ttft_s,
        }


@cache
def read(doc: str, folder: Path | None) -> Document:
    """Load a bundled document split into pages, or a document of the folder, once."""
    if folder is not None and not (SHIPPED / doc).is_file():
        return load_document(str(folder / doc))
    text = load_document(str(SHIPPED / doc)).text[STRETCHES.get(doc, slice(None))]
    texts = list(_page_texts(text))
    starts = [sum(len(text) + 2 for text in texts[:at]) for at in range(len(texts))]
    pages = [
        Page(number, start, start + len(text))
        for number, (start, text) in enumerate(zip(starts, texts, strict=True), start=1)
    ]
    return Document(doc, "\n\n".join(texts), len(pages), tuple(pages), ())


def _page_texts(text: str) -> Iterator[str]:
    page: list[str] = []
    for line in text.split("\n"):
        if sum(map(len, page)) + len(line) > PAGE_CHARACTERS:
            yield "\n".join(page).strip("\n")
            page = []
        page.append(line)
    yield "\n".join(page).strip("\n")


def shipped_cases() -> list[Case]:
    """The bundled questions whose evidence is on a single page."""
    cases = []
    for line in (SHIPPED / "qa.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        document = read(row["doc"], None)
        texts = {page.number: document.text[page.start : page.end] for page in document.pages}
        page = next((number for number, text in texts.items() if row["evidence"] in text), None)
        if page is not None:
            cases.append(Case(row["doc"], row["question"], row["answer"], row["evidence"], page))
    return cases


def folder_cases(folder: Path) -> list[Case]:
    """The questions of a folder's qa.jsonl whose answers have a page."""
    rows = [json.loads(line) for line in (folder / "qa.jsonl").read_text("utf-8").splitlines()]
    return [
        Case(row["doc"], row["question"], row["answer"], row["answer"], row["page"])
        for row in rows
        if row["page"] is not None
    ]


def is_right(case: Case, answer: str) -> bool:
    """Whether an answer contains the known one."""
    return bool(case.answer) and contains(answer, [case.answer]) == 1


def holds(document: Document, page: int | None, answer: str) -> bool:
    """Whether a page contains an answer."""
    return any(
        contains(document.text[each.start : each.end], [answer]) == 1
        for each in document.pages
        if each.number == page
    )


def share(hits: list[bool]) -> dict[str, Any]:
    """A count of hits with the total and Wilson's interval."""
    if not hits:
        return {"hits": 0, "of": 0}
    value, low, high = mean_interval([float(hit) for hit in hits])
    return {"hits": sum(hits), "of": len(hits), **_rounded(Interval(value, low, high))}


def _rounded(interval: Interval) -> dict[str, float]:
    return {name: round(value, 3) for name, value in interval._asdict().items()}


def open_journal(engine: Engine) -> Journal:
    """The journal of a model's answers, shared between runs and between both scripts."""
    return Journal(
        "evidence",
        {
            "fastkv": __version__,
            "model": engine.loaded.name,
            "revision": engine.loaded.revision,
            "max_tokens": MAX_TOKENS,
            "round": 2,
        },
    )
