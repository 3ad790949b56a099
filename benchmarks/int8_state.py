"""What keeping document states in 8 bits does to answers: exact against int8, question by question.

    python benchmarks/int8_state.py [--samples N]

The shipped questions on the shipped texts, each asked from the text's state as it is kept exactly
and in 8 bits, with the embedded model. How many answers are right, how many are the same, word for
word, and what a token takes on disk. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from evidence_cases import MAX_TOKENS, Case, is_right, read, share, shipped_cases

from fastkv_cli import Engine
from fastkv_cli.config import EMBEDDED_MODEL, GREEDY, MethodSettings, StoreMode
from fastkv_cli.engine.methods import build_method, build_scoring_method
from fastkv_cli.engine.states import DiskStates, Reuse
from fastkv_cli.stats import StateStats
from fastkv_cli.store import StateStore
from fastkv_cli.tasks import Outcome, Work, ask
from fastkv_cli.tasks.corpus import Corpus, join_documents
from fastkv_cli.tuning import Tuning, load_tuning

LIMIT_BYTES = 5 * 10**9


class Asker:
    """Asks from states that are kept in one way."""

    def __init__(self, engine: Engine, tuning: Tuning, folder: Path, mode: StoreMode) -> None:
        """Keep states in a folder of their own."""
        self._engine, self._tuning = engine, tuning
        self._method = build_method(MethodSettings(), tuning)
        plan = self._method.plan(engine.decoder.shape(engine.decoder.max_context))
        assert plan.tsp is not None
        states = DiskStates(StateStore(folder / mode, LIMIT_BYTES, _tell), mode)
        self._reuse = Reuse(states, plan.tsp.layer)

    def ask(self, corpus: Corpus, question: str) -> tuple[str, StateStats]:
        """The answer, and what was known before."""
        self._reuse.start()
        work = Work(
            engine=self._engine,
            corpus=corpus,
            method=self._method,
            scoring_method=lambda window: build_scoring_method(self._tuning, window),
            max_tokens=MAX_TOKENS,
            sampling=GREEDY,
            on_progress=lambda *_: None,
            check=False,
            reuse=self._reuse,
        )
        *_, outcome = ask(work, question)
        assert isinstance(outcome, Outcome)
        assert outcome.reading.state is not None
        return outcome.generation.text, outcome.reading.state


def _tell(warning: str) -> None:
    print(warning, file=sys.stderr, flush=True)


def measure(case: Case, corpus: Corpus, askers: dict[StoreMode, Asker]) -> dict[str, Any]:
    """One question, from both; texts that were not read before are read first."""
    answers, bytes_of = {}, {}
    for mode, asker in askers.items():
        answer, state = asker.ask(corpus, case.question)
        if not state.tokens_found:
            answer, state = asker.ask(corpus, case.question)
        assert not state.tokens_kept
        answers[mode], bytes_of[mode] = answer, state.bytes_found / state.tokens_found
    exact, int8 = (answers[mode] for mode in askers)
    row = {
        "doc": case.doc,
        "question": case.question,
        "exact": is_right(case, exact),
        "int8": is_right(case, int8),
        "same": exact == int8,
        "bytes_a_token": {str(mode): round(value, 1) for mode, value in bytes_of.items()},
    }
    _tell(json.dumps(row, ensure_ascii=False))
    return row


def main() -> None:
    """Ask all questions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, help="the first so many questions")
    arguments = parser.parse_args()
    engine = Engine.load(EMBEDDED_MODEL)
    tuning = load_tuning(engine.loaded.name, engine.loaded.revision)
    cases = shipped_cases()[: arguments.samples]
    corpora = {
        doc: join_documents([read(doc, None)], engine.tokenizer)
        for doc in dict.fromkeys(case.doc for case in cases)
    }
    with tempfile.TemporaryDirectory() as folder:
        modes = (StoreMode.EXACT, StoreMode.INT8)
        askers = {mode: Asker(engine, tuning, Path(folder), mode) for mode in modes}
        rows = [measure(case, corpora[case.doc], askers) for case in cases]
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
