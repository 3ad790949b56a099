"""Measure the speed of methods on this machine: the same prompts, in rounds that include full."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from ...documents import Document, load_document
from ...prompts.prompt import Prompt
from ...session.observer import SILENT, Observer
from ..arms import Arm, full_arm, make_arms
from ..measure_context import MeasureContext, Progress
from .speed_options import SpeedTest
from .speed_prompts import make_prompts
from .speed_report import Sample, SpeedReport, summarise

if TYPE_CHECKING:
    from ...engine.generate import Engine


def read_document(test: SpeedTest, observer: Observer = SILENT) -> Document | None:
    """Read the document of a test, if it has one; do so before loading a model.

    Raises:
        FastKVError: when it cannot be read.
    """
    if test.source is None:
        return None
    document = load_document(
        test.source,
        on_page=lambda done, total: observer.progress("extracting pages", done, total, "pages"),
    )
    for warning in document.warnings:
        observer.warning(f"{document.path}: {warning}")
    return document


def measure_speed(
    context: MeasureContext, test: SpeedTest, document: Document | None = None
) -> SpeedReport:
    """Build the prompts, run every method, and summarize.

    Args:
        context: the model.
        test: the settings.
        document: the one that `read_document` gives for the test.

    Raises:
        FastKVError: on any failure.
    """
    engine = context.engine
    arms = [full_arm(), *make_arms(test.names, test.budgets, context.tuning)]
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
    samples = run_all(engine, asked.prompts, arms, test, context.report_progress("runs"))
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
