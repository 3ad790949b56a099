"""Measure the speed of methods on this machine: the same prompts, in rounds that include full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...cli.measure_command import Measure, MeasureContext, render
from ...config import Budget, MethodName, Preset
from ...documents import Document, load_document
from ...output.console import Messages
from ...output.output_file import write_file
from ...prompts.prompt import Prompt
from ..arms import make_arms
from ..quality.quality_run import Arm, Progress, full_arm
from .speed_plot import speed_png
from .speed_prompts import SpeedTest, make_prompts
from .speed_report import Sample, SpeedReport, summarise
from .speed_tables import as_csv, as_json, as_markdown, as_tables

if TYPE_CHECKING:
    from ...engine.generate import Engine
    from ...output.progress import ProgressBars

Form = Literal["table", "json", "csv", "md"]
_FORMS: dict[Form, Callable[[SpeedReport], str]] = {
    "table": lambda report: render(*as_tables(report)),
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}


@dataclass(frozen=True, slots=True)
class SpeedRun:
    """A speed test: its methods, the format of its report, and an optional plot."""

    test: SpeedTest
    names: Sequence[MethodName | Preset]
    budgets: Sequence[Budget] = ()
    form: Form = "table"
    plot: Path | None = None

    def prepare(self, bars: ProgressBars, messages: Messages) -> Measure:
        """Read the document, if there is one; returns the function that measures a model.

        Raises:
            FastKVError: when the document cannot be read.
        """
        document = None if self.test.source is None else _read(self.test.source, bars, messages)
        return lambda context: self._tell(measure_speed(context, self, document))

    def _tell(self, report: SpeedReport) -> str:
        if self.plot is not None:
            write_file(self.plot, speed_png(report))
        return _FORMS[self.form](report)


def measure_speed(context: MeasureContext, run: SpeedRun, document: Document | None) -> SpeedReport:
    """Build the prompts, run every method, and summarize.

    Raises:
        FastKVError: on any failure.
    """
    engine, test = context.engine, run.test
    arms = [full_arm(), *make_arms(run.names, run.budgets, context.tuning)]
    for arm in arms:
        arm.method.plan(engine.decoder.shape(1))  # fails early on a TSP layer that the model lacks
    asked = make_prompts(context, test, document)
    settings: dict[str, Any] = {
        **context.stamp,
        "document": test.source,
        "document_tokens": asked.document_tokens,
        "prompt_tokens": [len(prompt.token_ids) for prompt in asked.prompts],
        "left_out": list(asked.left_out),
        "max_tokens": test.max_tokens,
        "repetitions": test.repetitions,
        "methods": {arm.label: str(arm.method) for arm in arms},
    }
    machine = context.machine

    def on_progress(label: str, done: int, total: int) -> None:
        context.bars.update(label, done, total, "runs")

    samples = run_all(engine, asked.prompts, arms, test, on_progress)
    return summarise(settings, machine, arms, samples)


def run_all(
    engine: Engine,
    prompts: Sequence[Prompt],
    arms: Sequence[Arm],
    test: SpeedTest,
    on_progress: Progress,
) -> list[Sample]:
    """Run every arm on every prompt: one warm-up round, then the measured ones.

    A round runs each arm once, one after the other, so that other load on the machine affects all
    alike. Every run generates the same number of tokens, ignoring end tokens.
    """
    runs = list(product(prompts, range(1 + test.repetitions), arms))
    samples: list[Sample] = []
    for done, (prompt, at, arm) in enumerate(runs):
        on_progress(f"{arm.label}, {len(prompt.token_ids):,} tokens", done, len(runs))
        generation = engine.generate(
            prompt.token_ids,
            arm.method,
            test.max_tokens,
            question=prompt.question_span,
            ignore_eos=True,
        )
        if at > 0:
            samples.append(Sample(arm.label, generation.stats, generation.kv))
    return samples


def _read(source: str, bars: ProgressBars, messages: Messages) -> Document:
    document = load_document(
        source, on_page=lambda done, total: bars.update("extracting pages", done, total, "pages")
    )
    bars.close()
    for warning in document.warnings:
        messages.warn(f"{document.path}: {warning}")
    return document
