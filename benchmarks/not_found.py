"""Does `fastkv ask` say so when nothing in the document answers the question?

    python benchmarks/not_found.py [--documents FOLDER]

Asks the embedded model the questions of not_found.jsonl, which the shipped texts do not answer:
near ones speak of what the text is about, off ones of something else. The rule was chosen on half
of them ("choose"); the others ("report") were written afterwards. A question on a document of
FOLDER is asked where that is given. The other side are the shipped questions, which the texts do
answer: how many right answers are refused? Resumable. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from evidence_cases import (
    SHIPPED,
    Asker,
    Case,
    folder_cases,
    is_right,
    open_journal,
    share,
    shipped_cases,
)

QUESTIONS = Path(__file__).with_name("not_found.jsonl")


def main() -> None:
    """Ask all questions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=Path)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    folder = arguments.documents
    answerable = shipped_cases() + (folder_cases(folder) if folder else [])
    results: dict[str, Any] = {}
    with open_journal() as journal:
        asker = Asker(journal, folder)
        for split in ("choose", "report"):
            for kind in ("near", "off"):
                results[f"{split}_{kind}"] = share(
                    [
                        bool(asker.ask(Case(row["doc"], row["question"]))["refused"])
                        for row in rows
                        if (row["split"], row["kind"]) == (split, kind)
                        and any((at / row["doc"]).is_file() for at in (SHIPPED, folder) if at)
                    ]
                )
        asked = [(case, asker.ask(case)) for case in answerable]
        right = [bool(row["refused"]) for case, row in asked if is_right(case, row["answer"])]
        wrong = [bool(row["refused"]) for case, row in asked if not is_right(case, row["answer"])]
        results["right_answers_refused"] = share(right)
        results["wrong_answers_refused"] = share(wrong)
        results["refused_wrongly"] = [
            {"question": case.question, "answer": row["answer"], "reason": row["refused"]}
            for case, row in asked
            if row["refused"] and is_right(case, row["answer"])
        ]
    print(json.dumps(results, ensure_ascii=False))


if __name__ == "__main__":
    main()
