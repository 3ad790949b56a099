"""The page of --report: one file with the answer and the text, escaped, small, and written safely."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from processes import Capture
from report_pages import HOSTILE, make_document, make_item, make_map

import fastkv_cli as fastkv
from fastkv_cli.cli.app import run
from fastkv_cli.documents.document import Document, LineGaps
from fastkv_cli.errors import ContextError, ExitCode, UsageError
from fastkv_cli.output.render.answer_page import PageItem, render_answers
from fastkv_cli.output.render.document_overview import MAX_CHARACTERS
from fastkv_cli.output.render.document_text import find_places, merge_blocks
from fastkv_cli.output.render.reading_strip import find_shares, level_of, total_attention
from fastkv_cli.stats import Evidence
from fastkv_cli.tasks.reading_map import Block, ReadingMap

VERSIONS = {"fastkv": "1.2.3"}


class Tags(HTMLParser):
    """The tags of a page and their ids, and the text outside of style sheets."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        if self.names and self.names[-1] != "style":
            self.text += data


def letters(text: str) -> str:
    """The ASCII letters of what a tiny model says: the page replaces its control characters."""
    return re.sub("[^A-Za-z]", "", text)


def test_page_holds_answer_text_and_measurements() -> None:
    document = make_document(5)
    tags = Tags(render_answers([make_item(document)], VERSIONS))
    for words in (
        "What is 42?",
        "42 is said.",
        "Supported by the document",
        "On page 5, line 9 says what 45 is.",
        "Page 5",
        "something was left out",
        "fastkv 1.2.3",
        "1.78 s",  # TTFT: parts, prefill and first token
        "TSP layer 1",
    ):
        assert words in tags.text, words
    ids = [each["id"] for each in tags.attributes if "id" in each]
    assert len(ids) == len(set(ids))
    jumps = [str(each["href"]) for each in tags.attributes if "href" in each and "rel" not in each]
    assert {jump[:1] for jump in jumps} == {"#"}
    assert {jump[1:] for jump in jumps} <= set(ids)
    assert {"q1-1", "q1-2"} <= {jump[1:] for jump in jumps}


def test_hostile_texts_are_only_text() -> None:
    document = make_document(3, HOSTILE, path=f"{HOSTILE}.pdf")
    item = make_item(document, HOSTILE, HOSTILE)
    page = render_answers([item], VERSIONS)
    page.encode()  # lone surrogates could not be
    tags = Tags(page)
    harmless = Tags(render_answers([make_item(make_document(3))], VERSIONS))
    assert set(tags.names) <= set(harmless.names)
    assert not {"script", "img", "iframe", "object", "base"} & set(tags.names)
    assert tags.names.count("style") == 1
    assert tags.names.count("meta") == harmless.names.count("meta")
    handlers = {name for each in tags.attributes for name in each if name.startswith("on")}
    assert handlers == set()
    assert "{{ 7 * 7 }}" in tags.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)


def test_style_is_the_one_that_the_policy_allows() -> None:
    from base64 import b64encode
    from hashlib import sha256

    page = render_answers([make_item(make_document(3))], VERSIONS)
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert 'style="' not in page  # the policy forbids styles of single elements


def test_300_pages_are_small_and_quick() -> None:
    document = make_document(300, "Nothing else is said here. " * 80)
    assert document.num_characters > 750_000
    started = time.process_time()
    page = render_answers([make_item(document)], VERSIONS)
    assert time.process_time() - started < 10
    assert len(page.encode()) < 3_000_000
    assert page.count('class="page"') == 300


def test_of_very_long_texts_what_matters_is_shown() -> None:
    document = make_document(900, "Nothing else is said here. " * 80)
    assert document.num_characters > MAX_CHARACTERS
    page = render_answers([make_item(document)], VERSIONS)
    assert len(page.encode()) < 4_000_000
    assert "sections with less attention are not shown" in page
    assert 'id="q1-1"' in page  # sources always are
    assert 'id="q1-2"' in page


def test_several_answers_share_a_page_and_their_sources() -> None:
    document = make_document(5)
    failed = PageItem("Why?", None, None, str(ContextError("no room", "ask less")))
    page = render_answers([make_item(document), make_item(document, "Again?"), failed], VERSIONS)
    tags = Tags(page)
    assert "3 questions" in tags.text
    assert "no room" in tags.text
    assert page.count('<mark id="') == 2  # both answers have the same
    assert page.count('href="#q1-1"') == 3  # of both answers, and of the map
    only_failed = Tags(render_answers([failed], VERSIONS))
    assert "no room" in only_failed.text


def test_page_without_sources_or_scores() -> None:
    document = make_document(3)
    report = make_item(document).report
    assert report is not None
    report = replace(report, evidence=Evidence(), question="")
    blocks = ReadingMap((replace(make_map(document).documents[0], blocks=()),))
    page = render_answers([PageItem("", report, blocks)], VERSIONS)
    assert "Summary" in page
    assert "Sources" not in page


