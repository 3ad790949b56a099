"""fastkv beside docling, markitdown, pdfplumber and pypdfium2: text, tables, faults, time, memory.

    make extraction                                 # creates their environments, then runs it
    python benchmarks/extraction.py [--documents FOLDER ...] [--readers fastkv,pdfplumber]

Each program reads in its own environment and process (extraction_reader.py), without OCR:
documents made of known texts (known_texts.py) and 46 tables (made_tables.py); the fault files of
the tests, which have once been read wrongly and of which checks.json says what is right; and the
shipped PDFs. `--documents` adds folders: a document with a text of the same name beside it
(`policy.pdf`, `policy.txt`) is held to that text, tables to questions/tables.json, and the answers
of a qa.jsonl to what is in its PDFs. The text of no program here is the truth of a score.

Text: F1 of words and, for their order, of pairs of successive words, over what a program can read.
Tables: F1 of neighbouring cells in rows and in columns (tables.py). Time is of reading alone, over
PDFs that all which read PDFs have read; memory is the peak of the process and of its largest child.
Figures go to stderr; the last line is JSON.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

from known_texts import make_documents
from made_tables import Cells, make_tables
from pypdfium2 import PdfDocument, PdfiumError
from tables import best, f1, join

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "build" / "extractors"  # created by `make extraction`
FAULTS = HERE.parent / "tests" / "documents" / "faults"
SHIPPED = (HERE.parent / "examples", HERE.parent / "tests" / "documents" / "files")
READERS = ("fastkv", "docling", "markitdown", "pdfplumber", "pypdfium2")
PACKAGES = {"fastkv": "fastkv-cli"}
PDF_ONLY = frozenset(("pdfplumber", "pypdfium2"))
CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
WORD = re.compile(f"[{CJK}]|(?:(?![{CJK}])[^\\W_])+")
FOLDERS = re.compile(r"/\S*/")
CELL_BORDER = re.compile(r"(?<!\\)\|")
LONG_PAGES = 10  # of a long document; of shorter ones the time of a document is told, not of a page
LIMIT_S = 60.0  # for one document
NO_MODEL = "LocalEntryNotFoundError"  # a reader that needs a download for PDFs is given no more


@dataclass(frozen=True, slots=True)
class Document:
    """A document to read, and what it is held to.

    Attributes:
        group: "text", "tables", "faults" or "shipped".
        path: The file.
        text: Its text, if that is known.
        tables: Its tables that are known.
        rules: Of checks.json, for a fault.
        facts: Answers that are in it.
    """

    group: str
    path: Path
    text: str | None = None
    tables: tuple[Cells, ...] = ()
    rules: dict[str, Any] = field(default_factory=dict)
    facts: tuple[str, ...] = ()

    @property
    def is_pdf(self) -> bool:
        return self.path.suffix == ".pdf"


Answer = dict[str, Any]
"""What extraction_reader.py answers."""


class Process:
    """A reader at work; started anew when it is late or dies."""

    def __init__(self, name: str, python: Path) -> None:
        self._command = [str(python), str(HERE / "extraction_reader.py"), name]
        self._process: subprocess.Popen[bytes] | None = None
        self.import_s = 0.0

    def read(self, path: Path) -> Answer:
        """The answer for a document."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            hello = self._receive(300.0)
            if hello is None:
                self.close()
                return {"error": "does not start"}
            self.import_s = hello["import_s"]
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        answer = self._receive(LIMIT_S)
        if answer is None:
            self.close()
            return {"error": f"no answer within {LIMIT_S:g} s"}
        return answer

    def _receive(self, limit_s: float) -> Answer | None:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], limit_s)
        line = self._process.stdout.readline() if ready else b""
        answer: Answer | None = json.loads(line) if line else None
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def words(text: str) -> list[str]:
    """The words of a text, or its characters in scripts without spaces; markup is none."""
    return WORD.findall(unicodedata.normalize("NFKC", html.unescape(text)).casefold())


def text_scores(text: str, truth: str) -> tuple[float, float]:
    """F1 of words, and of pairs of successive words."""
    found, wanted = words(text), words(truth)
    return (
        f1(_counted(found, 1), _counted(wanted, 1)),
        f1(Counter(pairwise(found)), Counter(pairwise(wanted))),
    )


def _counted(found: Sequence[str], _: int) -> Counter[tuple[str, str]]:
    return Counter((word, "") for word in found)


def tables_in(text: str) -> list[Cells]:
    """The Markdown tables of a text."""
    tables: list[Cells] = [[]]
    for line in map(str.strip, text.split("\n")):
        if line.startswith("|") and line.endswith("|") and len(line) > 1:
            cells = [cell.strip() for cell in CELL_BORDER.split(line)[1:-1]]
            if not all(cell and set(cell) <= {"-", ":"} for cell in cells):
                tables[-1].append(cells)
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


