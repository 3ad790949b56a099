"""Do the passages that `fastkv ask` chooses from a long text contain the answer?

    python benchmarks/passages.py --texts FOLDER --qa FILE.jsonl [--layers 14,18,20] [--model MODEL]

FILE has one object per line: doc (a file in FOLDER), question, answer (verbatim in the text) and
page (1-based, or null). The last line is JSON: for each layer, how often the passages within a
number of tokens contain the answer.
"""

from __future__ import annotations

import argparse
import json
from bisect import bisect_left, bisect_right
from dataclasses import replace
from pathlib import Path
from typing import Any

from task_work import make_work

from fastkv_cli import Engine, FastKV, load_document
from fastkv_cli.config import EMBEDDED_MODEL, ReadOptions
from fastkv_cli.documents import Document
from fastkv_cli.prompts.prompt import tokenize_text
from fastkv_cli.tasks.answer_question import PART_TOKENS, choose_passages, score_passages
from fastkv_cli.tasks.corpus import join_documents

TOKENS = (1000, 2000, 4000)


def answer_span(document: Document, case: dict[str, Any], tokenizer: Any) -> slice:
    """The tokens of the answer, on its page if one is given."""
    starts = {page.number: page.start for page in document.pages}
    first = document.text.index(case["answer"], starts.get(case["page"], 0))
    tokens = tokenize_text(tokenizer, document.text).starts
    return slice(bisect_right(tokens, first) - 1, bisect_left(tokens, first + len(case["answer"])))


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
    found = {layer: dict.fromkeys(TOKENS, 0) for layer in layers}
    cases = [json.loads(line) for line in arguments.qa.read_text("utf-8").splitlines()]
    for case in cases:
        document = load_document(str(arguments.texts / case["doc"]), ReadOptions())
        corpus = join_documents([document], engine.tokenizer)
        answer = answer_span(document, case, engine.tokenizer)
        work = make_work(engine, corpus, max_tokens=1)
        for layer in layers:
            passages = score_passages(
                replace(work, scoring_method=method_at(layer)),
                case["question"],
                corpus.split(PART_TOKENS),
            )
            for tokens in TOKENS:
                spans = [passage.span for passage in choose_passages(passages, tokens, 0)]
                found[layer][tokens] += any(
                    span.start <= answer.start and answer.stop <= span.stop for span in spans
                )
        print(case["doc"], case["question"], flush=True)
    print(json.dumps({"model": engine.loaded.name, "questions": len(cases), "found": found}))


def method_at(layer: int) -> Any:
    """FastKV with this TSP layer, for an observation window of n tokens."""
    return lambda window: FastKV(
        tsp_layer=layer, tsp_length=window + 1, capacity=window + 1, window_size=window
    )


if __name__ == "__main__":
    main()
