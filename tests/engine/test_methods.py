"""Every method in one matrix: a new one joins it by its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from cases import (
    CASES,
    DIM,
    ENTRY_BYTES,
    HEADS,
    KV_HEADS,
    LAYERS,
    TUNING,
    every_case,
    every_length,
    make_prompt,
    read_prompt,
    settings_of,
    shared_tiny,
)
from checks import Checks

import fastkv_cli
from fastkv_cli import AdaKV, Engine, Full, Generation
from fastkv_cli.config import Budget, MethodName, MethodSettings
from fastkv_cli.engine.cache import CompressedCache
from fastkv_cli.engine.methods import METHODS, Capacity, Method, Plan, build_method
from fastkv_cli.engine.prefill import PrefillResult

NUM_GENERATED = 4
DECODED_LENGTHS = [1, 9, 200]
COMPRESSING = [name for name in METHODS if name is not MethodName.FULL]
# Classes that `fastkv_cli` itself offers. A new method joins all else without being named here.
PUBLISHED = [
    "AdaKV",
    "FastKV",
    "FastKVCascade",
    "FastKVProbe",
    "Full",
    "GemFilter",
    "H2O",
    "HeadKV",
    "PyramidKV",
    "SnapKV",
    "StreamingLLM",
    "TOVA",
    "UniPrefill",
]


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


Reader = Callable[[Method, int], PrefillResult]


@pytest.fixture(scope="module")
def read_by(engine: Engine) -> Reader:
    """Reads a prompt of some length with a method, once for all tests."""

    @cache
    def read(method: Method, length: int) -> PrefillResult:
        return read_prompt(engine, make_prompt(length), method)

    return read


def num_read_again(plan: Plan, length: int) -> int:
    """Tokens that enter the first layer in the pass that fills the cache."""
    return plan.tsp.length if plan.tsp is not None and plan.tsp.restart else length


def seen_by(plan: Plan, length: int) -> list[int]:
    """Of each layer the tokens that it reads at most, told from the plan alone."""
    seen = []
    for layer in range(LAYERS):
        seen.append(length)
        if step := plan.step_at(layer):
            length = step.length
    return seen


def compresses(capacity: Capacity, seen: int) -> bool:
    return not isinstance(capacity, int) or capacity < seen


def drops_nothing(plan: Plan, length: int) -> bool:
    return plan.tsp is None and not any(compresses(each, length) for each in plan.capacities)


def storage_bytes(kept: CompressedCache) -> int:
    groups = [group for layer in range(LAYERS) for group in kept.groups(layer)]
    return sum(
        tensor.untyped_storage().nbytes() for group in groups for tensor in (group.key, group.value)
    )


def test_every_name_has_a_method() -> None:
    assert set(METHODS) == set(MethodName)
    for name, method in METHODS.items():
        assert method.name == name


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_methods_are_those_that_are_registered(name: str) -> None:
    assert name in fastkv_cli.__all__
    assert getattr(fastkv_cli, name) in METHODS.values()


def test_the_matrix_holds_all_settings_that_every_method_takes() -> None:
    shared = {"default", "25%", "100%", "9 tokens", "5000 tokens", "fast", "balanced", "quality"}
    tsp = {"layer 0", "half go on", "last layer"}
    assert set(settings_of(MethodName.FULL)) == {"default"}
    assert set(settings_of(MethodName.FASTKV)) == shared | tsp
    assert set(settings_of(MethodName.CASCADE)) == shared | tsp | {"two steps"}
    assert set(settings_of(MethodName.GEMFILTER)) == shared | {"layer 0"}
    for name in COMPRESSING:
        assert set(settings_of(name)) >= shared
    assert all(any(case.startswith(f"{name}-") for case in CASES) for name in METHODS)


def check_plan(engine: Engine, read: PrefillResult, method: Method, length: int) -> None:
    assert read.plan == method.plan(engine.decoder.shape(length))
    assert len(read.plan.capacities) == LAYERS
    assert list(read.tokens_seen) == seen_by(read.plan, length)
    assert read.cache.next_position == num_read_again(read.plan, length)


def check_positions(read: PrefillResult, length: int) -> None:
    """They ascend, and hold the end of the prompt."""
    end = num_read_again(read.plan, length)
    window = min(read.plan.window, end)
    for layer in range(LAYERS):
        for row in read.cache.positions(layer):
            kept = row.tolist()
            assert kept == sorted(set(kept))
            assert kept[0] >= 0
            assert kept[len(kept) - window :] == list(range(end - window, end))
            assert kept[-1] == end - 1


def check_lengths(read: PrefillResult, method: Method, length: int) -> None:
    """Each head keeps as much as was planned."""
    plan, end = read.plan, num_read_again(read.plan, length)
    for layer, capacity in enumerate(plan.capacities):
        lengths = read.cache.lengths[layer]
        seen = min(seen_by(plan, length)[layer], end)
        copies = compresses(capacity, seen) and getattr(method, "per_query_head", False)
        assert len(lengths) == (HEADS if copies else KV_HEADS)
        assert max(lengths) <= seen
        if not isinstance(capacity, int):
            assert lengths == list(capacity)
        elif isinstance(method, AdaKV):
            even = min(capacity, seen) * len(lengths)
            assert even - 1.5 * len(lengths) <= sum(lengths) <= even + 0.5 * len(lengths)
        else:
            assert lengths == [min(capacity, seen)] * len(lengths)


def check_bytes(kept: CompressedCache) -> None:
    """Those of the entries, and no more."""
    entries = sum(sum(layer) for layer in kept.lengths)
    assert kept.nbytes == entries * ENTRY_BYTES
    assert storage_bytes(kept) == kept.nbytes
    assert kept.lengths == [[len(row) for row in kept.positions(layer)] for layer in range(LAYERS)]


def check_against_full(read: PrefillResult, full: PrefillResult, length: int) -> None:
    """Where nothing is dropped all is as in full."""
    if not drops_nothing(read.plan, length):
        assert read.cache.nbytes < full.cache.nbytes * HEADS / KV_HEADS
        restarts = read.plan.tsp is not None and read.plan.tsp.restart
        assert read.flops <= full.flops or restarts
        return
    assert torch.equal(read.logits, full.logits)
    assert read.cache.lengths == full.cache.lengths
    assert read.flops == full.flops
    for layer in range(LAYERS):
        [ours], [theirs] = read.cache.groups(layer), full.cache.groups(layer)
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)


def check_generation(one: Generation, method: Method, length: int) -> None:
    assert 1 <= len(one.token_ids) <= NUM_GENERATED
    assert len(one.token_ids) == NUM_GENERATED or one.finish_reason == "stop"
    assert one.kv.method == method.name
    assert one.kv.budget == method.budget
    assert one.kv.kept_bytes == sum(map(sum, one.cache_lengths)) * ENTRY_BYTES
    assert one.kv.full_bytes == length * LAYERS * KV_HEADS * 2 * DIM * 4


@every_length
@every_case
def test_every_method_in_every_setting(
    engine: Engine, read_by: Reader, method: Method, length: int
) -> None:
    read = read_by(method, length)
    with Checks() as check:
        with check("logits"):
            assert read.logits.shape == (engine.loaded.model.config.vocab_size,)
            assert torch.isfinite(read.logits).all()
        with check("plan"):
            check_plan(engine, read, method, length)
        with check("positions"):
            check_positions(read, length)
        with check("lengths"):
            check_lengths(read, method, length)
        with check("bytes"):
            check_bytes(read.cache)
        with check("against full"):
            check_against_full(read, read_by(Full(), length), length)
        if length in DECODED_LENGTHS:
            one, again = (
                engine.generate(make_prompt(length), method, NUM_GENERATED) for _ in range(2)
            )
            with check("generation"):
                check_generation(one, method, length)
            with check("generation repeated"):
                assert one.token_ids == again.token_ids


@every_length
def test_a_budget_of_everything_gives_the_tokens_of_full(engine: Engine, length: int) -> None:
    full = engine.generate(make_prompt(length), Full(), 12)
    with Checks() as check:
        for name in COMPRESSING:
            settings = MethodSettings(name, budget=Budget(rate=1.0))
            method = METHODS[name].from_settings(settings, TUNING)
            ours = engine.generate(make_prompt(length), method, 12)
            with check(name):
                assert drops_nothing(method.plan(engine.decoder.shape(length)), length)
                assert ours.token_ids == full.token_ids
                assert torch.equal(ours.first_logits, full.first_logits)
                assert ours.kv.kept_bytes == ours.kv.full_bytes == full.kv.full_bytes


@pytest.mark.parametrize("name", COMPRESSING)
def test_a_budget_is_kept_to(engine: Engine, name: MethodName) -> None:
    for budget, expected in ((Budget(rate=0.25), 50), (Budget(tokens=40), 40)):
        settings = MethodSettings(name, budget=budget)
        read = read_prompt(engine, make_prompt(200), build_method(settings, TUNING))
        average = read.cache.nbytes / (LAYERS * KV_HEADS * ENTRY_BYTES)
        assert expected - 1.5 <= average <= expected + 0.5


def test_methods_are_values() -> None:
    with Checks() as check:
        for case, method in CASES.items():
            with check(case):
                copy = replace(method)  # type: ignore[type-var]
                assert copy == method
                assert hash(copy) == hash(method)
                for field in fields(method):  # type: ignore[arg-type]
                    with pytest.raises(FrozenInstanceError):
                        setattr(method, field.name, None)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_settings_are_the_same_method(name: MethodName) -> None:
    for settings in settings_of(name).values():
        assert build_method(settings, TUNING) == build_method(settings, TUNING)
