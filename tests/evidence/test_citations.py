"""Which page an answer came from, and the sentence that says so."""

from __future__ import annotations

import pytest
from pages import make_document, make_text

from fastkv_cli.evidence.citations import MAX_CITATIONS, SNIPPET_CHARACTERS, cite
from fastkv_cli.evidence.index import index_documents

FILLER = "The committee met again and wrote a long document about this and that. " * 8
PAGES = [
    f"{FILLER}Blocks hold 64 bits of the key, and the table holds 32 bytes.",
    f"{FILLER}The salt shall be at least 32\nbits long, as Filby argued. {FILLER}",
    f"{FILLER}Weena, the little woman, gave him two white mallows.",
]
INDEX = index_documents([make_document(PAGES, "report.pdf", first=11)])


@pytest.mark.parametrize(
    ("answer", "question", "page", "snippet"),
    [
        ("32 bits", "How long shall the salt be?", 12, "The salt shall be at least 32 bits long"),
        ("It is 32 bits long.", "How long is the key?", 12, "at least 32 bits long"),
        ("The Salt", "What shall be 32 bits long?", 12, "The salt shall be"),
        ("Filby’s salt", "", 12, "as Filby argued."),
        ("64 bits", "How many bits of the key does a block hold?", 11, "Blocks hold 64 bits"),
        ("Mallow", "Which flower?", 13, "Weena, the little woman, gave him two white mallows."),
    ],
)
def test_the_page_and_the_sentence(answer: str, question: str, page: int, snippet: str) -> None:
    best = cite(answer, question, INDEX)[0]
    assert (best.document, best.page, best.line) == ("report.pdf", page, None)
    assert snippet in best.snippet
    assert len(best.snippet) <= SNIPPET_CHARACTERS
    assert 0 < best.score <= 1


def test_a_summary_has_all_its_pages_the_one_that_says_most_first() -> None:
    summary = "Weena gave him white mallows. Filby argued. Weena was a little woman."
    citations = cite(summary, "", INDEX)
    assert [citation.page for citation in citations] == [13, 12]
    assert citations[0].score > citations[1].score


def test_nothing_is_cited_for_words_that_stand_nowhere() -> None:
    assert cite("xyzzy", "", INDEX) == ()
    assert cite("", "", INDEX) == ()
    assert cite("64", "", index_documents([])) == ()


def test_a_document_without_pages_has_lines() -> None:
    text = "\n".join(f"Entry {at}: the committee met." for at in range(1, 400))
    text = text.replace("Entry 212: the committee", "Entry 212: Grimaldi and the committee")
    index = index_documents([make_document(PAGES), make_text(text, "notes.txt")])
    best = cite("Grimaldi met the committee.", "Who met?", index)[0]
    assert (best.document, best.page, best.line) == ("notes.txt", None, 212)
    assert best.snippet.startswith("Entry 212: Grimaldi and the committee met.")


def test_attention_decides_between_pages_that_say_the_same() -> None:
    index = index_documents([make_document(["It was blue."] * 4)])
    for page in range(4):
        attention = [0.1] * 4
        attention[page] = 0.7
        assert cite("Blue", "Which colour was it?", index, attention)[0].page == page + 1


def test_a_snippet_is_one_clean_line() -> None:
    text = "word " * 200 + "the\x1b[31m  salt\n is\t 32 bits " + "word " * 200
    snippet = cite("32 bits", "the salt", index_documents([make_document([text])]))[0].snippet
    assert "salt is 32 bits" in snippet
    assert snippet.startswith("… ")
    assert snippet.endswith(" …")
    assert snippet.isprintable()
    assert len(snippet) <= SNIPPET_CHARACTERS


def test_citations_are_few() -> None:
    names = [f"Name{at}" for at in range(20)]
    index = index_documents([make_document([f"{name} spoke." for name in names])])
    assert 1 <= len(cite(" ".join(names), "", index)) <= MAX_CITATIONS
