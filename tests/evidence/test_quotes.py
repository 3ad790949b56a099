"""Quotes: verbatim, where `fastkv extract` prints them, whole, and the right ones."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from pages import make_document, make_text
from pdf_maker import make_pdf

from fastkv_cli import Document, load_document
from fastkv_cli.evidence import find_quotes, index_documents, index_segments
from fastkv_cli.evidence.marks import find_marks
from fastkv_cli.evidence.segment_index import SegmentIndex, terms_of
from fastkv_cli.evidence.words import keys_of
from fastkv_cli.output.render.extraction import extract, render_text

ROOT = Path(__file__).parents[2]
TEXT = """The pump was built in Lyon. It weighs 40 kilograms.

It was sold in 1911 to a mill. The mill burned down.
"""


def index_of(*documents: Document) -> SegmentIndex:
    return index_segments(index_documents(documents))


def write(folder: Path, name: str, data: bytes) -> Document:
    (folder / name).write_bytes(data)
    return load_document(str(folder / name))


def test_the_text_is_what_extract_prints_there(tmp_path: Path) -> None:
    """Of several documents, each is printed alone; pages stand under headings."""
    documents = [
        write(tmp_path, "a.pdf", make_pdf(["Nothing here.", "", "", "The pump was built\nin Lyon.", "End."])),
        write(tmp_path, "b.md", b"# Pumps\n\n<!-- x -->\nThe pump was **built** in 1911.\n\n- One pump\n- Two\n"),
        write(tmp_path, "c.txt", b"\r\n\r\nThe pump was built.\r\n\x0c\r\n\r\n\r\nThe pump broke.\r\n"),
        write(tmp_path, "d.html", b"<h1>Pumps</h1><p>The pump was <b>built</b>.</p><table><tr><td>pump<td>1</table>"),
    ]  # fmt: skip
    for number in range(len(documents)):
        rest = documents[number:] + documents[:number]  # the first one wins a tie
        quotes = find_quotes("When was the pump built?", index_of(*rest), max_quotes=3)
        assert quotes
        for quote in quotes:
            printed = render_text([extract(next(d for d in documents if d.path == quote.document))])
            assert quote.text == printed[quote.start : quote.end]
            assert (quote.page is None) == (quote.line is not None)
    alone = find_quotes("When was the pump built?", index_of(documents[0]))
    assert [(quote.page, quote.text) for quote in alone] == [(4, "The pump was built\nin Lyon.")]


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("siege-of-vicksburg.pdf", "How many men were there?"),
        ("password-rules.txt", "What is required of verifiers in the end?"),
    ],
)
def test_examples(name: str, question: str) -> None:
    path = ROOT / "examples" / name
    document = load_document(str(path))
    printed = render_text([extract(document)])
    quotes = find_quotes(question, index_of(document), answer="In 1863")
    assert len(quotes) == 3
    for quote in quotes:
        assert quote.text == printed[quote.start : quote.end]
        assert len(quote.text) <= 400
        assert 0 <= quote.score <= 1
        if quote.line is not None:
            line = path.read_text("utf-8").split("\n")[quote.line - 1]
            assert quote.text.split("\n")[0] in line
    spans = sorted((quote.start, quote.end) for quote in quotes)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_labels_are_those_of_the_page() -> None:
    document = make_document(["Nothing.", "The pump was built in Lyon."])
    page = document.pages[1]
    labelled = type(page)(page.number, page.start, page.end, "iv")
    document = Document("a.pdf", document.text, 2, (document.pages[0], labelled), ())
    (quote,) = find_quotes("Where was the pump built?", index_of(document))
    assert (quote.page, quote.page_label, quote.line) == (2, "iv", None)


def test_sentences_stay_whole_and_long_ones_are_cut() -> None:
    sentence = "The pump of the mill was painted green by its owner and his sons. "
    quotes = find_quotes("Who painted the pump?", index_of(make_text(sentence * 30)))
    assert quotes[0].text.startswith("The pump")
    assert quotes[0].text.endswith("sons.")
    assert len(quotes) == 1  # the others say the same
    (quote,) = find_quotes("pump?", index_of(make_text("word " * 200 + "pump " + "word " * 200)))
    assert "pump" in quote.text
    assert len(quote.text) <= 400
    (quote,) = find_quotes("pump?", index_of(make_text("x" * 3000 + " pump")))
    assert quote.text.endswith("pump")


def test_nothing_to_quote() -> None:
    index = index_of(make_text(TEXT))
    assert find_quotes("Which zebra?", index) == ()
    assert find_quotes("", index) == ()
    assert find_quotes("What is it about?", index) == ()
    assert find_quotes("Where was the pump built?", index, max_quotes=0) == ()
    assert find_quotes("Where was the pump built?", index_of(make_text(""))) == ()


def test_the_answer_and_attention_decide_between_equals() -> None:
    pages = [f"The pump stood at the mill near {place}." for place in ("Lyon", "Basel", "Turin")]
    index = index_of(make_document(pages))
    question = "Where did the pump stand?"
    assert find_quotes(question, index, answer="In Turin.")[0].page == 3
    assert find_quotes(question, index, attention=[0.1, 0.8, 0.1])[0].page == 2


def test_endings_and_scripts() -> None:
    index = index_of(make_text("Er besuchte die Gemeindeversammlung.\n\nNichts.\n"))
    assert "Gemeinde" in find_quotes("Wann war die Versammlung?", index)[0].text
    index = index_of(make_text("我们在里昂制造了泵。\n\n没有别的。\n"))
    assert "里昂" in find_quotes("泵是在哪里制造的？", index)[0].text
    assert terms_of(keys_of("水泵 ab 泵")) == ["水泵", "ab", "泵"]


def test_marks_are_words_of_question_and_answer() -> None:
    text = "The pumps were publicly sold in 1911."
    spans = find_marks(text, "When was the pump published?", "1911")
    assert [text[slice(*span)] for span in spans] == ["pumps", "publicly", "1911"]
