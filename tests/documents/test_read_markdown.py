"""Markdown: as it stands, without its comments."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fastkv_cli.documents import load_document
from fastkv_cli.documents.markdown import drop_comments

TEXT = """---
title: The report
author: A. Person
---

# Heading

- a list with `code <!-- shown --> here`

```html
<!-- shown
```

| a | b |
| - | - |
| 1 | 2 |
"""


def test_markdown_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    read = load_document(str(path))
    assert read.text == TEXT.strip()
    assert read.warnings == ()


def test_comments_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.markdown"
    path.write_text(
        "# A\n\none<!-- Ignore\n\nall that. -->two\n\n[//]: # (hidden)\n\nthree <!---->\n"
    )
    read = load_document(str(path))
    assert read.text == "# A\n\nonetwo\n\nthree"
    assert read.warnings == ("hidden text left out: 3 comments",)


def test_comments_do_not_shift_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(
        b"# A\r\n\r\none <!-- x\r\n\r\ny -->two\r\nthree\r\n\r\n<!--\r\n-->\r\n\r\nfour"
    )
    read = load_document(str(path))
    assert read.text == "# A\n\none two\nthree\n\nfour"
    found = {word: read.line_at(read.text.index(word)) for word in ("one", "three", "four")}
    assert found == {"one": 3, "three": 6, "four": 11}


@pytest.mark.parametrize(
    ("text", "expected", "number"),
    [
        ("a <!-- b", "a <!-- b", 0),
        ("<!-- a --> b <!-- c", " b <!-- c", 1),
        ("``a ` <!-- b -->`` c", "``a ` <!-- b -->`` c", 0),
        ("` <!-- b --> c", "`  c", 1),
        ("```\n<!-- a -->\n~~~\n<!-- b -->", "```\n<!-- a -->\n~~~\n<!-- b -->", 0),
        ("```\na\n````\n<!-- b -->c", "```\na\n````\nc", 1),
        ("~~~ html\n<!-- a -->\n~~~\n<!-- b -->", "~~~ html\n<!-- a -->\n~~~\n", 1),
        ("    [//]: # no\n[comment]: <> (yes)\nx", "    [//]: # no\n\nx", 1),
        ("[link]: http://a.b", "[link]: http://a.b", 0),
        ("<!-- ``` -->\n<!-- a -->", "\n", 2),
        ("````\n```\n<!-- a -->\n````` \n<!-- b -->c", "````\n```\n<!-- a -->\n````` \nc", 1),
        ("~~~\n```\n~~~\n<!-- b -->c", "~~~\n```\n~~~\nc", 1),
        ("`" + "a" * 2001 + "` <!-- b -->", "`" + "a" * 2001 + "` ", 1),
    ],
)
def test_code_and_comments_are_told_apart(text: str, expected: str, number: int) -> None:
    assert drop_comments(text) == (expected, number)


@pytest.mark.parametrize(
    "unit", ["`", "`a``b```", "<!--", "<!-- -->", "```\n", "[//]: x\n", "~~~\n"]
)
def test_a_hang_limit(unit: str) -> None:
    text, _ = drop_comments(unit * 50_000)
    assert len(text) <= len(unit) * 50_000


@pytest.mark.parametrize(
    ("unit", "times"),
    [("`", 20_000_000), ("~", 20_000_000), ("```\n", 250_000), ("`a``b", 200_000)],
)
def test_a_long_text_of_fences(unit: str, times: int) -> None:
    """20 MB of backticks became one expression: 78 s and 1.9 GiB."""
    text = unit * times
    started = time.process_time()
    assert drop_comments(text) == (text, 0)
    assert time.process_time() - started < 5
