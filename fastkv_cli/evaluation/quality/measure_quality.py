"""Measure what compression does to answers: every question, with full and with every method."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ...errors import UsageError
from ..arms import make_arms
from ..measure_context import MeasureContext
from .quality_options import EvalOptions
from .quality_report import EvaluationReport, summarise
from .quality_run import MAX_ANSWER_TOKENS, ask_all, time_all
from .suites import Questionnaire, digest


def measure_quality(context: MeasureContext, options: EvalOptions) -> EvaluationReport:
    """Ask all questions, and summarize.

    Raises:
        FastKVError: on any failure; results so far are kept for the next run.
    """
    engine = context.engine
    asked = Questionnaire(
        options.suites,
        options.prompt_lengths,
        options.samples,
        options.seed,
        options.texts,
        options.qa,
    )
    window = engine.decoder.max_context
    if max(asked.lengths) + MAX_ANSWER_TOKENS > window:
        raise UsageError(
            f"--lengths {max(asked.lengths):,} is out of range",
            f"the model's window holds {window:,} tokens, {MAX_ANSWER_TOKENS} of them for answers",
        )
    arms = make_arms(options.names, options.kept_budgets, context.tuning)
    questions = asked.questions(engine.tokenizer)
    settings = {
        **context.stamp,
        **{name: _plain(value) for name, value in asdict(asked).items()},
        "methods": {arm.label: str(arm.method) for arm in arms},
        "presets": {preset: str(chosen) for preset, chosen in context.tuning.presets.items()},
    }
    on_progress = context.report_progress("answers")
    with context.open_journal({**settings, "questions": digest(questions)}) as journal:
        results = ask_all(engine, questions, arms, journal, on_progress)
        ratios = time_all(engine, questions, arms, journal, on_progress)
    return summarise(settings, questions, arms, results, ratios, asked.seed)


def _plain(value: object) -> object:
    """Convert a setting to a JSON value."""
    if isinstance(value, tuple):
        return [str(one) if not isinstance(one, int) else one for one in value]
    return str(value) if isinstance(value, Path) else value
