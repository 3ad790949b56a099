"""How fast every method is on this machine: the same prompts in rounds, full among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...cli.measure_command import Bench, Measure, render
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
    """A test, of these methods, told in this form and maybe drawn."""

    test: SpeedTest
    names: Sequence[MethodName | Preset]
    budgets: Sequence[Budget] = ()
    form: Form = "table"
    plot: Path | None = None

    def prepare(self, bars: ProgressBars, messages: Messages) -> Measure:
        """Read the document, where there is one; gives what is to be done with the model.

        Raises:
            FastKVError: when the document cannot be read.
        """
        document = None if self.test.source is None else _read(self.test.source, bars, messages)
        return lambda bench: self._tell(measure_speed(bench, self, document))

    def _tell(self, report: SpeedReport) -> str:
        if self.plot is not None:
            write_file(self.plot, speed_png(report))
        return _FORMS[self.form](report)


def measure_speed(bench: Bench, run: SpeedRun, document: Document | None) -> SpeedReport:
    """Build the prompts, run everything, and add it up.

    Raises:
        FastKVError: whatever went wrong.
    """
    engine, test = bench.engine, run.test
    arms = [full_arm(), *make_arms(run.names, run.budgets, bench.tuning)]
    for arm in arms:
        arm.method.plan(engine.decoder.shape(1))  # a TSP layer that the model lacks fails here
    asked = make_prompts(bench, test, document)
    settings: dict[str, Any] = {
        **bench.stamp,
        "document": test.source,
        "document_tokens": asked.document_tokens,
        "prompt_tokens": [len(prompt.token_ids) for prompt in asked.prompts],
        "left_out": list(asked.left_out),
        "max_tokens": test.max_tokens,
        "repetitions": test.repetitions,
        "methods": {arm.label: str(arm.method) for arm in arms},
    }
    machine = bench.machine

    def on_progress(label: str, done: int, total: int) -> None:
        bench.bars.update(label, done, total, "runs")

    samples = run_all(engine, asked.prompts, arms, test, on_progress)
    return summarise(settings, machine, arms, samples)


def run_all(
    engine: Engine,
    prompts: Sequence[Prompt],
    arms: Sequence[Arm],
    test: SpeedTest,
    on_progress: Progress,
) -> list[Sample]:
    """Run every arm on every prompt: one round to warm up, then those that count.

    A round is one run of each arm, one after the other, so that whatever else the machine does
    hits all of them alike. Every run generates equally many tokens, end tokens or not.
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
