"""One evaluation from the first question to the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from ...cli.measure_command import Bench, render
from ...cli.options import MeasureOptions
from ...config import Budget, MethodName, Preset, Suite
from ...engine.tuning import tuning_json, tuning_path
from ...errors import OutputError, UsageError
from ...output.output_file import write_file
from ...store.journal import Journal
from ..arms import make_arms
from .calibration import BUDGETS, choose_presets, measure_settings, scoring_layer
from .head_scores import profile_heads
from .heatmap import heatmap_png
from .quality_report import EvaluationReport, summarise
from .quality_run import MAX_ANSWER_TOKENS, ask_all, time_all
from .quality_tables import as_csv, as_json, as_tables, calibration_tables, head_tables
from .suites import Questionnaire, digest, load_haystack

CALIBRATION_LENGTHS = (1000, 2000, 4000)
EVALUATIONS = "evaluations"  # the kind of their journals
Form = Literal["table", "json", "csv"]


def evaluate_model(
    bench: Bench,
    asked: Questionnaire,
    names: Sequence[MethodName | Preset],
    budgets: Sequence[Budget],
    form: Form,
    heatmap: Path | None,
) -> str:
    """Ask all questions, and give the report in the form wanted.

    Raises:
        FastKVError: whatever went wrong; what was measured before is kept for the next run.
    """
    report = _measure(bench, asked, names, budgets)
    if heatmap is not None:
        write_file(heatmap, heatmap_png(report.needles))
    if form == "json":
        return as_json(report)
    return as_csv(report) if form == "csv" else render(*as_tables(report))


def calibrate_model(
    bench: Bench,
    texts: Path | None,
    tolerance: float,
    samples: int,
    seed: int,
    options: MeasureOptions,
) -> str:
    """Measure every setting, keep the choice for this model, and give the table.

    Raises:
        FastKVError: whatever went wrong; then nothing is kept.
    """
    lengths = bench.fitting(CALIBRATION_LENGTHS, MAX_ANSWER_TOKENS)
    each = -(-samples // (2 * len(lengths)))
    asked = Questionnaire((Suite.NEEDLE, Suite.RULER), lengths, each, seed, texts)
    questions = asked.questions(bench.engine.tokenizer)
    with Journal(EVALUATIONS, {**bench.stamp, "calibrate": digest(questions)}) as journal:
        settings = measure_settings(bench, questions, BUDGETS[Preset.BALANCED], journal)
        presets = choose_presets(settings, tolerance)
        measured = {
            **bench.stamp,
            "tolerance": tolerance,
            "seed": seed,
            "questions": len(questions),
            "lengths": lengths,
            "presets": presets,
            "scoring_layer": scoring_layer(settings),
            "settings": [asdict(setting) for setting in settings],
        }
        text = _keep(bench, "calibration", measured)
        bench.when_written.append(journal.finish)
    return text if options.json else render(*calibration_tables(settings, presets, tolerance))


def score_heads(
    bench: Bench, samples: int, seed: int, texts: Path | None, options: MeasureOptions
) -> str:
    """Score the heads, keep the scores for this model, and give the best of them.

    Raises:
        FastKVError: whatever went wrong; then nothing is kept.
    """
    haystack = load_haystack(texts, bench.engine.tokenizer)
    measured = profile_heads(bench, haystack, samples, seed)
    text = _keep(bench, "heads", measured)
    return text if options.json else render(*head_tables(measured))


def _keep(bench: Bench, kind: str, measured: Mapping[str, Any]) -> str:
    """Put a measurement where `load_tuning` finds it; gives it as text."""
    loaded = bench.engine.loaded
    path = tuning_path(kind, loaded.name, loaded.revision)
    text = tuning_json(loaded.name, loaded.revision, measured)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror})", "free some space") from error
    write_file(path, text.encode())
    bench.bars.close()
    bench.messages.note(f"saved for {loaded.name} in {path}")
    return text


def _measure(
    bench: Bench,
    asked: Questionnaire,
    names: Sequence[MethodName | Preset],
    budgets: Sequence[Budget],
) -> EvaluationReport:
    engine = bench.engine
    window = engine.decoder.max_context
    if max(asked.lengths) + MAX_ANSWER_TOKENS > window:
        raise UsageError(
            f"--lengths {max(asked.lengths):,} is out of range",
            f"the model's window holds {window:,} tokens, {MAX_ANSWER_TOKENS} of the answer in it",
        )
    arms = make_arms(names, budgets, bench.tuning)
    questions = asked.questions(engine.tokenizer)
    settings = {
        **bench.stamp,
        **{name: _plain(value) for name, value in asdict(asked).items()},
        "methods": {arm.label: str(arm.method) for arm in arms},
        "presets": {preset: str(chosen) for preset, chosen in bench.tuning.presets.items()},
    }

    def on_progress(label: str, done: int, total: int) -> None:
        bench.bars.update(label, done, total, "answers")

    with Journal(EVALUATIONS, {**settings, "questions": digest(questions)}) as journal:
        results = ask_all(engine, questions, arms, journal, on_progress)
        ratios = time_all(engine, questions, arms, journal, on_progress)
        report = summarise(settings, questions, arms, results, ratios, asked.seed)
        bench.when_written.append(journal.finish)
    return report


def _plain(value: object) -> object:
    """As JSON can hold it."""
    if isinstance(value, tuple):
        return [str(one) if not isinstance(one, int) else one for one in value]
    return str(value) if isinstance(value, Path) else value
