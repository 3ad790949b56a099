"""Which changes to FastKV's selection help? Each alone, all together, and all but each.

    python benchmarks/selection.py [--samples 20] [--seed 3] [--model MODEL]

Asks needle, ruler and qa questions of the embedded model, or of MODEL, with the TSP layer, rate and
budget of the preset `balanced`. Resumable. Prints a table in Markdown; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fastkv_cli import Engine, FastKVProbe
from fastkv_cli.config import EMBEDDED_MODEL, Preset, Suite
from fastkv_cli.engine.methods import Capacity, Kept, Observation, Plan, PromptShape
from fastkv_cli.engine.selection import pool_scores, shared_counts, top_positions_per_head
from fastkv_cli.engine.tuning import tuning_of
from fastkv_cli.evaluation.arms import Arm
from fastkv_cli.evaluation.quality.quality_report import summarise
from fastkv_cli.evaluation.quality.quality_run import ask_all
from fastkv_cli.evaluation.quality.suites import Questionnaire
from fastkv_cli.output.render.quality_tables import as_json, as_markdown
from fastkv_cli.store.journal import Journal
from fastkv_cli.version import __version__

LENGTHS = (1000, 2000, 4000)


@dataclass(frozen=True, kw_only=True)
class Selection(FastKVProbe):
    """FastKV with every change as a switch; the defaults are the published method."""

    kernel_size: int = 7
    question: bool = False
    rows: Literal["sum", "max"] = "sum"
    heads: Literal["sum", "max"] = "sum"
    layers: Literal["one", "max4", "decay"] = "one"
    sinks: int = 0
    shared: bool = False
    chunk: int = 1

    def plan(self, prompt: PromptShape) -> Plan:
        if self.question:
            return FastKVProbe.plan(self, prompt)
        return FastKVProbe.plan(
            self, PromptShape(prompt.num_tokens, prompt.num_layers, prompt.num_heads)
        )

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        weights = observed.window_weights(plan)
        scores = weights.sum(dim=2) if self.rows == "sum" else weights.amax(dim=2)
        scores = pool_scores(scores, self.kernel_size, self.pooling)
        grouped = scores.view(1, observed.key.shape[1], -1, scores.shape[-1])
        return self._ready(grouped.sum(dim=2) if self.heads == "sum" else grouped.amax(dim=2))

    def keep(self, scores: Tensor, capacity: Capacity, plan: Plan) -> Kept:
        if not self.shared or not isinstance(capacity, int):
            return FastKVProbe.keep(self, scores, capacity, plan)
        counts = shared_counts(scores[0], capacity, plan.window, floor=0.2)
        return top_positions_per_head(scores[0], counts, plan.window)

    def combine(self, scored: Sequence[Tensor]) -> Tensor:
        if self.layers == "decay":
            return FastKVProbe.combine(self, scored)
        recent = [s[0].sum(dim=0) if self.heads == "sum" else s[0].amax(dim=0) for s in scored]
        return torch.stack(recent[-4:]).amax(dim=0) if self.layers == "max4" else recent[-1]

    def _ready(self, scores: Tensor) -> Tensor:
        """Rank the first tokens above all others, and chunks by their best token's score."""
        if self.chunk > 1:
            count = scores.shape[-1]
            padded = torch.nn.functional.pad(scores, (0, -count % self.chunk))
            best = padded.view(*scores.shape[:-1], -1, self.chunk).amax(dim=-1)
            scores = best.repeat_interleave(self.chunk, dim=-1)[..., :count]
        if self.sinks:
            scores = scores.clone()
            scores[..., : self.sinks] = float("inf")
        return scores


CHANGES: dict[str, dict[str, object]] = {
    "the question as the window": {"question": True},
    "maximum over the window's rows": {"rows": "max"},
    "maximum over heads and groups": {"heads": "max"},
    "pooled 21 wide": {"kernel_size": 21},
    "decayed sum over layers": {"layers": "decay"},
    "running maximum over 4 layers": {"layers": "max4"},
    "first 4 tokens kept": {"sinks": 4},
    "AdaKV's budgets": {"shared": True},
    "chunks of 16": {"chunk": 16, "kernel_size": 1},
}
TAKEN = (
    "the question as the window",
    "maximum over the window's rows",
    "pooled 21 wide",
    "decayed sum over layers",
)


def settings() -> dict[str, dict[str, object]]:
    """Every arm by name."""
    together = {key: value for name in TAKEN for key, value in CHANGES[name].items()}
    arms: dict[str, dict[str, object]] = {"as published": {}}
    arms |= {f"+ {name}": change for name, change in CHANGES.items()}
    arms["fastkv-probe: four together"] = together
    for name in TAKEN:
        without = [other for other in TAKEN if other != name]
        arms[f"four, without {name}"] = {k: v for o in without for k, v in CHANGES[o].items()}
    for name, change in CHANGES.items():
        if name not in TAKEN:
            arms[f"four, and {name}"] = {**together, **change}
    return arms


def main() -> None:
    """Ask every question with every arm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    engine = Engine.load(arguments.model)
    tuned = tuning_of(engine.loaded).presets[Preset.BALANCED]
    fixed = {
        "tsp_layer": tuned.tsp_layer,
        "tsp_rate": tuned.tsp_rate,
        "retention_rate": tuned.budget.rate,
    }
    arms = [
        Arm(name, name, str(tuned.budget), Selection(**fixed, **chosen))  # type: ignore[arg-type]
        for name, chosen in settings().items()
    ]
    asked = Questionnaire(tuple(Suite), LENGTHS, arguments.samples, arguments.seed)
    questions = asked.questions(engine.tokenizer)
    stamp = {
        "fastkv": __version__,
        **vars(arguments),
        "revision": engine.loaded.revision,
        **{arm.label: str(arm.method) for arm in arms},
    }
    with Journal("evaluations", stamp) as journal:
        results = ask_all(
            engine,
            questions,
            arms,
            journal,
            lambda label, done, total: print(
                f"\r{label}: {done}/{total} ", end="", file=sys.stderr
            ),
        )
        report = summarise(stamp, questions, arms, results, {}, arguments.seed)
    print(as_markdown(report.rows))
    for suite, rows in report.suites.items():
        print(f"\n{suite}\n\n{as_markdown(rows)}")
    print(json.dumps({**json.loads(as_json(report)), **fixed}))


if __name__ == "__main__":
    main()