def is_right(rules: dict[str, Any], answer: Answer) -> bool:
    """Whether a fault file is read as it should be, as tests/documents/test_faults.py says."""
    text = answer.get("text", "")

    def holds(rule: str) -> bool:
        kind, _, rest = rule.partition(":")
        if kind == "WARN":
            warnings = answer.get("warnings", ())
            return any(re.search(rest, warning, re.IGNORECASE) for warning in warnings)
        if kind == "ERROR":
            return re.search(rest, answer.get("error", ""), re.IGNORECASE) is not None
        return bool(text) and rest not in text if kind == "NOT" else rule in text

    return (
        all(wanted in text for wanted in rules["want"])
        and not any(wrong in text for wrong in rules["forbid"])
        and all(any(map(holds, group)) for group in rules["anyof"])
        and bool(text or rules["anyof"])
    )


def collect(folder: Path, more: Sequence[Path]) -> Iterator[Document]:
    """All documents; the made ones are written to a folder."""
    for known in make_documents():
        path = folder / known.name
        path.write_bytes(known.data)
        yield Document("text", path, known.text)
    for table in make_tables():
        path = folder / f"{table.name}.pdf"
        path.write_bytes(table.data)
        yield Document("tables", path, tables=(table.cells,))
    for rules in json.loads((FAULTS / "checks.json").read_text("utf-8")):
        yield Document("faults", FAULTS / rules["name"], rules=rules)
    cells: dict[str, list[Cells]] = {}
    for real in json.loads((HERE / "questions" / "tables.json").read_text("utf-8")):
        cells.setdefault(real["file"], []).append(real["cells"])
    for root in (*SHIPPED, *more):
        facts: dict[str, list[str]] = {}
        for path in root.rglob("qa.jsonl"):
            for case in map(json.loads, path.read_text("utf-8").splitlines()):
                facts.setdefault(case["doc"], []).append(case["answer"])
        for path in sorted(root.rglob("*.*")):
            twin = path.with_suffix(".txt")
            if path.suffix in {".pdf", ".html"}:
                yield Document(
                    "text" if twin.exists() else "shipped", path,
                    twin.read_text("utf-8") if twin.exists() else None,
                    tuple(cells.get(path.name, ())), facts=tuple(facts.get(path.name, ())),
                )  # fmt: skip


@cache
def num_pages(path: Path) -> int:
    """The pages of a PDF; 0 where it has none that can be opened."""
    try:
        return len(PdfDocument(path))
    except PdfiumError:
        return 0


def squeezed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", html.unescape(text)).casefold().split())


def judge(document: Document, answer: Answer) -> dict[str, Any]:
    """The scores of one document."""
    text = answer.get("text", "")
    row: dict[str, Any] = {
        "seconds": round(answer.get("seconds", 0.0), 3),
        "error": FOLDERS.sub("", answer.get("error", "")),
    }
    if document.text is not None:
        row["f1"], row["order"] = text_scores(text, document.text)
    if document.tables:
        found = [*answer.get("tables", ()), *tables_in(text)]
        every = [*found, join(found)] if found else []
        row["tables"] = [best(every, wanted) for wanted in document.tables]
    if document.rules:
        row["right"] = is_right(document.rules, answer)
    if document.facts:
        row["facts"] = [squeezed(fact) in squeezed(text) for fact in document.facts]
    return row


def run(name: str, python: Path, documents: Sequence[Document]) -> dict[str, Any]:
    """Read all documents with one program: its rows, by position, and what it took."""
    process = Process(name, python)
    rows: dict[int, dict[str, Any]] = {}
    peak, has_model = 0.0, True
    for at, document in enumerate(documents):
        if not document.is_pdf if name in PDF_ONLY else document.is_pdf and not has_model:
            continue
        if not rows:
            process.read(document.path)  # a warm-up, which is not counted
        answer = process.read(document.path)
        has_model = has_model and NO_MODEL not in answer["error"]
        rows[at] = judge(document, answer)
        peak = max(peak, answer.get("peak_mib", 0.0))
        print(f"{name:12} {document.path.name:45} {json.dumps(rows[at])}"[:200], file=sys.stderr)
    process.close()
    return {"rows": rows, "peak_mib": peak, "import_s": round(process.import_s, 2)}


def reads_pdfs(rows: dict[int, dict[str, Any]], documents: Sequence[Document]) -> bool:
    """Whether a reader gave the text of any PDF."""
    return any(documents[at].is_pdf and not row["error"] for at, row in rows.items())


def rounded(values: Sequence[float]) -> float | None:
    return round(mean(values), 3) if values else None


