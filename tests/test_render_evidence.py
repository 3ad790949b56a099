"""Evidence as marks, as rows of the statistics, and what of it is said at all."""

from __future__ import annotations

import pytest

from fastkv_cli.evidence.places import cite_mark
from fastkv_cli.output.render.evidence_rows import evidence_rows
from fastkv_cli.output.render.report_json import evidence_fields
from fastkv_cli.stats import Citation, Evidence


def cited(page: int | None = None, line: int | None = None, document: str = "a.pdf") -> Citation:
    return Citation(document, page, line, 0.5, "It says so.")


@pytest.mark.parametrize(
    ("citations", "paths", "mark"),
    [
        ([], ["a.pdf"], ""),
        ([], ["a.pdf", "b.txt"], ""),
        ([cited(12)], ["a.pdf"], " [p. 12]"),
        ([cited(line=212)], ["a.pdf"], " [line 212]"),
        (
            [cited(12, document="in/report.pdf")],
            ["in/report.pdf", "in/b.txt"],
            " [report.pdf, p. 12]",
        ),
        (
            [cited(12, document="in/report.pdf"), cited(3, document="b.txt")],
            ["in/report.pdf", "out/report.pdf", "b.txt"],
            " [in/report.pdf, p. 12; b.txt, p. 3]",
        ),
        (
            [cited(3, document="in/a\nb.pdf")],
            ["in/a\nb.pdf", "b.txt"],
            " [a\ufffdb.pdf, p. 3]",
        ),
        ([cited(line=2, document="-")], ["-", "a.pdf"], " [stdin, line 2]"),
        ([cited(12), cited(3), cited(7)], ["a.pdf"], " [p. 3, 7, 12]"),
        (
            [cited(12), cited(line=9, document="b.txt"), cited(3)],
            ["a.pdf", "b.txt"],
            " [a.pdf, p. 3, 12; b.txt, line 9]",
        ),
    ],
)
def test_marks(citations: list[Citation], paths: list[str], mark: str) -> None:
    assert cite_mark(citations, paths=paths) == mark


def test_rows_say_what_there_is_to_say() -> None:
    assert list(evidence_rows(Evidence(), paths=["a.pdf"])) == []
    assert list(evidence_rows(Evidence(not_in_document=(), found=True), paths=["a.pdf"])) == []
    full = Evidence((cited(12), cited(3)), ("1987", "Dennis Ritchie"))
    assert list(evidence_rows(full, paths=["a.pdf"])) == [
        ("Sources", "p. 12 (50%); p. 3 (50%)"),
        ("Unsupported", "not in the document: 1987, Dennis Ritchie"),
    ]
    assert dict(evidence_rows(full, paths=["a.pdf", "b.txt"]))["Sources"].startswith(
        "a.pdf, p. 12 (50%); "
    )
    refused = Evidence(found=False, reason="not in the document: 1987", guess="In 1987.")
    assert list(evidence_rows(refused, paths=["a.pdf"])) == [("Not found", refused.reason)]


def test_programs_are_told_what_was_not_checked() -> None:
    fields = evidence_fields(Evidence())
    assert fields["citations"] == []
    assert fields["not_in_document"] is None
    assert fields["found"] is None
    assert evidence_fields(Evidence(not_in_document=()))["not_in_document"] == []
