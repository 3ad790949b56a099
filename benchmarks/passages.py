"""Does the question's attention, alone, find the sentence with the answer in a long text?

    python benchmarks/passages.py --texts FOLDER --qa FILE.jsonl [--layers 14,18,20] [--model MODEL]

FILE has one object per line: doc (a file in FOLDER), question, answer (verbatim in the text) and
page (1-based, or null). The last line is JSON: for each layer, how often the answer begins in one
of the most attended segments.
"""

from __future__ import annotations

import argparse
import json
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path
from typing import Any

from task_work import make_work

from fastkv_cli import Engine, FastKV, load_document
from fastkv_cli.config import EMBEDDED_MODEL, ReadOptions
from fastkv_cli.tasks.answer_question import PART_TOKENS, score_segments
from fastkv_cli.tasks.corpus import Corpus, join_documents

RANKS = (1, 3, 10)


def answer_segment(corpus: Corpus, case: dict[str, Any]) -> int:
    """The segment in which the answer begins, on its page if one is given."""
    document = corpus.documents[0]
    starts = {page.number: page.start for page in document.pages}
    first = document.text.index(case["answer"], starts.get(case["page"], 0))
    return bisect_right(corpus.segment_index.segments, first, key=lambda each: each.start) - 1


def main() -> None:
    """Score every text longer than one part with each layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--qa", type=Path, required=True)
    parser.add_argument("--layers", default="14,15,17,18,19,20")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    layers = [int(layer) for layer in arguments.layers.split(",")]
    engine = Engine.load(arguments.model)
    found = {layer: dict.fromkeys(RANKS, 0) for layer in layers}
    cases = [json.loads(line) for line in arguments.qa.read_text("utf-8").splitlines()]
    for case in cases:
        document = load_document(str(arguments.texts / case["doc"]), ReadOptions())
        corpus = join_documents([document], engine.tokenizer)
        answer = answer_segment(corpus, case)
        work = make_work(engine, corpus, max_tokens=1)
        for layer in layers:
            work = replace(work, scoring_method=method_at(layer))
            scores = score_segments(work, case["question"], corpus.split(PART_TOKENS)).attention
            rank = sum(score > scores[answer] for score in scores)
            for most in RANKS:
                found[layer][most] += rank < most
        print(case["doc"], case["question"], flush=True)
    print(json.dumps({"model": engine.loaded.name, "questions": len(cases), "found": found}))


def method_at(layer: int) -> Any:
    """FastKV with this TSP layer, for an observation window of n tokens."""
    return lambda window: FastKV(
        tsp_layer=layer, tsp_length=window + 1, capacity=window + 1, window_size=window
    )


if __name__ == "__main__":
    main()
