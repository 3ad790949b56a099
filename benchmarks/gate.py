"""The accuracy gate: which share of full's answers do settings keep, on a fixed list of questions?

    python benchmarks/gate.py [SETTING …] [--questions N] [--fresh] [--model MODEL]

A setting is a preset (`balanced`), a method (`snapkv`), or options of `fastkv ask` in one word:
"--preset fast --dtype float32". Without any: balanced and fast. Each answers the 240 needle, ruler
and qa questions of gate_questions.jsonl, in prompts of 1,000 to 7,000 tokens, as `fastkv ask` does,
and is paired with full on each question. Every answer is kept as soon as it is there, by setting:
the same command resumes, and another one asks only what is new. `--fresh` forgets the answers of
the named settings, as after a change of code. `--questions` asks only the first N, of which every
beginning has all suites and lengths.

Another model's prompts differ, so its questions are not compared with the list. A table in
Markdown; the last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from fastkv_cli.config import EMBEDDED_MODEL, MethodName, Preset, Suite
from fastkv_cli.engine.generate import Engine
from fastkv_cli.engine.methods import Method, build_method
from fastkv_cli.engine.tuning import loaded_content
from fastkv_cli.errors import FastKVError, UsageError
from fastkv_cli.evaluation.quality.quality_run import MAX_ANSWER_TOKENS
from fastkv_cli.evaluation.quality.questions import Question
from fastkv_cli.evaluation.quality.scoring import Interval, contains, mean_interval, ratio_interval
from fastkv_cli.evaluation.quality.setting_search import mix
from fastkv_cli.evaluation.quality.suites import Corpora, Questionnaire, digest
from fastkv_cli.session.loading import load_engine
from fastkv_cli.session.observer import SILENT
from fastkv_cli.session.options import DeviceOptions, MethodOptions, SessionOptions
from fastkv_cli.store.journal import Journal

LIST = Path(__file__).with_name("gate_questions.jsonl")
SAMPLES = {1000: 28, 2000: 28, 4000: 16, 7000: 8}  # of each suite, by length; time grows faster
SEED = 16
# The least share of full's answers: the figure itself, and the lower end of its 95% interval.
BOUNDS = {"fast": (0.88, 0.0)}
DEFAULT_BOUNDS = (0.97, 0.90)
_NUMBERS: dict[str, type] = {"int | None": int, "float | None": float}


@dataclass(frozen=True)
class Setting:
    """What is asked: a method on an engine.

    Attributes:
        name: as it was given.
        engine: the model.
        method: plans every prompt.
        options: the options of the engine.
    """

    name: str
    engine: Engine
    method: Method
    options: Mapping[str, Any]

    def journal(self, questions: Sequence[Question]) -> Journal:
        """The answers of this setting to these questions, on disk."""
        engine = self.engine
        return Journal(
            "gate",
            {
                "content": loaded_content(engine.loaded),
                "dtype": engine.loaded.dtype_name,
                "device": engine.loaded.device.type,
                # what is added later, with a default that changes no answer, changes no key
                "method": {"name": self.method.name, **_settings(self.method)},
                "options": _changed(self.options),
                "questions": digest(questions),
            },
        )


def parse_setting(text: str) -> SessionOptions:
    """A preset, a method, or options as on the command line.

    Raises:
        UsageError: when it is none of them.
    """
    if text in [*Preset]:
        return SessionOptions(preset=Preset(text))
    if text in [*MethodName]:
        return SessionOptions(method=MethodName(text))
    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False, allow_abbrev=False)
    for field in (*fields(MethodOptions), *fields(DeviceOptions)):
        kind = _NUMBERS.get(str(field.type), str)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind)
    try:
        found, unknown = parser.parse_known_args(shlex.split(text))
    except (argparse.ArgumentError, ValueError) as error:
        raise UsageError(f"the setting {text!r} cannot be read: {error}", "see --help") from None
    if unknown or not text.strip():
        raise UsageError(f"the setting {text!r} is unknown", "give a preset, a method or options")
    return SessionOptions(**{name: value for name, value in vars(found).items() if value})


def make_settings(texts: Sequence[str], model: str) -> Iterator[Setting]:
    """The settings; those that differ in the method alone share an engine."""
    engines: dict[str, Engine] = {}
    for text in texts:
        options = parse_setting(text)
        chosen = {field.name: getattr(options, field.name) for field in fields(DeviceOptions)}
        if str(chosen) not in engines:
            engines[str(chosen)] = load_engine(model, options, SILENT)
        engine = engines[str(chosen)]
        method = build_method(options.method_settings(Preset.BALANCED), engine.tuning)
        yield Setting(text, engine, method, chosen)


def draw_questions(tokenizer: Any) -> list[Question]:
    """All questions, of which every beginning has all suites and lengths as far as it can."""
    drawn, texts = [], Corpora()
    for at, (length, samples) in enumerate(SAMPLES.items()):
        asked = Questionnaire(tuple(Suite), (length,), samples, SEED + at)
        drawn += asked.questions(tokenizer, texts)
    return mix(drawn)


def load_questions(engine: Engine, model: str) -> list[Question]:
    """The questions of the list, with their texts.

    Raises:
        SystemExit: when the embedded model's are not those of the list.
    """
    questions = draw_questions(engine.tokenizer)
    listed = [json.loads(line) for line in LIST.read_text("utf-8").splitlines()]
    if model == EMBEDDED_MODEL and [describe(one) for one in questions] != listed:
        raise SystemExit(f"the questions are no longer those of {LIST.name}: earlier figures lapse")
    return questions


def describe(question: Question) -> dict[str, Any]:
    """A question as a line of the list."""
    document = ",".join(map(str, question.document_ids))
    return {
        "key": question.key,
        "question": question.text,
        "answers": list(question.answers),
        "document": hashlib.sha256(document.encode()).hexdigest()[:16],
    }


def ask_all(setting: Setting, questions: Sequence[Question], journal: Journal) -> None:
    """Ask what the journal lacks."""
    for number, question in enumerate(questions, start=1):
        if question.key in journal.results:
            continue
        _tell(f"{setting.name}: {number} of {len(questions)}", end=" \r")
        prompt = question.prompt(setting.engine.tokenizer)
        answer = setting.engine.generate(
            prompt.token_ids, setting.method, MAX_ANSWER_TOKENS, question=prompt.question_span
        )
        found = {
            "correct": contains(answer.text, question.answers),
            "text": answer.text,
            "kept_ratio": answer.kv.kept_ratio,
            "compute_ratio": answer.kv.compute_ratio,
            "ttft_s": answer.stats.ttft_s,
        }
        journal.add(question.key, found)


def summarize(
    name: str, answers: Sequence[Mapping[str, Any]], full: Sequence[float]
) -> dict[str, Any]:
    """A row of the table."""
    correct = [one["correct"] for one in answers]
    of_full = ratio_interval(correct, full, SEED)
    least, least_low = BOUNDS.get(name, DEFAULT_BOUNDS)
    return {
        "setting": name,
        "questions": len(correct),
        "accuracy": mean_interval(correct)._asdict(),
        "of_full": of_full._asdict(),
        "holds": of_full.value >= least and of_full.low >= least_low,
        "lost": sum(one < other for one, other in zip(correct, full, strict=True)),
        "gained": sum(one > other for one, other in zip(correct, full, strict=True)),
        **{
            each: round(fmean(one[each] for one in answers), 4)
            for each in ("compute_ratio", "kept_ratio")
        },
    }


def measure(texts: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Full's answers, then those of each setting."""
    settings = list(make_settings([MethodName.FULL, *texts], arguments.model))
    questions = load_questions(settings[0].engine, arguments.model)
    asked = questions[: arguments.questions]
    found, suites = {}, {}
    for setting in settings:
        with setting.journal(questions) as journal:
            if arguments.fresh and setting.name in arguments.settings:
                journal.finish()
                journal.results.clear()
            ask_all(setting, asked, journal)
            found[setting.name] = [journal.results[each.key] for each in asked]
    full = [one["correct"] for one in found[MethodName.FULL]]
    for suite in Suite:
        at = [number for number, each in enumerate(asked) if each.suite == suite]
        suites[suite] = [
            summarize(name, [answers[one] for one in at], [full[one] for one in at])
            for name, answers in found.items()
            if at
        ]
    return {
        "model": arguments.model,
        "revision": settings[0].engine.loaded.revision,
        "dtype": settings[0].engine.loaded.dtype_name,
        "methods": {setting.name: str(setting.method) for setting in settings},
        "options": {setting.name: _changed(setting.options) for setting in settings},
        "rows": [summarize(name, answers, full) for name, answers in found.items()],
        "suites": suites,
        "correct": {name: [one["correct"] for one in answers] for name, answers in found.items()},
    }


