"""From what the model looked at and said to the pages that carried it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from works import make_work

from fastkv_cli import Document, Engine
from fastkv_cli.documents import Page
from fastkv_cli.evidence import index_documents
from fastkv_cli.stats import Evidence
from fastkv_cli.tasks import Outcome, ask, gather_evidence
from fastkv_cli.tasks.attended import most_attended, share_attention
from fastkv_cli.tasks.corpus import Corpus, join_documents

PAGES = ["The committee met in 1999.", "Filby led it for 14 years.", "It met no more."]


def test_the_highest_scores_of_the_text_are_kept() -> None:
    scores = [float(at % 97) for at in range(400)]
    sources = [-1 if at % 2 else 1000 + at for at in range(500)]  # the window has no scores
    best = most_attended(scores, sources)
    assert len(best) == 50
    assert [score for _, score in best] == sorted(scores[::2], reverse=True)[:50]
    assert all(scores[token - 1000] == score for token, score in best)
    assert most_attended([], sources) == most_attended(scores, []) == ()


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def corpus(engine: Engine) -> Corpus:
    """A text, and a document with three pages."""
    starts = [sum(len(page) + 2 for page in PAGES[:at]) for at in range(3)]
    pages = tuple(
        Page(number, start, start + len(text))
        for number, (start, text) in enumerate(zip(starts, PAGES, strict=True), start=1)
    )
    documents = [
        Document("notes.txt", "One line.\nAnother line: 42.", None, (), ()),
        Document("report.pdf", "\n\n".join(PAGES), 3, pages, ()),
    ]
    return join_documents(documents, engine.tokenizer)


def test_attention_is_shared_among_the_blocks(corpus: Corpus) -> None:
    index = index_documents(corpus.documents)
    first, second = corpus.spans
    assert share_attention([(first.stop - 9, 3.0)], corpus, index) == [1, 0, 0, 0]
    in_text = [at for at in range(second.start, second.stop) if corpus.starts[at] >= 0]
    attended = [(in_text[0], 1.0), (in_text[-4], 2.0), (in_text[-5], 1.0), (second.start, 9.0)]
    assert share_attention(attended, corpus, index) == [0, 0.25, 0, 0.75]  # none in a heading
    assert share_attention([(second.start, 1.0)], corpus, index) == [0] * 4
    assert share_attention([(in_text[0], -1.0), (in_text[-4], 1.0)], corpus, index) == [0, 0, 0, 1]


@pytest.fixture(scope="module")
def outcome(engine: Engine) -> Outcome:
    *_, outcome = ask(make_work(engine, "\n".join(PAGES)), "What is it about?")
    assert isinstance(outcome, Outcome)
    return outcome


def gather(outcome: Outcome, corpus: Corpus, answer: str, **changes: Any) -> Evidence:
    generation = replace(outcome.generation, text=answer)
    check = changes.pop("check", True)
    changed = replace(outcome, generation=generation, attention=None, attended=(), **changes)
    return gather_evidence(changed, corpus, check=check)


def test_an_answer_is_traced(outcome: Outcome, corpus: Corpus) -> None:
    evidence = gather(outcome, corpus, "Filby led it for 15 years.", question="Who led it?")
    assert [(each.document, each.page) for each in evidence.citations] == [("report.pdf", 2)]
    assert evidence.citations[0].snippet == PAGES[1]
    assert evidence.not_in_document == ("15",)
    evidence = gather(outcome, corpus, "42", question="Which number?", check=False, found=None)
    assert [(each.document, each.line) for each in evidence.citations] == [("notes.txt", 2)]
    assert evidence.not_in_document is None
    assert evidence.found is None


def test_where_nothing_was_found_nothing_is_cited(outcome: Outcome, corpus: Corpus) -> None:
    refused = gather(outcome, corpus, "No.", found=False, reason="why", guess="Filby, in 1987.")
    assert refused == Evidence(
        not_in_document=(), found=False, reason="why", guess="Filby, in 1987."
    )
