"""Run eval, calibrate and profile-heads on a loaded model, up to the formatted report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from ...cli.measure_command import MeasureContext, render
from ...cli.option_sets import MeasureOptions
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
    context: MeasureContext,
    asked: Questionnaire,
    names: Sequence[MethodName | Preset],
    budgets: Sequence[Budget],
    form: Form,
    heatmap: Path | None,
) -> str:
    """Ask all questions, and format the report.

    Raises:
        FastKVError: on any failure; results so far are kept for the next run.
    """
    report = _measure(context, asked, names, budgets)
    if heatmap is not None:
        write_file(heatmap, heatmap_png(report.needles))
    if form == "json":
        return as_json(report)
    return as_csv(report) if form == "csv" else render(*as_tables(report))


def calibrate_model(
    context: MeasureContext,
    texts: Path | None,
    tolerance: float,
    samples: int,
    seed: int,
    options: MeasureOptions,
) -> str:
    """Measure every setting, save the chosen ones for this model, and format the table.

    Raises:
        FastKVError: on any failure; then no calibration is saved.
    """
    lengths = context.fitting(CALIBRATION_LENGTHS, MAX_ANSWER_TOKENS)
    each = -(-samples // (2 * len(lengths)))
    asked = Questionnaire((Suite.NEEDLE, Suite.RULER), lengths, each, seed, texts)
    questions = asked.questions(context.engine.tokenizer)
    with Journal(EVALUATIONS, {**context.stamp, "calibrate": digest(questions)}) as journal:
        settings = measure_settings(context, questions, BUDGETS[Preset.BALANCED], journal)
        presets = choose_presets(settings, tolerance)
        measured = {
            **context.stamp,
            "tolerance": tolerance,
            "seed": seed,
            "questions": len(questions),
            "lengths": lengths,
            "presets": presets,
            "scoring_layer": scoring_layer(settings),
            "settings": [asdict(setting) for setting in settings],
        }
        text = _keep(context, "calibration", measured)
        context.when_written.append(journal.finish)
    return text if options.json else render(*calibration_tables(settings, presets, tolerance))


def score_heads(
    context: MeasureContext, samples: int, seed: int, texts: Path | None, options: MeasureOptions
) -> str:
    """Score the heads, save the scores for this model, and format the best of them.

    Raises:
        FastKVError: on any failure; then no scores are saved.
    """
    haystack = load_haystack(texts, context.engine.tokenizer)
    measured = profile_heads(context, haystack, samples, seed)
    text = _keep(context, "heads", measured)
    return text if options.json else render(*head_tables(measured))


def _keep(context: MeasureContext, kind: str, measured: Mapping[str, Any]) -> str:
    """Save a measurement where `load_tuning` finds it; returns its JSON."""
    loaded = context.engine.loaded
    path = tuning_path(kind, loaded.name, loaded.revision)
    text = tuning_json(loaded.name, loaded.revision, measured)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror})", "free some space") from error
    write_file(path, text.encode())
    context.bars.close()
    context.messages.note(f"saved for {loaded.name} in {path}")
    return text


def _measure(
    context: MeasureContext,
    asked: Questionnaire,
    names: Sequence[MethodName | Preset],
    budgets: Sequence[Budget],
) -> EvaluationReport:
    engine = context.engine
    window = engine.decoder.max_context
    if max(asked.lengths) + MAX_ANSWER_TOKENS > window:
        raise UsageError(
            f"--lengths {max(asked.lengths):,} is out of range",
            f"the model's window holds {window:,} tokens, {MAX_ANSWER_TOKENS} of them for answers",
        )
    arms = make_arms(names, budgets, context.tuning)
    questions = asked.questions(engine.tokenizer)
    settings = {
        **context.stamp,
        **{name: _plain(value) for name, value in asdict(asked).items()},
        "methods": {arm.label: str(arm.method) for arm in arms},
        "presets": {preset: str(chosen) for preset, chosen in context.tuning.presets.items()},
    }

    def on_progress(label: str, done: int, total: int) -> None:
        context.bars.update(label, done, total, "answers")

    with Journal(EVALUATIONS, {**settings, "questions": digest(questions)}) as journal:
        results = ask_all(engine, questions, arms, journal, on_progress)
        ratios = time_all(engine, questions, arms, journal, on_progress)
        report = summarise(settings, questions, arms, results, ratios, asked.seed)
        context.when_written.append(journal.finish)
    return report


def _plain(value: object) -> object:
    """Convert a setting to a JSON value."""
    if isinstance(value, tuple):
        return [str(one) if not isinstance(one, int) else one for one in value]
    return str(value) if isinstance(value, Path) else value
