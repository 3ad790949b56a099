"""Our FastKV against figures of the published implementation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fastkv_cli import AdaKV, Engine, FastKV, HeadKV, SnapKV
from fastkv_cli.engine.methods import Method, Observation, Plan, PromptShape, Propagation

PARITY = Path(os.environ.get("FASTKV_PARITY_DIR", Path(__file__).parents[1] / "parity"))
UNIT: list[dict[str, Any]] = json.loads((PARITY / "unit.json").read_text())
GENERATION: list[dict[str, Any]] = json.loads((PARITY / "generation.json").read_text())


def observe(case: dict[str, Any]) -> Observation:
    """The random queries and keys that the published code was run on."""
    tensors = load_file(PARITY / "unit.safetensors")
    query, key = (tensors[f"{case['case']}.{name}"] for name in ("query", "key"))
    return Observation(key, lambda rows: query[:, :, rows], query.shape[-1] ** -0.5)


def settings_of(case: dict[str, Any]) -> dict[str, Any]:
    return {
        "capacity": case["capacity"],
        "window_size": case["window"],
        "kernel_size": case["kernel"],
        "pooling": case["pooling"].removesuffix("pool"),
    }


def kept_by(method: Method, case: dict[str, Any], layer: int = 0) -> list[set[int]]:
    """What a method keeps of each head, in a model of two layers."""
    shape = PromptShape(case["tokens"], 2, case["query_heads"], case["kv_heads"])
    plan, observed = method.plan(shape), observe(case)
    kept = method.keep(method.scores(observed, plan), plan.capacities[layer], plan)
    return [set(head.tolist()) for head in kept]


published = pytest.mark.parametrize("case", UNIT, ids=lambda case: f"case{case['case']}")


@published
def test_fastkv_keeps_and_propagates_what_the_published_code_does(case: dict[str, Any]) -> None:
    method = FastKV(**settings_of(case), tsp_length=case["tsp_length"])
    plan = Plan(capacities=(case["capacity"],), window=case["window"])
    scores = method.scores(observe(case), plan)
    kept = method.keep(scores, case["capacity"], plan)
    step = Propagation(0, case["tsp_length"], rate=1.0)
    propagated = method.propagate(method.combine([scores]), step, plan)
    assert [set(head.tolist()) for head in kept] == [set(k) for k in case["fastkv"]["kept"]]
    assert set(propagated.tolist()) == set(case["fastkv"]["tsp"])


@published
def test_snapkv_keeps_what_the_published_code_does(case: dict[str, Any]) -> None:
    method = SnapKV(**settings_of(case), per_query_head=True)
    assert kept_by(method, case) == [set(k) for k in kept_of(case, "snapkv")]


@published
def test_adakv_keeps_what_the_published_code_does(case: dict[str, Any]) -> None:
    method = AdaKV(**settings_of(case), per_query_head=True, floor=case["adakv"]["floor"])
    assert kept_by(method, case) == [set(k) for k in kept_of(case, "adakv")]


@published
def test_headkv_keeps_what_the_published_code_does(case: dict[str, Any]) -> None:
    published = case["headkv"]
    method = HeadKV(
        **settings_of(case),
        per_query_head=True,
        head_scores=tuple(tuple(layer) for layer in published["head_scores"]),
        beta=published["beta"],
    )
    assert kept_by(method, case, published["layer"]) == [set(k) for k in kept_of(case, "headkv")]


def kept_of(case: dict[str, Any], method: str) -> list[list[int]]:
    kept: list[list[int]] = case[method]["kept_per_query_head"]
    return kept


@pytest.fixture(scope="module")
def engine(embedded_dir: Path) -> Engine:
    """In float32, from weights rounded to bfloat16: the published code ran the model like this."""
    engine = Engine.load("smollm2-135m", dtype="float32", device="cpu")
    for weight in engine.loaded.model.parameters():
        weight.copy_(weight.bfloat16())
    return engine


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
