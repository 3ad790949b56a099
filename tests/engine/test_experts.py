"""Mixture of experts: each token passes through its own experts, and no others are touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cases import load_tiny, shared_tiny
from checks import Checks

from fastkv_cli import Engine
from fastkv_cli.engine.model.decoder_layer import DecoderLayer
from fastkv_cli.engine.model.experts import Experts, _round_up
from fastkv_cli.output.render.report_json import describe_weights

HIDDEN, INNER, EXPERTS, ROUTED = 64, 32, 8, 3


def first_layer(engine: Engine) -> tuple[DecoderLayer, Experts]:
    layer = engine.decoder.attention_layers[0]
    assert layer.experts is not None
    return layer, layer.experts


@torch.inference_mode()
@pytest.mark.parametrize("family", ["qwen3-moe", "gpt-oss", "qwen3_5-moe"])
def test_experts_give_what_the_models_own_module_gives(
    tiny_models: dict[str, Path], family: str
) -> None:
    layer, experts = first_layer(shared_tiny(tiny_models[family]))
    for num_tokens in (1, 2, 7, 100):
        hidden = torch.randn(
            num_tokens, HIDDEN, generator=torch.Generator().manual_seed(num_tokens)
        )
        expected = layer.module.mlp(hidden.unsqueeze(0))
        if family == "gpt-oss":  # the shares, too
            expected, _ = expected
        expected = expected[0]
        torch.testing.assert_close(experts(hidden), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_only_the_routed_experts_are_read(tiny_models: dict[str, Path]) -> None:
    _, experts = first_layer(load_tiny(tiny_models["qwen3-moe"]))
    hidden = torch.randn(1, HIDDEN, generator=torch.Generator().manual_seed(0))
    before, chosen = experts(hidden), experts.router(hidden)[2][0].tolist()
    assert len(chosen) == ROUTED
    for index in range(EXPERTS):
        if index not in chosen:
            experts.weights.gate_up_proj[index] = float("nan")
            experts.weights.down_proj[index] = float("nan")
    assert torch.equal(experts(hidden), before)
    experts.weights.down_proj[chosen[0]] = float("nan")
    assert experts(hidden).isnan().all()


def test_only_the_routed_experts_are_counted(tiny_models: dict[str, Path]) -> None:
    decoder = shared_tiny(tiny_models["qwen3-moe"]).decoder
    attention = HIDDEN * (64 + 2 * 32) + 64 * HIDDEN
    sparse = attention + EXPERTS * HIDDEN + ROUTED * 3 * HIDDEN * INNER
    dense = attention + 3 * HIDDEN * 128
    with Checks() as check:
        with check("active"):
            active = [layer.num_active_weights for layer in decoder.attention_layers]
            assert active == [sparse, sparse, dense, sparse]
        with check("all"):
            idle = (EXPERTS - ROUTED) * 3 * HIDDEN * INNER
            assert decoder.num_weights - decoder.num_active_weights == 3 * idle
        with check("operations of one token, which attends to itself"):
            flops = [layer.flops(1, None) for layer in decoder.attention_layers]
            assert flops == [2 * (weights + 2 * 64) for weights in active]
        with check("activations"):
            assert [layer.intermediate_size for layer in decoder.attention_layers] == [
                96,
                96,
                128,
                96,
            ]


def test_sizes_of_products_are_few() -> None:
    sizes = {_round_up(count) for count in range(1, 1025)}
    assert len(sizes) <= 36
    assert all(
        count <= _round_up(count) <= max(1.25 * count, count + 1) for count in range(1, 1025)
    )


@pytest.mark.parametrize("decode_weights", ["auto", "full"])
def test_experts_are_decoded_as_they_are(tiny_models: dict[str, Path], decode_weights: str) -> None:
    engine = Engine.load(
        str(tiny_models["qwen3-moe"]),
        dtype="bfloat16",
        device="cpu",
        decode_weights=decode_weights,
    )
    assert engine.decoding_model is engine.decoder
    reason = " (a token passes through few of the experts, which are used as they are)"
    expected = "bfloat16" + (reason if decode_weights == "auto" else "")
    assert describe_weights(engine.decode_weights) == expected