@pytest.mark.parametrize(
    "text", ["", "x", "x" * 9000, "a b " * 3000, "line\n" * 4000, "\n" * 5000], ids=range(6)
)
def test_sections_of_a_text_without_pages_cover_it(text: str) -> None:
    places = find_places(Document("a.txt", text, None, (), ()), 1)
    assert "".join(text[place.start : place.end] for place in places) == text
    assert all(place.end - place.start <= 6000 for place in places)
    assert len({place.anchor for place in places}) == len(places)
    for place in places:
        first = text.count("\n", 0, place.start) + 1
        assert place.label.startswith((f"Line {first:,}", f"Lines {first:,}–"))


def test_sections_count_the_lines_of_the_file() -> None:
    gaps = LineGaps()
    gaps.add(0, 2)  # two empty lines at the head of the file were dropped
    gaps.add(3500, 10)
    document = Document("a.txt", "x" * 99 + "\n" + ("y" * 99 + "\n") * 59, None, (), (), gaps=gaps)
    assert [place.label for place in find_places(document, 1)] == ["Lines 3–33", "Lines 34–70"]


def test_shares_of_a_range() -> None:
    blocks = [Block(0, 10, 4, 1.0, 1.0, 0.5), Block(10, 30, 8, 0.25, 0.0, 0.1)]
    attention = total_attention(blocks)
    assert attention == 6.0
    half = find_shares(blocks, 0, 20, attention)  # the first, and half of the second
    assert half.attention == pytest.approx((4 + 1) / 6)
    assert half.propagated == pytest.approx(4 / 8)
    assert half.kept == pytest.approx((4 * 0.5 + 4 * 0.1) / 8)
    nothing = find_shares([Block(0, 10, 4, None, None, None)], 0, 10, 0.0)
    assert (nothing.attention, nothing.propagated, nothing.kept) == (None, None, None)
    assert [level_of(share) for share in (None, 0.0, 0.06, 0.25, 0.3, 1.0)] == [0, 0, 1, 2, 3, 4]


def test_merged_blocks_have_the_highest_of_each_range() -> None:
    one = [Block(0, 10, 4, 0.2, 1.0, None), Block(10, 20, 4, 0.9, 0.0, 0.1)]
    other = [Block(0, 15, 6, 0.5, 0.0, 0.3)]
    merged = merge_blocks([one, other])
    assert [(block.start, block.end, block.score, block.kept) for block in merged] == [
        (0, 10, 0.5, 0.3),
        (10, 15, 0.9, 0.3),
        (15, 20, 0.9, 0.1),
    ]
    assert merge_blocks([one]) == one


def test_command_writes_a_page_and_the_same_answer(options: list[str], capfd: Capture) -> None:
    assert run(["ask", "a.txt", "b.txt", "Who met?", *options]) == 0
    plain = capfd.readouterr()
    assert run(["ask", "a.txt", "b.txt", "Who met?", *options, "--report", "r.html"]) == 0
    beside = capfd.readouterr()
    assert beside.out == plain.out
    tags = Tags(Path("r.html").read_text(encoding="utf-8"))
    for words in ("Who met?", plain.out, "The quick brown fox", "a.txt", "b.txt"):
        assert letters(words) in letters(tags.text)
    assert run(["summarize", "a.txt", *options, "--json", "--report", "s.html", "-q"]) == 0
    told = json.loads(capfd.readouterr().out)
    page = Path("s.html").read_text(encoding="utf-8")
    assert letters(told["answer"]) in letters(Tags(page).text)


def test_questions_share_a_page(options: list[str], capfd: Capture) -> None:
    asked = ["--question", "Who met?", "--question", "Why? " * 3000, "--report", "r.html"]
    assert run(["ask", "a.txt", *asked, *options, "--no-check"]) == ExitCode.CONTEXT
    told = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    text = Tags(Path("r.html").read_text(encoding="utf-8")).text
    assert letters(told[0]["answer"]) in letters(text)
    assert told[1]["error"] in text


def test_existing_pages_are_replaced_only_by_force(options: list[str], capfd: Capture) -> None:
    Path("r.html").write_text("mine")
    asked = ["ask", "a.txt", "Who met?", *options, "-q", "--report"]
    assert run([*asked, "r.html"]) == ExitCode.OUTPUT
    told = capfd.readouterr()
    assert told.out == ""  # found before any work is done
    assert "r.html exists already: give --force to replace it" in told.err
    assert Path("r.html").read_text() == "mine"
    assert run([*asked, "no/r.html"]) == ExitCode.OUTPUT
    assert run([*asked, "r.html", "--force", "-o", "./r.html"]) == ExitCode.USAGE
    assert "both name" in capfd.readouterr().err
    assert run([*asked, "r.html", "--force"]) == 0
    assert Path("r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_python_gives_the_same_page(options: list[str], tiny_models: dict[str, Path]) -> None:
    settings: dict[str, Any] = {
        "model": str(tiny_models["llama"]),
        "dtype": "float32",
        "max_tokens": 8,
    }
    with fastkv.open("a.txt", maps=True, no_store=True, **settings) as session:
        assert session.ask("Who met?").to_html().startswith("<!doctype html>")
    with fastkv.open("a.txt", no_store=True, **settings) as session:
        answer = session.ask("Who met?")
        with pytest.raises(UsageError, match="maps=True"):
            answer.to_html()
