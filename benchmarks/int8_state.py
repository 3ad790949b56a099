"""How do document states in 8 bits change answers? Compares exact and int8 by question.

    python benchmarks/int8_state.py [--samples N] [--model MODEL]

The bundled questions on the bundled texts, each answered from the text's state as stored exactly
and in 8 bits, by the embedded model or MODEL, whose window has to hold the texts. Reports how many
answers are correct, how many are the same, word for word, and the bytes per token on disk. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from evidence_cases import MAX_TOKENS, Case, is_right, read, share, shipped_cases
from task_work import make_work, tell

from fastkv_cli import Engine
from fastkv_cli.config import EMBEDDED_MODEL, StoreMode
from fastkv_cli.engine.reuse.states import DiskStates, Reuse
from fastkv_cli.stats import StateStats
from fastkv_cli.store import StateStore
from fastkv_cli.tasks import Outcome, Work, ask
from fastkv_cli.tasks.corpus import join_documents

LIMIT_BYTES = 5 * 10**9


def answer_from(states: DiskStates, work: Work, question: str) -> tuple[str, StateStats]:
    """The answer, and the statistics of the states used."""
    plan = work.method.plan(work.engine.decoder.shape(work.engine.decoder.max_context))
    assert plan.tsp is not None
    *_, outcome = ask(replace(work, reuse=Reuse(states, plan.tsp.layer)), question)
    assert isinstance(outcome, Outcome)
    assert outcome.reading.state is not None
    return outcome.generation.text, outcome.reading.state


def measure(case: Case, work: Work, stores: dict[StoreMode, DiskStates]) -> dict[str, Any]:
    """Ask one question from both states; a text without a state is prefilled first."""
    answers, bytes_of = {}, {}
    for mode, states in stores.items():
        answer, state = answer_from(states, work, case.question)
        if not state.tokens_found:
            answer, state = answer_from(states, work, case.question)
        assert not state.tokens_kept
        answers[mode], bytes_of[mode] = answer, state.bytes_found / state.tokens_found
    exact, int8 = (answers[mode] for mode in stores)
    row = {
        "doc": case.doc,
        "question": case.question,
        "exact": is_right(case, exact),
        "int8": is_right(case, int8),
        "same": exact == int8,
        "bytes_a_token": {str(mode): round(value, 1) for mode, value in bytes_of.items()},
    }
    tell(json.dumps(row, ensure_ascii=False))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, help="the first so many questions")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    engine = Engine.load(arguments.model)
    cases = shipped_cases()[: arguments.samples]
    works = {}
    for doc in dict.fromkeys(case.doc for case in cases):
        corpus = join_documents([read(doc, None)], engine.tokenizer)
        works[doc] = make_work(engine, corpus, MAX_TOKENS, check=False)
    with tempfile.TemporaryDirectory() as folder:
        stores = {
            mode: DiskStates(StateStore(Path(folder) / mode, LIMIT_BYTES, tell), mode)
            for mode in (StoreMode.EXACT, StoreMode.INT8)
        }
        rows = [measure(case, works[case.doc], stores) for case in cases]
    report = {
        "model": engine.loaded.name,
        "questions": len(rows),
        "right_exact": share([row["exact"] for row in rows]),
        "right_int8": share([row["int8"] for row in rows]),
        "right_only_exact": sum(row["exact"] and not row["int8"] for row in rows),
        "right_only_int8": sum(row["int8"] and not row["exact"] for row in rows),
        "same_answer": share([row["same"] for row in rows]),
        "bytes_a_token": rows[0]["bytes_a_token"],
        "rows": rows,
    }
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
