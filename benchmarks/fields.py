"""How many fields of `fastkv ask --schema` are right?

    python benchmarks/fields.py [--samples N] [--seed N] [--model MODEL] [--arms default,full,…]

Makes documents with known fields (see field_documents.py), a fifth of them absent, and asks the
embedded model, or MODEL, for all fields of each: by default settings, with 3 or 6 fields in a
prompt instead of one (the first GROUPED documents), by --method full, and by a plain prompt for
JSON without constraint, which sees as much of a text as the model's window holds. Then the fields
of field_questions.jsonl on the bundled texts. A field is right if its value is the known one, dates
and numbers normalized, or null where it is absent. Resumable. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evidence_cases import SHIPPED
from field_documents import make_documents
from task_work import make_work, tell

from fastkv_cli import Engine, load_document
from fastkv_cli.config import EMBEDDED_MODEL, MethodName, MethodSettings, StoreMode
from fastkv_cli.engine.reuse.states import make_reuse
from fastkv_cli.fields.dates import read_date
from fastkv_cli.fields.field import FieldKind, Schema
from fastkv_cli.fields.numbers import read_number
from fastkv_cli.fields.read_schema import read_schema
from fastkv_cli.fields.validation import problems
from fastkv_cli.stats import ReadingStats
from fastkv_cli.store.journal import Journal
from fastkv_cli.tasks import Outcome
from fastkv_cli.tasks.corpus import Corpus, join_documents
from fastkv_cli.tasks.fill_schema import FIELDS_A_PROMPT, fill
from fastkv_cli.version import __version__

ARMS = ("default", "3 a prompt", "6 a prompt", "full", "plain")
GROUPED = 24
MAX_TOKENS = 512
REAL = Path(__file__).parent / "field_questions.jsonl"
Row = dict[str, Any]


def read_cases(samples: int, seed: int, folder: Path) -> Iterator[tuple[str, Path, str, Row]]:
    """Each document: its name, its file, its schema as JSON, and its known values."""
    for made in make_documents(samples, seed) if samples else ():
        path = folder / f"{made.name}{'.pdf' if made.is_pdf else '.txt'}"
        path.write_bytes(made.content)
        yield made.name, path, json.dumps(made.schema), made.expected
    if REAL.exists():
        for line in REAL.read_text("utf-8").splitlines():
            row = json.loads(line)
            yield f"real {row['doc']}", SHIPPED / row["doc"], row["schema"], row["expected"]


def fill_in(engine: Engine, corpus: Corpus, schema: Schema, arm: str) -> tuple[Any, bool]:
    """The object that an arm gives, and whether it validates."""
    settings = MethodSettings(MethodName.FULL) if arm == "full" else MethodSettings()
    work = make_work(engine, corpus, MAX_TOKENS, settings)
    if arm == "plain":
        names = {field.name: field.description for field in schema.root.fields}
        task = (
            "Fill in this JSON from the document above; use null for what it does not say. "
            f"Write nothing but the JSON.\n\n{json.dumps(names, ensure_ascii=False)}"
        )
        reading = ReadingStats(1, corpus.num_tokens, corpus.num_tokens)
        token_ids = corpus.token_ids[: work.room(task)]
        *_, last = work.answer(token_ids, task, "", reading, ends_at="")
        assert isinstance(last, Outcome)
        value = read_json(last.generation.text)
        return value, isinstance(value, dict) and not problems(value, schema)
    plans = [work.method, work.scoring_method(8)]
    longest = engine.decoder.shape(engine.decoder.max_context)
    reuse = make_reuse(
        StoreMode.OFF, tell, [each.plan(longest) for each in plans], (), asks_again=True
    )
    number = int(arm.partition(" a prompt")[0]) if "a prompt" in arm else FIELDS_A_PROMPT
    *_, last = fill(replace(work, reuse=reuse), schema, fields_a_prompt=number)
    assert isinstance(last, Outcome)
    assert last.filled is not None
    return last.filled.value, not problems(last.filled.value, schema)


def read_json(text: str) -> Any:
    """The first JSON object in a text; None if there is none."""
    start = text.find("{")
    try:
        return json.JSONDecoder().raw_decode(text[start:])[0] if start >= 0 else None
    except json.JSONDecodeError:
        return None


def plain_value(value: Any, kind: FieldKind) -> Any:
    """A value as it is compared: whatever form a plain prompt gave a date or a number."""
    if isinstance(value, str) and kind is FieldKind.DATE:
        return read_date(value) or value
    if isinstance(value, str) and kind in {FieldKind.NUMBER, FieldKind.INTEGER}:
        return read_number(value)
    if isinstance(value, str):
        words = "".join(c if c.isalnum() else " " for c in value.casefold())
        return " ".join(words.split()) or None
    return value


def judge(value: Any, schema: Schema, expected: Row) -> Row:
    """What became of each field: right, wrong, invented (there is none), or missed (null)."""
    kinds = {field.name: field.kind for field in schema.root.fields}
    judged = {}
    for name, known in expected.items():
        given = plain_value(value.get(name) if isinstance(value, dict) else None, kinds[name])
        wanted = plain_value(known, kinds[name])
        if given == wanted:
            judged[name] = "right"
        else:
            judged[name] = "invented" if wanted is None else "missed" if given is None else "wrong"
    return judged


def figures(judged: Sequence[tuple[str, str, Row, Row]]) -> Row:
    """For each arm and kind of document, the share of fields that are right."""
    found: dict[str, Row] = {}
    for arm in dict.fromkeys(arm for arm, *_ in judged):
        own = [each for each in judged if each[0] == arm]
        groups: dict[str, Counter[str]] = defaultdict(Counter)
        for _, name, _, fates in own:
            made = name.split("-")
            keys = ["real"] if name.startswith("real") else ["made", *made[:3]]
            for key in keys:
                groups[key].update(fates.values())
        found[arm] = {
            "documents": len(own),
            "valid": sum(result["valid"] for _, _, result, _ in own),
            "seconds_a_document": round(sum(each[2]["s"] for each in own) / len(own), 2),
            "fields": {
                key: {"share_right": round(fates["right"] / fates.total(), 3), **fates}
                for key, fates in groups.items()
            },
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--tag", default="", help="of a trial, with results of its own")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--shown", action="store_true", help="print what is wrong")
    options = parser.parse_args()
    started = time.monotonic()
    engine: Engine | None = None
    judged: list[tuple[str, str, Row, Row]] = []
    settings = {
        "seed": options.seed, "model": options.model, "fastkv": __version__, "tag": options.tag
    }  # fmt: skip
    with Journal("fields", settings) as journal, tempfile.TemporaryDirectory() as folder:
        for name, path, given, expected in read_cases(options.samples, options.seed, Path(folder)):
            schema, corpus = read_schema(given), None
            numbers = name.rpartition("-")[2]
            is_first = numbers.isdecimal() and int(numbers) < GROUPED
            for arm in options.arms.split(","):
                if "a prompt" in arm and not is_first:
                    continue
                key = f"{arm} {name}"
                if key not in journal.results:
                    if time.monotonic() - started > options.seconds:
                        continue
                    engine = engine or Engine.load(options.model)
                    corpus = corpus or join_documents([load_document(str(path))], engine.tokenizer)
                    begun = time.monotonic()
                    value, is_valid = fill_in(engine, corpus, schema, arm)
                    seconds = round(time.monotonic() - begun, 2)
                    journal.add(key, {"value": value, "valid": is_valid, "s": seconds})
                    tell(f"{key}: {seconds} s")
                result = journal.results[key]
                fates = judge(result["value"], schema, expected)
                judged.append((arm, name, result, fates))
                for field, fate in fates.items() if options.shown else ():
                    if fate != "right":
                        tell(f"{key} {field}: {expected[field]} {fate}: {result['value'][field]}")
    print(json.dumps({**settings, "arms": figures(judged)}, ensure_ascii=False))


if __name__ == "__main__":
    main()