def _settings(method: Method) -> dict[str, str]:
    """The fields of a method that are not at their defaults."""
    values = {field: getattr(method, field.name) for field in fields(method)}  # type: ignore[arg-type]
    return {field.name: str(each) for field, each in values.items() if each != field.default}


def _changed(options: Mapping[str, Any]) -> dict[str, str]:
    defaults = asdict(DeviceOptions())
    return {name: str(value) for name, value in options.items() if value != defaults[name]}


def _table(report: Mapping[str, Any]) -> str:
    names = [*report["suites"]]
    head = ["setting", "n", "accuracy", "of full", *names, "lost, gained", "compute", "kept", ""]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for at, row in enumerate(report["rows"]):
        by_suite = [report["suites"][name] for name in names]
        cells = [
            row["setting"],
            str(row["questions"]),
            _percent(row["accuracy"]),
            _percent(row["of_full"]),
            *(f"{rows[at]['of_full']['value']:.0%}" if rows else "–" for rows in by_suite),
            f"{row['lost']}, {row['gained']}",
            f"{row['compute_ratio']:.0%}",
            f"{row['kept_ratio']:.0%}",
            "holds" if row["holds"] else "does not hold",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(figures: Mapping[str, float]) -> str:
    interval = Interval(**figures)
    return f"{interval.value:.1%} [{interval.low:.1%}–{interval.high:.1%}]"


def _tell(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", default=[Preset.BALANCED, Preset.FAST])
    parser.add_argument("--questions", type=int, metavar="N", help="only the first N")
    parser.add_argument("--fresh", action="store_true", help="forget the settings' answers")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    # an option string begins with dashes, so that argparse takes it for an option
    given = [f" {word}" if " " in word.strip() else word for word in sys.argv[1:]]
    arguments = parser.parse_args(given)
    arguments.settings = [text.strip() for text in arguments.settings]
    texts = [text for text in dict.fromkeys(arguments.settings) if text != MethodName.FULL]
    try:
        report = measure(texts, arguments)
    except FastKVError as error:
        raise SystemExit(str(error)) from error
    print(_table(report))
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
