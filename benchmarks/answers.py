"""Are the answers of `fastkv ask` right, supported, and quoted from the right place?

    python benchmarks/answers.py [--questions FILE.jsonl ...] [--samples N] [--model MODEL]

Asks the embedded model, or MODEL, by default settings, the bundled questions on the bundled texts,
and those of each FILE (doc, beside it; question; answer, with page or evidence, if the document
answers it; kind, if it does not). An answer is right if it contains the known one; a quote, if it
holds that, and is in place if it is on its page, or within two lines of its evidence. Resumable.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evidence_cases import MAX_TOKENS, SHIPPED, share
from quotes_found import Question, Texts, is_placed, locate

import fastkv_cli as fastkv
from fastkv_cli.config import EMBEDDED_MODEL
from fastkv_cli.evaluation.quality.scoring import contains
from fastkv_cli.session.session import Session
from fastkv_cli.stats import Verdict
from fastkv_cli.store.journal import Journal
from fastkv_cli.version import __version__

Row = dict[str, Any]
Judged = dict[str, Any]


def read_rows(file: Path, samples: int | None) -> list[Row]:
    """The questions of a file, those on the same document together."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return sorted(rows[:samples], key=lambda row: str(row["doc"]))


def ask_all(file: Path, rows: Sequence[Row], model: str, journal: Journal) -> Iterator[Judged]:
    """What became of each question; a document is opened once, and only if it is needed."""
    texts = Texts()
    session: Session | None = None
    opened = ""
    for row in rows:
        key = f"{file} {row['doc']} {row['question']}"
        if key not in journal.results:
            if session is None or opened != row["doc"]:
                if session is not None:
                    session.close()
                opened, path = row["doc"], str(file.parent / row["doc"])
                session = fastkv.open(path, model=model, max_tokens=MAX_TOKENS)
            journal.add(key, judge(session, row, texts, file.parent / opened))
            print(f"{row['doc']}: {row['question']} {journal.results[key]}", flush=True)
        yield journal.results[key]
    if session is not None:
        session.close()


def judge(session: Session, row: Row, texts: Texts, path: Path) -> Judged:
    """Ask a question, and compare the answer and its quotes with what is known."""
    answer = session.ask(row["question"])
    known = row.get("answer", "")
    document = texts.index(path).index.documents[0]
    page = row.get("page") if document.pages else None
    span = None if page or not row.get("evidence") else locate(document, row["evidence"])
    question = Question(row["question"], known, page, span)
    held, placed = [], []
    for quote in answer.quotes:
        first = next((each.start for each in document.pages if each.number == quote.page), 0)
        start = document.text.find(quote.text, first)
        held.append(bool(known) and contains(quote.text, [known]) == 1)
        is_known = page is not None or span is not None
        placed.append(is_known and is_placed(question, document, (start, start + len(quote.text))))
    return {
        "answer": answer.text,
        "right": bool(known) and contains(answer.text, [known]) == 1,
        "verdict": answer.verdict,
        "looks": answer.report.reading.looks,
        "held": held,
        "placed": placed,
        "ttft_s": answer.report.ttft_s,
    }


def figures(rows: Sequence[Row], results: Sequence[Judged]) -> dict[str, Any]:
    """Shares of right answers, quotes and verdicts."""
    known = [each for row, each in zip(rows, results, strict=True) if row.get("answer")]
    found: dict[str, Any] = {}
    if known:
        found = {
            "right": share([each["right"] for each in known]),
            "answer_in_first_quote": share([each["held"][:1] == [True] for each in known]),
            "answer_in_three_quotes": share([any(each["held"]) for each in known]),
            "first_quote_in_place": share([each["placed"][:1] == [True] for each in known]),
            "said_to_be_not_found": share([each["verdict"] == Verdict.NOT_FOUND for each in known]),
            "second_looks": sum(each["looks"] == 2 for each in known),
            "verdicts": {
                name: dict(
                    Counter(str(each["verdict"]) for each in known if each["right"] is value)
                )
                for name, value in (("right", True), ("wrong", False))
            },
        }
    for kind in sorted({str(row["kind"]) for row in rows if not row.get("answer")}):
        some = [each for row, each in zip(rows, results, strict=True) if row.get("kind") == kind]
        found[f"{kind}_said_to_be_not_found"] = share(
            [each["verdict"] == Verdict.NOT_FOUND for each in some]
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=Path, nargs="*", default=[])
    parser.add_argument("--samples", type=int, help="of each file, the first so many")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"model": arguments.model}
    settings = {"fastkv": __version__, "model": arguments.model, "round": 1}
    with Journal("answers", settings) as journal:
        for file in (SHIPPED / "qa.jsonl", *arguments.questions):
            rows = read_rows(file, arguments.samples)
            name = "shipped" if file.parent == SHIPPED else f"{file.parent.name}/{file.name}"
            judged = list(ask_all(file, rows, arguments.model, journal))
            results[name] = {"questions": len(rows), **figures(rows, judged)}
    print(json.dumps(results, ensure_ascii=False))


if __name__ == "__main__":
    main()
