"""What became of each token of a prompt: propagated or not, and the share of its entries kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cases import KV_HEADS, LAYERS, make_prompt, name_of, shared_tiny

from fastkv_cli import AdaKV, Engine, FastKV, Full, GemFilter, SnapKV
from fastkv_cli.engine.generation import Generation

METHODS = [
    Full(),
    FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.25),
    SnapKV(retention_rate=0.25),
    AdaKV(retention_rate=0.25, per_query_head=True),
    GemFilter(retention_rate=0.25),
]


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_trace_adds_up_to_the_cache(engine: Engine, method: Any) -> None:
    prompt = make_prompt(200)
    traced = engine.generate(prompt, method, 8, traces_tokens=True)
    trace = traced.trace
    assert trace is not None
    num_heads = sum(len(heads) for heads in traced.cache_lengths)
    num_entries = sum(length for heads in traced.cache_lengths for length in heads)
    assert sum(trace.kept) * num_heads == pytest.approx(num_entries, rel=1e-4)
    assert len(trace.kept) == len(trace.propagated) == 200
    assert set(trace.propagated) <= {0.0, 1.0}
    plan = method.plan(engine.decoder.shape(200))
    assert sum(trace.propagated) == (200 if plan.tsp is None else plan.tsp.length)
    if plan.tsp is not None and plan.tsp.restart:
        pairs = zip(trace.kept, trace.propagated, strict=True)
        assert all(share == 0.0 for share, passed in pairs if not passed)
    # the last tokens are the observation window, which every layer keeps
    if plan.window:
        assert trace.kept[-1] == trace.propagated[-1] == 1.0


def test_propagated_tokens_have_the_highest_scores(engine: Engine) -> None:
    method = FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.25, window_size=8)
    traced = engine.generate(make_prompt(200), method, 1, traces_tokens=True)
    assert traced.trace is not None
    assert traced.token_scores is not None
    pairs = list(zip(traced.token_scores, traced.trace.propagated, strict=False))
    lowest = min(score for score, passed in pairs if passed)
    assert all(score <= lowest for score, passed in pairs if not passed)
    # up to the TSP layer a token that is not propagated may keep entries; behind it, none
    assert (
        max(
            share
            for share, passed in zip(traced.trace.kept, traced.trace.propagated, strict=True)
            if not passed
        )
        <= 2 / LAYERS
    )


def test_nothing_is_traced_unless_asked_for(engine: Engine) -> None:
    method = FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.25)
    prompt = make_prompt(200)
    plain = engine.generate(prompt, method, 8)
    traced = engine.generate(prompt, method, 8, traces_tokens=True)
    assert isinstance(plain, Generation)
    assert plain.trace is None
    assert plain.token_ids == traced.token_ids
    assert len(plain.cache_lengths[0]) == KV_HEADS
