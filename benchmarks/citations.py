"""Does `fastkv ask` cite the right page?

    python benchmarks/citations.py [--documents FOLDER] [--samples N] [--model MODEL]

Asks the embedded model, or MODEL, the bundled questions on the bundled texts, split into pages,
and those of FOLDER's qa.jsonl (doc, question, answer, and page, 1-based) on its documents. Among
the correct answers: is the cited page the one that contains the answer? Resumable. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence_cases import (
    Asker,
    Case,
    folder_cases,
    holds,
    is_right,
    open_journal,
    share,
    shipped_cases,
)

from fastkv_cli import Engine
from fastkv_cli.config import EMBEDDED_MODEL


def figures(asker: Asker, cases: Sequence[Case]) -> dict[str, Any]:
    """How often the right page is cited, by the criteria that choose it."""
    asked = [(case, asker.ask(case)) for case in cases]
    right = [(case, row) for case, row in asked if is_right(case, row["answer"])]
    wrong = [
        {
            "question": case.question,
            "answer": row["answer"],
            "page": case.page,
            "pages": row["pages"],
        }
        for case, row in right
        if row["pages"][:1] != [case.page]
    ]
    return {
        "asked": len(asked),
        "right": len(right),
        "verdicts": dict(Counter(str(row["verdict"]) for _, row in asked)),
        "verdicts_of_right_answers": dict(Counter(str(row["verdict"]) for _, row in right)),
        "second_looks": sum(row["looks"] == 2 for _, row in asked),
        "cited_page_is_the_listed_one": share([r["pages"][:1] == [c.page] for c, r in right]),
        "cited_page_holds_the_answer": share(
            [
                holds(asker.corpus(case.doc).documents[0], (row["pages"] or [None])[0], case.answer)
                for case, row in right
            ]
        ),
        "listed_page_is_among_those_cited": share([c.page in r["pages"] for c, r in right]),
        "by_words_alone": share([r["page_by_words"] == c.page for c, r in right]),
        "by_attention_alone": share(
            [r["page_by_attention"] == c.page for c, r in right if r["page_by_attention"]]
        ),
        "evidence_s_of_reading_s": round(
            sum(row["evidence_s"] for _, row in asked) / sum(row["reading_s"] for _, row in asked),
            5,
        ),
        "wrong": wrong,
        "not_in_document": [
            {"question": case.question, "answer": row["answer"], "missing": row["missing"]}
            for case, row in asked
            if row["missing"]
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=Path)
    parser.add_argument("--samples", type=int, help="of each kind, the first so many")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    sets = {"shipped": shipped_cases()}
    if arguments.documents is not None:
        sets["documents"] = folder_cases(arguments.documents)
    engine = Engine.load(arguments.model)
    results: dict[str, Any] = {"model": engine.loaded.name}
    with open_journal(engine) as journal:
        asker = Asker(engine, journal, arguments.documents)
        results |= {
            name: figures(asker, cases[: arguments.samples]) for name, cases in sets.items()
        }
        every = [case for cases in sets.values() for case in cases[: arguments.samples]]
        results["all"] = figures(asker, every)
    print(json.dumps(results, ensure_ascii=False))


if __name__ == "__main__":
    main()
