"""The readers of benchmarks/extraction.py and their scores: what is read, and what counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import BENCHMARKS, environment
from pdf_maker import make_pdf

sys.path.insert(0, str(BENCHMARKS))

from extraction import Document, is_right, judge, summarize, tables_in, text_scores


def read_with(reader: str, *paths: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "extraction_reader.py"), reader],
        input="".join(f"{path}\n" for path in paths),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("reader", ["fastkv", "pypdfium2"])
def test_a_reader_answers_each_path(reader: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.pdf", tmp_path / "bad.pdf"
    good.write_bytes(make_pdf(["The key is under the mat.", "So is the letter."]))
    bad.write_bytes(b"no PDF at all \0\1")
    hello, first, second = read_with(reader, good, bad)
    assert hello["import_s"] > 0
    assert first["text"].split() == ["The", "key", "is", "under", "the", "mat.", "So", "is", "the", "letter."]  # fmt: skip
    assert first["error"] == ""
    assert min(first["seconds"], first["peak_mib"]) > 0
    assert second["text"] == ""
    assert second["error"]


def test_words_and_their_order_count_and_markup_does_not() -> None:
    truth = "Price list\nOne two three four"
    assert text_scores("# Price list\n\n| one | two |\n| --- | --- |\nthree &amp; four", truth) == (
        1,
        1,
    )
    words, order = text_scores("four three two one list price", truth)
    assert (words, order) == (1, 0)
    assert text_scores("Price list one two", truth)[0] == pytest.approx(0.8)
    assert text_scores("快速的狐狸", "快速的\n狐狸") == (1, 1)


def test_tables_are_found_in_markdown() -> None:
    text = "before\n| a | b |\n|---|:-:|\n| 1 \\| 2 |  |\nbetween\n\n|  x | y  |\n"
    assert tables_in(text) == [[["a", "b"], ["1 \\| 2", ""]], [["x", "y"]]]


def test_a_fault_is_right_by_its_rules() -> None:
    rules = {"want": ["a"], "forbid": ["z"], "anyof": [["b", "WARN:left out"], ["NOT:c"]]}
    assert is_right(rules, {"text": "a b"})
    assert is_right(rules, {"text": "a", "warnings": ["1 chart was LEFT OUT"]})
    for text in ("a", "b", "a b z", "a b c", ""):
        assert not is_right(rules, {"text": text})
    assert is_right({"want": [], "forbid": [], "anyof": [["x", "ERROR:mail"]]}, {"error": "a mail"})
    assert not is_right({"want": [], "forbid": ["z"], "anyof": []}, {"error": "failed"})


def test_times_are_of_what_all_have_read(tmp_path: Path) -> None:
    documents = []
    for name, pages in (("short.pdf", 1), ("long.pdf", 12), ("other.pdf", 1)):
        (tmp_path / name).write_bytes(make_pdf(["words"] * pages))
        documents.append(Document("text", tmp_path / name, "words " * pages))
    answer = {"text": "words", "seconds": 0.6, "error": ""}
    rows = {at: judge(document, answer) for at, document in enumerate(documents)}
    failed = {**rows, 2: judge(documents[2], {"text": "", "error": "damaged"})}
    needs_models = {0: judge(documents[0], {"text": "", "error": "no model"})}
    results = {
        name: {"rows": each, "import_s": 1.0, "peak_mib": 1.0}
        for name, each in (("a", rows), ("b", failed), ("c", needs_models))
    }
    report = summarize(results, documents)
    assert report["timed"] == {"pdfs": 2, "pages": 13, "long": 1}
    first, third = report["readers"]["a"], report["readers"]["c"]
    assert (first["pdf_s"], first["ms_a_page_long"], first["ms_short"]) == (1.2, 50.0, 600.0)
    assert third["pdf_s"] is third["f1_pdf"] is None
