"""Every method in many settings, and what the tests of the engine share."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fastkv_cli import AdaKV, Engine, HeadKV, SnapKV
from fastkv_cli.config import Budget, MethodName, MethodSettings, Preset
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import METHODS, Method
from fastkv_cli.engine.methods.window import HeadwiseMethod
from fastkv_cli.engine.prefill import PrefillResult, prefill
from fastkv_cli.engine.tuning import Tuning
from fastkv_cli.errors import UsageError
from fastkv_cli.propagation import PropagationStep

# The tiny models, in numbers.
LAYERS, HEADS, KV_HEADS, DIM = 4, 4, 2, 16
# Bytes of one entry of one head: K and V in float32.
ENTRY_BYTES = 2 * DIM * 4

LENGTHS = [1, 2, 7, 8, 9, 16, 79, 200]


def make_head_scores(num_layers: int = LAYERS, num_heads: int = HEADS) -> Any:
    """Uneven: some heads are worth many times what others are."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(num_layers, num_heads, generator=generator, dtype=torch.float64) ** 3
    return tuple(tuple(layer) for layer in scores.tolist())


HEAD_SCORES: tuple[tuple[float, ...], ...] = make_head_scores()
# Prompts of 79 and 200 tokens are compressed by default too.
TUNING = Tuning("tiny", head_scores=HEAD_SCORES, full_below=64)


def make_prompt(length: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(1000 * seed + length)
    ids: list[int] = torch.randint(3, 300, (length,), generator=generator).tolist()
    return ids


def load_tiny(folder: Any) -> Engine:
    """An engine of the test's own, which it may change."""
    return Engine.load(str(folder), dtype="float32", device="cpu")


@cache
def shared_tiny(folder: Path) -> Engine:
    """The engine of a tiny model, loaded once a process: not to be changed."""
    return load_tiny(folder)


def read_prompt(
    engine: Engine,
    ids: list[int] | Tensor,
    method: Method,
    runner: LayerRunner | None = None,
    *,
    question: slice | None = None,
    room: int = 0,
    kv_dtype: torch.dtype | None = None,
) -> PrefillResult:
    ids = torch.as_tensor(ids)
    plan = method.plan(engine.decoder.shape(ids.shape[0], question))
    runner = runner or LayerRunner(Kernel.SDPA)
    return prefill(engine.decoder, ids, method, runner, plan, room=room, kv_dtype=kv_dtype)


def settings_of(name: MethodName) -> dict[str, MethodSettings]:
    """The settings that a method takes, the default ones first."""
    choices: dict[str, dict[str, Any]] = {
        "default": {},
        "25%": {"budget": Budget(rate=0.25)},
        "100%": {"budget": Budget(rate=1.0)},
        "9 tokens": {"budget": Budget(tokens=9)},
        "5000 tokens": {"budget": Budget(tokens=5000)},
        **{preset: {"preset": preset} for preset in Preset},
        "layer 0": {"tsp_layer": 0, "budget": Budget(rate=0.25)},
        "half go on": {"tsp_rate": 0.5, "budget": Budget(rate=0.25)},
        "last layer": {"tsp_layer": 3, "tsp_rate": 1.0},
        "two steps": {"tsp_steps": (PropagationStep(1, 0.6), PropagationStep(2, 0.25, block=4))},
    }
    taken = {}
    for label, changes in choices.items():
        settings = MethodSettings(name, **changes)
        try:
            METHODS[name].from_settings(settings, TUNING)
        except UsageError:
            continue
        taken[label] = settings
    return taken


def built_methods() -> dict[str, Method]:
    """All methods in all settings that they take."""
    return {
        f"{name}-{label}": METHODS[name].from_settings(settings, TUNING)
        for name in METHODS
        for label, settings in settings_of(name).items()
    }


def headwise_methods(**settings: Any) -> list[HeadwiseMethod]:
    """The methods that can choose per query head, each for KV heads and for query heads."""
    return [
        method
        for per_query_head in (False, True)
        for method in (
            SnapKV(**settings, per_query_head=per_query_head),
            AdaKV(**settings, per_query_head=per_query_head),
            HeadKV(**settings, per_query_head=per_query_head, head_scores=HEAD_SCORES),
        )
    ]


def per_query_head_methods() -> dict[str, Method]:
    choices: dict[str, dict[str, Any]] = {
        "25%": {"retention_rate": 0.25},
        "100%": {"retention_rate": 1.0},
        "9 tokens": {"capacity": 9},
    }
    return {
        f"{method.name}-{label}-per-query-head": method
        for label, settings in choices.items()
        for method in headwise_methods(**settings)
        if method.per_query_head
    }


CASES = built_methods() | per_query_head_methods()

every_case = pytest.mark.parametrize("method", CASES.values(), ids=CASES)
every_length = pytest.mark.parametrize("length", LENGTHS)


def name_of(method: Method) -> str:
    per_head = getattr(method, "per_query_head", False)
    return f"{method.name}-per-query-head" if per_head else str(method.name)


def eager_weights(folder: Path, length: int) -> list[Tensor]:
    """The attention of every layer on `make_prompt`, (H, n, n), as transformers computes it."""
    model = load_tiny(folder).loaded.model
    model.set_attn_implementation("eager")
    with torch.no_grad():
        outputs = model(torch.tensor([make_prompt(length)]), output_attentions=True)
    return [attention[0] for attention in outputs.attentions]
