"""Our FastKV against figures of the published implementation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fastkv_cli import Engine, FastKV
from fastkv_cli.engine.methods import Observation, Plan

PARITY = Path(os.environ.get("FASTKV_PARITY_DIR", Path(__file__).parents[1] / "parity"))
UNIT: list[dict[str, Any]] = json.loads((PARITY / "unit.json").read_text())
GENERATION: list[dict[str, Any]] = json.loads((PARITY / "generation.json").read_text())


@pytest.mark.parametrize("case", UNIT, ids=lambda case: f"case{case['case']}")
def test_kept_positions_are_those_of_the_published_code(case: dict[str, Any]) -> None:
    tensors = load_file(PARITY / "unit.safetensors")
    query, key = (tensors[f"{case['case']}.{name}"] for name in ("query", "key"))
    method = FastKV(
        tsp_length=case["tsp_length"],
        capacity=case["capacity"],
        window_size=case["window"],
        kernel_size=case["kernel"],
        pooling=case["pooling"].removesuffix("pool"),
    )
    plan = Plan(capacities=(case["capacity"],), window=case["window"])
    observed = Observation(key, lambda count: query[:, :, -count:], query.shape[-1] ** -0.5)
    scores = method.scores(observed, plan)
    kept = method.keep(scores, case["capacity"], plan)
    propagated = method.propagate(scores, case["tsp_length"], plan)
    assert [set(head) for head in kept.tolist()] == [set(k) for k in case["fastkv"]["kept"]]
    assert set(propagated.tolist()) == set(case["fastkv"]["tsp"])


@pytest.fixture(scope="module")
def engine(embedded_dir: Path) -> Engine:
    return Engine.load("smollm2-135m", dtype="float32", device="cpu")


def published_method(config: dict[str, Any]) -> FastKV:
    shared: dict[str, Any] = {
        "tsp_layer": config["tsp_idx"],
        "window_size": config["window_size"],
        "kernel_size": config["kernel_size"],
        "pooling": config["pooling"].removesuffix("pool"),
    }
    if config["eviction_mode"] == "constant":
        return FastKV(
            **shared, tsp_length=config["tsp_len"], capacity=config["max_capacity_prompts"]
        )
    return FastKV(**shared, tsp_rate=config["tsp_rate"], retention_rate=config["retain_rate"])


@pytest.mark.parametrize("number", range(len(GENERATION)))
def test_generation_is_that_of_the_published_code(engine: Engine, number: int) -> None:
    case = GENERATION[number]
    generation = engine.generate(
        case["prompt_ids"], method=published_method(case["config"]), max_new_tokens=16
    )
    assert generation.token_ids == case["tokens"]
    assert [set(heads) for heads in generation.cache_lengths] == [
        {length} for length in case["cache_lengths"]
    ]
    ours = generation.first_logits[torch.tensor(case["top5_ids"])]
    assert (ours - torch.tensor(case["top5_logits"])).abs().max() < 0.02
