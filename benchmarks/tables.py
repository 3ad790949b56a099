"""How well do the cells of tables in PDFs come out, and does the text around them stay as it was?

    python benchmarks/tables.py [--documents FOLDER]

The made tables of made_tables.py, and 17 of real documents in `questions/tables.json`, checked by
eye, whose files are in FOLDER. F1 of pairs of neighbouring cells, in rows and in columns, of the
tables in fastkv's text, and of pypdf's text with gaps of two spaces and more as borders. On all
documents of FOLDER, the F1 of pairs of successive words beside pypdf's text, and the times.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from statistics import mean

from made_tables import Cells, make_tables
from pypdf import PdfReader

from fastkv_cli.documents.clean import clean_page, join_pages
from fastkv_cli.documents.glyphs import drop_slashes
from fastkv_cli.documents.page_tables import page_break
from fastkv_cli.documents.pdf_text import TextReader
from fastkv_cli.documents.reading_order import extract_text

REAL = Path(__file__).parent / "questions" / "tables.json"
SLOW_S = 2.0  # a document with a page that takes longer was made to be slow
WORD = re.compile(r"\w+")
Pairs = Counter[tuple[str, str]]


def neighbours(cells: Cells) -> tuple[Pairs, Pairs]:
    """Pairs of neighbours in rows and in columns, empty cells passed over."""
    rows: Pairs = Counter()
    columns: Pairs = Counter()
    width = max(map(len, cells), default=0)
    for row in cells:
        rows.update(pairwise(filter(None, map(plain, row))))
    for at in range(width):
        columns.update(pairwise(filter(None, (plain(row[at]) for row in cells if at < len(row)))))
    return rows, columns


def plain(cell: str) -> str:
    """A cell without white space, and without what marks hyphens at line ends."""
    return "".join(cell.split()).replace("-", "").replace("¦", "|").replace("\\|", "|")


def f1(found: Counter[tuple[str, str]], wanted: Counter[tuple[str, str]]) -> float:
    hits = (found & wanted).total()
    return 2 * hits / max(found.total() + wanted.total(), 1)


def read_pages(data: bytes, numbers: Sequence[int] | None = None) -> Iterator[tuple[str, str]]:
    """The text of each page, as fastkv reads it and as pypdf does."""
    reader = PdfReader(BytesIO(data))
    if reader.is_encrypted:
        reader.decrypt("")
    texts = TextReader(data, "" if reader.is_encrypted else None, reader)
    for number in numbers or range(1, len(reader.pages) + 1):
        page = reader.pages[number - 1]
        yield clean_page(texts.read(page, number)[0]), drop_slashes(extract_text(page))


def marked_tables(text: str) -> list[Cells]:
    """The tables of a text in which each row is a line of `| a | b |`."""
    tables: list[Cells] = [[]]
    for line in text.split("\n"):
        if line.startswith("| ") and line.endswith(" |"):
            tables[-1].append([cell.strip() for cell in line[1:-1].split(" | ")])
        elif not line.startswith("| ---") and not line.startswith("|  ") and tables[-1]:
            tables.append([])
    return [
        [row for row in table if not all(set(cell) <= {"-"} and cell for cell in row)]
        for table in tables
        if table
    ]


def gap_table(text: str) -> Cells:
    """The lines of a text, cut at gaps of two spaces and more."""
    return [re.split(r" {2,}|\t", line.strip()) for line in text.split("\n") if line.strip()]


def join(tables: Sequence[Cells]) -> Cells:
    """The parts of a table on several pages as one; a repeated header counts once."""
    joined: Cells = []
    for table in tables:
        joined += table[1:] if joined and table[0] == joined[0] else table
    return joined


def best(tables: Sequence[Cells], wanted: Cells) -> tuple[float, float]:
    """The scores of the table that is most like the wanted one."""
    rows, columns = neighbours(wanted)
    scores = [(f1(neighbours(t)[0], rows), f1(neighbours(t)[1], columns)) for t in tables]
    return max(scores, default=(0.0, 0.0), key=sum)


def score(data: bytes, wanted: Cells, pages: Sequence[int] | None = None) -> list[float]:
    """Rows and columns of fastkv, then of pypdf's text."""
    texts = list(read_pages(data, pages))
    joined = list(join_pages(dict(enumerate(ours for ours, _ in texts))).values())
    whole = joined[0] + "".join(page_break(*pair) + pair[1] for pair in pairwise(joined))
    tables = marked_tables(whole)
    ours = best([*tables, join(tables)] if tables else [], wanted)
    theirs = best([[row for _, text in texts for row in gap_table(text)]], wanted)
    return [*ours, *theirs]


def made_scores(*, verbose: bool) -> dict[str, list[float]]:
    groups: dict[str, list[list[float]]] = defaultdict(list)
    for table in make_tables():
        scores = score(table.data, table.cells)
        groups[table.kind].append(scores)
        if verbose:
            print(f"{table.name:14} " + " ".join(f"{each:.2f}" for each in scores))
    every = [scores for group in groups.values() for scores in group]
    return {name: average(group) for name, group in {**groups, "made": every}.items()}


def average(group: Sequence[Sequence[float]]) -> list[float]:
    return [round(mean(column), 3) for column in zip(*group, strict=True)]


def real_scores(folder: Path, *, verbose: bool) -> list[float]:
    """The scores of the tables of real documents, those of missing files apart."""
    scores = []
    for table in json.loads(REAL.read_text("utf-8")):
        path = next(folder.rglob(table["file"]), None)
        if path is not None:
            scores.append(score(path.read_bytes(), table["cells"], table["pages"]))
            if verbose:
                print(
                    f"{table['file']} {table['pages']} " + " ".join(f"{s:.2f}" for s in scores[-1])
                )
    return average(scores) if scores else []


def text_scores(folder: Path) -> dict[str, float]:
    """Pairs of successive words beside pypdf's text, and milliseconds a page of both."""
    pairs: list[float] = []
    ours_s = theirs_s = 0.0
    for path in sorted(folder.rglob("*.pdf")):
        data = path.read_bytes()
        try:
            reader = PdfReader(BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                continue
            texts = TextReader(data, "" if reader.is_encrypted else None, reader)
            num_pages = min(len(reader.pages), 60)
        except Exception:  # noqa: BLE001 (broken files are not measured)
            continue
        for number in range(1, num_pages + 1):
            page = reader.pages[number - 1]
            try:
                started = time.process_time()
                ours = clean_page(texts.read(page, number)[0])
                between = time.process_time()
                theirs = extract_text(page)
                ended = time.process_time()
            except Exception:  # noqa: BLE001 (broken pages are not measured)
                continue
            if ended - started > SLOW_S:
                break
            if len(theirs.split()) < 20:
                continue
            ours_s += between - started
            theirs_s += ended - between
            words = [WORD.findall(text) for text in (ours, clean_page(theirs))]
            pairs.append(f1(Counter(pairwise(words[0])), Counter(pairwise(words[1]))))
    return {
        "pages": len(pairs),
        "word_pairs_f1": round(mean(pairs), 3),
        "pages_below_0.9": sum(pair < 0.9 for pair in pairs),
        "ms_a_page": round(1000 * ours_s / len(pairs), 1),
        "pypdf_ms_a_page": round(1000 * theirs_s / len(pairs), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=Path)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    report: dict[str, object] = {"made": made_scores(verbose=arguments.verbose)}
    if arguments.documents is not None:
        report["real"] = real_scores(arguments.documents, verbose=arguments.verbose)
        report["text"] = text_scores(arguments.documents)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
