"""A 300-page PDF, summarized and asked: are its facts found, and does memory stay flat?

    python benchmarks/long_document.py --texts FILE… [--pages 300] [--only facts,memory,summaries]
        [--facts 24] [--output FILE.json]

The PDF is made of the texts, with facts planted from the first page to the last (see long_pdf.py).
Three measurements:

- facts: each is asked of the whole PDF, and of its page alone. The result is the ratio.
- memory: the peak of `fastkv summarize` and `fastkv ask` on the first sixth, half, and all of it,
  each in a separate process.
- summaries: of every text and of the PDF, short, medium and long, checked by
  `fastkv_cli.evaluation.quality.summaries`.

With the embedded model and nothing else running, everything takes about an hour on 2 cores.
Results are saved as they come, so that an interrupted run can be resumed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone

from fastkv_process import run_fastkv
from long_pdf import FACTS, Planted, make_pages, spread, write_pdf
from task_work import make_work, tell

from fastkv_cli import Document, Engine, load_document
from fastkv_cli.config import (
    DEFAULT_ANSWER_TOKENS,
    DEFAULT_MAX_TOKENS,
    EMBEDDED_MODEL,
    Length,
    MethodSettings,
    PageRange,
    Preset,
    ReadOptions,
)
from fastkv_cli.engine.generation import Piece
from fastkv_cli.engine.reuse.states import make_reuse
from fastkv_cli.evaluation.quality.scoring import contains
from fastkv_cli.evaluation.quality.summaries import check_summary
from fastkv_cli.settings import store_mode
from fastkv_cli.store.journal import Journal
from fastkv_cli.tasks import Outcome, Work, ask, gather_evidence, summarize
from fastkv_cli.tasks.corpus import join_documents

CHECK_TOKENS = 2000  # of the parts by which the order of a summary is checked
Once = Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]


def open_document(engine: Engine, document: Document, preset: Preset, max_tokens: int) -> Work:
    """The work of a task on a document, with states from earlier tasks."""
    corpus = join_documents([document], engine.tokenizer)
    work = make_work(engine, corpus, max_tokens, MethodSettings(usual_preset=preset))
    long = engine.decoder.shape(engine.decoder.max_context)
    plans = [method.plan(long) for method in (work.method, work.scoring_method(8))]
    return replace(work, reuse=make_reuse(store_mode(None), tell, plans, (document.path,)))


def answer(work: Work, question: str) -> tuple[str, int | None]:
    """The answer that a user would see, and the page that is cited first."""
    said, pages = "", []
    for event in ask(work, question):
        if isinstance(event, Piece):
            said += event.text
        else:
            pages = [
                each.page for each in gather_evidence(event, work.corpus, check=True).citations
            ]
    return said, (pages or [None])[0]


def find_facts(engine: Engine, pdf: Path, planted: Sequence[Planted], once: Once) -> dict[str, Any]:
    """Ask for every fact twice: of the whole PDF, and of its page."""
    whole = open_document(engine, load_document(str(pdf)), Preset.BALANCED, DEFAULT_ANSWER_TOKENS)
    rows = []
    for each in planted:

        def measure(each: Planted = each) -> dict[str, Any]:
            options = ReadOptions(pages=PageRange.parse(str(each.page)))
            page = open_document(
                engine, load_document(str(pdf), options), Preset.BALANCED, DEFAULT_ANSWER_TOKENS
            )
            started = time.perf_counter()
            said, cited = answer(whole, each.fact.question)
            seconds = time.perf_counter() - started
            alone, _ = answer(page, each.fact.question)
            return {
                **asdict(each.fact),
                "page": each.page,
                "cited_page": cited,
                "whole": contains(said, [each.fact.answer]),
                "right_page": contains(alone, [each.fact.answer]),
                "said": said,
                "said_of_the_page": alone,
                "seconds": round(seconds, 1),
            }

        rows.append(once(f"fact {each.page} {each.fact.question}", measure))
        tell(f"page {each.page}: {rows[-1]['whole']:.0f}")
    found, alone = (sum(row[name] for row in rows) for name in ("whole", "right_page"))
    cited = [row["cited_page"] == row["page"] for row in rows if row["whole"]]
    return {
        "facts": len(rows),
        "tokens": whole.corpus.num_tokens,
        "found_in_the_whole": found / len(rows),
        "found_on_the_right_page": alone / len(rows),
        "ratio": found / alone if alone else None,
        "cited_page_is_right": {"hits": sum(cited), "of": len(cited)},
        "rows": rows,
    }


def measure_memory(
    model: str, folder: Path, pages: Sequence[str], once: Once
) -> list[dict[str, Any]]:
    """Peak memory of both commands on a sixth, half, and all of the pages."""
    rows = []
    for num_pages in sorted({max(len(pages) // 6, 1), max(len(pages) // 2, 1), len(pages)}):
        pdf = folder / f"{num_pages}.pdf"
        pdf.write_bytes(write_pdf(pages[:num_pages]))
        for command in (["summarize", str(pdf)], ["ask", str(pdf), FACTS[0].question]):
            row = once(f"memory {num_pages} {command[0]}", partial(run_command, model, command))
            rows.append({"command": command[0], "pages": num_pages, **row})
            tell(json.dumps(rows[-1]))
    return rows


def run_command(model: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run fastkv; returns the statistics that it reports.

    The system's figure for a child starts at the memory that this process held when it forked.
    """
    started = time.perf_counter()
    report = json.loads(run_fastkv([*arguments, "--model", model]))
    return {
        "tokens": report["reading"]["tokens_read"],
        "parts": report["reading"]["parts"],
        "seconds": round(time.perf_counter() - started, 1),
        "peak_memory_bytes": report["stats"]["peak_memory_bytes"],
    }


