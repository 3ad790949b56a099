"""Do summaries say what the text says? Facts found, unsupported sentences, repetitions.

    python benchmarks/summaries.py [--style STYLE] [--length medium] [--model MODEL] [--texts FILE…]

Summarizes the bundled texts and the examples, or the given texts, with the embedded model or MODEL,
and checks each summary:

- facts: how many of those in summary_facts.jsonl it states;
- unsupported: sentences that have a name or number which the text has not, or too few words in
  common with any place of it (see `fastkv_cli.evidence.support`);
- repeated: sentences that say the same as an earlier one; looped words: words in runs of six that
  occurred before.

Some minutes on 2 cores. Resumable. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence_cases import SHIPPED
from task_work import make_work, tell

from fastkv_cli import Document, Engine, load_document
from fastkv_cli.config import (
    DEFAULT_MAX_TOKENS,
    EMBEDDED_MODEL,
    Length,
    MethodSettings,
    Preset,
)
from fastkv_cli.evaluation.quality.summaries import check_summary
from fastkv_cli.evidence import index_documents
from fastkv_cli.evidence.support import MIN_SUPPORT, share_supported
from fastkv_cli.store.journal import Journal
from fastkv_cli.summary_style import Style
from fastkv_cli.tasks import Outcome, summarize
from fastkv_cli.tasks.corpus import join_documents
from fastkv_cli.tasks.sentences import find_sentences
from fastkv_cli.tasks.summary import default_style
from fastkv_cli.version import __version__

HERE = Path(__file__).resolve().parent
FACTS = HERE / "summary_facts.jsonl"
EXAMPLES = HERE.parent / "examples"
CHECK_TOKENS = 2000  # of the parts by which the order of a summary is checked


def shipped_texts() -> list[Path]:
    """The texts that have facts, in the order of the file."""
    names = dict.fromkeys(json.loads(line)["doc"] for line in FACTS.read_text("utf-8").splitlines())
    return [
        next(at / name for at in (SHIPPED, EXAMPLES) if (at / name).is_file()) for name in names
    ]


def find_facts(doc: str, summary: str) -> dict[str, bool]:
    """The facts of a text, and whether a summary states each."""
    rows = [json.loads(line) for line in FACTS.read_text("utf-8").splitlines()]
    said = " ".join(summary.casefold().split())
    return {
        row["fact"]: any(all(part.casefold() in said for part in parts) for parts in row["any_of"])
        for row in rows
        if row["doc"] == doc
    }


def write_summary(
    engine: Engine, document: Document, length: Length, style: Style | None
) -> dict[str, Any]:
    """Summarize a text; the summary, and the seconds it took."""
    corpus = join_documents([document], engine.tokenizer)
    settings = MethodSettings(usual_preset=Preset.QUALITY)
    work = make_work(engine, corpus, DEFAULT_MAX_TOKENS[length], settings)
    started = time.perf_counter()
    *_, outcome = summarize(work, length, style)
    assert isinstance(outcome, Outcome)
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "tokens": corpus.num_tokens,
        "parts": outcome.reading.parts,
        "summary": outcome.generation.text,
    }


def check(
    engine: Engine, document: Document, length: Length, row: dict[str, Any]
) -> dict[str, Any]:
    """What a summary says, and what is wrong with it."""
    corpus = join_documents([document], engine.tokenizer)
    parts = [engine.tokenizer.decode(corpus.token_ids[part]) for part in corpus.split(CHECK_TOKENS)]
    form = check_summary(row["summary"], length, parts)
    index = index_documents([document])
    support = [
        (round(share_supported(sentence.text, index), 2), sentence.text)
        for sentence in find_sentences(row["summary"])
    ]
    return {
        **row,
        "facts": find_facts(Path(document.path).name, row["summary"]),
        "sentences": len(support),
        "unsupported": [[share, text] for share, text in support if share < MIN_SUPPORT],
        "repeated": form.repeated,
        "looped_words": form.looped_words,
        "is_as_long_as_asked": form.is_as_long_as_asked,
        "ends_whole": form.ends_whole,
    }


def add_up(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sums over all texts."""
    sentences = sum(row["sentences"] for row in rows)
    unsupported = sum(len(row["unsupported"]) for row in rows)
    return {
        "facts_found": sum(sum(row["facts"].values()) for row in rows),
        "facts": sum(len(row["facts"]) for row in rows),
        "sentences": sentences,
        "unsupported": unsupported,
        "share_unsupported": round(unsupported / max(sentences, 1), 3),
        **{
            name: sum(row[name] for row in rows)
            for name in ("repeated", "looped_words", "is_as_long_as_asked", "ends_whole")
        },
        "texts": len(rows),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=Length, choices=list(Length), default=Length.MEDIUM)
    parser.add_argument("--style", type=Style, choices=list(Style), help="else the default")
    parser.add_argument("--texts", type=Path, nargs="+")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    length = arguments.length
    engine = Engine.load(arguments.model)
    report: dict[str, Any] = {
        "model": engine.loaded.name,
        "length": str(length),
        "style": str(arguments.style or default_style(engine.loaded.name)),
    }
    rows = []
    settings = {**report, "fastkv": __version__, "revision": engine.loaded.revision}
    with Journal("summaries", settings) as journal:
        for path in arguments.texts or shipped_texts():
            document = load_document(str(path))
            if path.name not in journal.results:
                journal.add(path.name, write_summary(engine, document, length, arguments.style))
            row = check(engine, document, length, journal.results[path.name])
            rows.append({"text": path.name, **row})
            tell(f"{path.name}: {row['summary']}")
        journal.finish()
    print(json.dumps({**report, **add_up(rows), "rows": rows}, ensure_ascii=False))


if __name__ == "__main__":
    main()
