"""What is said about pages: one printable line, never empty."""

from __future__ import annotations

import pytest

from fastkv_cli.documents import verdict


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AssertionError(), "its parts contradict each other"),
        (ValueError(" \n\t"), "its structure is broken"),
        (TypeError("unhashable type: 'list'"), "a part is of the wrong kind"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (MemoryError(), "out of memory"),
        (KeyError("/Root"), "a part is missing: /Root"),
        (ValueError("bad\x1b[31m\nthing\u202e."), "bad [31m thing"),
        (ValueError("could not read: b'%PDF\\x00'"), "could not read"),
        (ValueError("x" * 500), "x" * 79 + "…"),
    ],
)
def test_reasons(error: Exception, said: str) -> None:
    assert verdict.reason(error) == said


@pytest.mark.usefixtures("without_ocr")
def test_pages_are_named_and_many_are_counted() -> None:
    assert verdict.page_list([1, 2, 3, 5]) == "1–3, 5"
    assert verdict.page_list(range(1, 41, 2)) == (
        "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23 and 8 more"
    )
    assert verdict.empty_pages([3, 4], [9]) == (
        "pages 3–4 hold no text: a scan; run OCR first, e.g. ocrmypdf"
        ", or let fastkv do it: pip install 'fastkv-cli[ocr]'; "
        "page 9 holds no text (blank or drawing only)"
    )