def check_summaries(engine: Engine, paths: Sequence[Path], once: Once) -> list[dict[str, Any]]:
    """Check summaries of every length."""
    rows = []
    for path in paths:
        document = load_document(str(path))
        for length in Length:

            def measure(length: Length = length, document: Document = document) -> dict[str, Any]:
                work = open_document(engine, document, Preset.QUALITY, DEFAULT_MAX_TOKENS[length])
                started = time.perf_counter()
                *_, outcome = summarize(work, length)
                assert isinstance(outcome, Outcome)
                parts = work.corpus.split(CHECK_TOKENS)
                texts = [engine.tokenizer.decode(work.corpus.token_ids[part]) for part in parts]
                found = check_summary(outcome.generation.text, length, texts)
                return {
                    "tokens": work.corpus.num_tokens,
                    "parts": outcome.reading.parts,
                    "seconds": round(time.perf_counter() - started, 1),
                    **asdict(found),
                    "is_sound": found.is_sound,
                    "summary": outcome.generation.text,
                }

            row = once(f"summary {path.name} {length}", measure)
            rows.append({"text": path.name, "length": str(length), **row})
            tell(f"{path.name}, {length}: {rows[-1]['is_sound']}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, nargs="+", required=True)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--facts", type=int, default=len(FACTS))
    parser.add_argument("--only", default="facts,memory,summaries")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    texts = [load_document(str(path)).text for path in arguments.texts]
    facts = spread(FACTS)[: arguments.facts]
    pages, planted = make_pages(texts, arguments.pages, facts)
    engine = Engine.load(arguments.model)
    report: dict[str, Any] = {
        "model": engine.loaded.name,
        "revision": engine.loaded.revision,
        "dtype": str(engine.decoder.dtype),
        "device": engine.decoder.device.type,
        "pages": len(pages),
        "characters": sum(map(len, pages)),
    }
    with (
        tempfile.TemporaryDirectory() as temporary,
        Journal(
            "long-document", report | {"pdf": sha256("".join(pages).encode()).hexdigest()}
        ) as journal,
    ):
        folder = Path(temporary)
        pdf = folder / "long.pdf"
        pdf.write_bytes(write_pdf(pages))

        def once(key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
            if key not in journal.results:
                journal.add(key, measure())
            return journal.results[key]

        if "facts" in wanted:
            report["facts"] = find_facts(engine, pdf, planted, once)
        if "memory" in wanted:
            report["memory"] = measure_memory(arguments.model, folder, pages, once)
        if "summaries" in wanted:
            report["summaries"] = check_summaries(engine, [*arguments.texts, pdf], once)
        if arguments.output is not None:
            arguments.output.write_text(
                json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
            )
        journal.finish()
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