def summarize(
    results: dict[str, dict[str, Any]], documents: Sequence[Document]
) -> dict[str, dict[str, Any]]:
    """The figures of each reader."""
    read_by_all = {
        at
        for at, document in enumerate(documents)
        if document.is_pdf
        and num_pages(document.path)
        and all(
            at in result["rows"] and not result["rows"][at]["error"]
            for result in results.values()
            if reads_pdfs(result["rows"], documents)
        )
    }
    pages = {at: num_pages(documents[at].path) for at in read_by_all}
    long = {at for at in read_by_all if pages[at] >= LONG_PAGES}
    report = {}
    for name, result in results.items():
        rows = result["rows"]
        texts = {at: row for at, row in rows.items() if "f1" in row and not row["error"]}
        has_pdfs = reads_pdfs(rows, documents)
        figures: dict[str, Any] = {}
        for kind, is_pdf in (("pdf", True), ("other", False)):
            own = [row for at, row in texts.items() if documents[at].is_pdf == is_pdf]
            readable = own if has_pdfs or not is_pdf else []
            figures[f"f1_{kind}"] = rounded([row["f1"] for row in readable])
            figures[f"order_{kind}"] = rounded([row["order"] for row in readable])
        for kind in ("tables", "shipped"):
            scores = [
                score
                for at, row in rows.items()
                for score in row.get("tables", ())
                if documents[at].group == kind and has_pdfs
            ]
            label = "tables_made" if kind == "tables" else "tables_real"
            figures[label] = [rounded([each[i] for each in scores]) for i in (0, 1)]
        faults = [row["right"] for row in rows.values() if "right" in row]
        facts = [hit for row in rows.values() for hit in row.get("facts", ())]
        seconds = sum(rows[at]["seconds"] for at in read_by_all) if has_pdfs else None
        figures |= {
            "faults_right": sum(faults),
            "faults_of_its_formats": len(faults),
            "facts_found": sum(facts) if has_pdfs else None,
            "facts": len(facts),
            "pdf_s": None if seconds is None else round(seconds, 2),
            "ms_a_page_long": per(rows, long, sum(pages[at] for at in long)) if has_pdfs else None,
            "ms_short": per(rows, read_by_all - long, len(read_by_all - long))
            if has_pdfs
            else None,
            "import_s": result["import_s"],
            "peak_mib": result["peak_mib"],
            "texts_not_read": sum("f1" in row and bool(row["error"]) for row in rows.values()),
        }
        report[name] = figures
    timed = {"pdfs": len(read_by_all), "pages": sum(pages.values()), "long": len(long)}
    return {"readers": report, "timed": timed}


def per(rows: dict[int, dict[str, Any]], chosen: set[int], number: int) -> float | None:
    """Milliseconds of some documents, divided by a number."""
    seconds = sum(rows[at]["seconds"] for at in chosen)
    return round(1000 * seconds / number, 1) if number else None


def versions(environments: Path, names: Sequence[str]) -> dict[str, str]:
    """The versions of the programs."""
    found = {}
    for name in names:
        python, package = python_of(name, environments), PACKAGES.get(name, name)
        ask = f"from importlib.metadata import version; print(version('{package}'))"
        done = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=False)
        found[name] = done.stdout.strip()
    return {name: version for name, version in found.items() if version}


def python_of(name: str, environments: Path) -> Path:
    if name == "fastkv":
        return Path(sys.executable)
    return environments / name / "bin" / "python"


def main() -> None:
    """Read with each, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=Path, action="append", default=[])
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--only", help="a group of documents: text, tables, faults or shipped")
    arguments = parser.parse_args()
    names = [
        name
        for name in arguments.readers.split(",")
        if python_of(name, arguments.environments).exists()
    ]
    with tempfile.TemporaryDirectory() as folder:
        documents = [
            document
            for document in collect(Path(folder), arguments.documents)
            if arguments.only in {None, document.group}
        ]
        results = {
            name: run(name, python_of(name, arguments.environments), documents) for name in names
        }
        report: dict[str, Any] = summarize(results, documents)
    for name, figures in report["readers"].items():
        print(f"{name:12} {json.dumps(figures)}", file=sys.stderr)
    counts = Counter(document.group for document in documents)
    report |= {
        "versions": versions(arguments.environments, names),
        "cores": os.cpu_count(),
        "documents": dict(counts),
        "rows": {
            document.path.name: {
                name: {
                    key: value if not isinstance(value, float) else round(value, 3)
                    for key, value in result["rows"][at].items()
                }
                for name, result in results.items()
                if at in result["rows"]
            }
            for at, document in enumerate(documents)
            if document.group in {"text", "faults"}
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
