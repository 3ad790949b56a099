"""Does `fastkv ask` report when nothing in the document is about the question?

    python benchmarks/not_found.py [--documents FOLDER] [--samples N] [--model MODEL]

Asks the embedded model, or MODEL, the questions of not_found.jsonl, which the bundled texts do not
answer: "near" ones are about the subject of the text, "off" ones about something else. The rule was
chosen on half of them ("choose"); the others ("report") were written afterwards. Questions on a
document of FOLDER are only asked if that is given. For the opposite error, it asks the bundled
questions, which the texts do answer: how many correct answers are refused? Resumable. The last line
is JSON.
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

from fastkv_cli import Engine
from fastkv_cli.config import EMBEDDED_MODEL

QUESTIONS = Path(__file__).with_name("not_found.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=Path)
    parser.add_argument("--samples", type=int, help="of each kind, the first so many")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    folder = arguments.documents
    answerable = shipped_cases() + (folder_cases(folder) if folder else [])
    engine = Engine.load(arguments.model)
    results: dict[str, Any] = {"model": engine.loaded.name}
    with open_journal(engine) as journal:
        asker = Asker(engine, journal, folder)
        for split in ("choose", "report"):
            for kind in ("near", "off"):
                cases = [
                    Case(row["doc"], row["question"])
                    for row in rows
                    if (row["split"], row["kind"]) == (split, kind)
                    and any((at / row["doc"]).is_file() for at in (SHIPPED, folder) if at)
                ]
                results[f"{split}_{kind}"] = share(
                    [bool(asker.ask(case)["refused"]) for case in cases[: arguments.samples]]
                )
        asked = [(case, asker.ask(case)) for case in answerable[: arguments.samples]]
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
