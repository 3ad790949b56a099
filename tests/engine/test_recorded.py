"""A decoding step that writes in place, as it is recorded for a GPU, beside the usual one."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from cases import every_case, make_prompt, read_prompt, shared_tiny
from conftest import tiny_settings
from torch import Tensor

from fastkv_cli import Engine, FastKVProbe
from fastkv_cli.engine.cache import CompressedCache
from fastkv_cli.engine.decode import extend
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.kernels.cuda_graph import GraphInputs, choose_step, decode_in_place
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import Method

LENGTH = 120  # beyond the sliding window of 48
ANSWER = make_prompt(9, seed=1)


@torch.inference_mode()
def read_random(engine: Engine, method: Method, room: int) -> CompressedCache:
    ids = torch.tensor(make_prompt(LENGTH))
    cache = read_prompt(engine, ids, method, LayerRunner(Kernel.SDPA), room=room).cache
    for layer in range(engine.decoder.num_layers):
        for group in cache.groups(layer):  # what is not written yet may hold anything
            group.key[:, :, group.length :] = float("nan")
            # but values that attention covers with a weight of 0, which are allocated finite
            group.value[:, :, group.length :] = 0 if group.by_channel else float("nan")
    return cache


@torch.inference_mode()
def read_all_in_place(engine: Engine, cache: CompressedCache) -> list[Tensor]:
    logits = [extend(engine.decoder, cache, ANSWER[:1])[-1]]
    inputs = GraphInputs.of(engine.decoder, cache)
    recorded = deepcopy(cache)  # a recording sees the lengths that were when it was made
    for token_id in ANSWER[1:]:
        inputs.set(token_id, cache)
        logits.append(decode_in_place(engine.decoder, recorded, inputs))
        cache.advance()
    return logits


def compare(engine: Engine, method: Method) -> None:
    cache = read_random(engine, method, room=len(ANSWER))
    usual = deepcopy(cache)
    found = read_all_in_place(engine, cache)
    step = choose_step(engine.decoder, usual)
    for token_id, logits in zip(ANSWER, found, strict=True):
        torch.testing.assert_close(logits, step(token_id), atol=1e-4, rtol=1e-4)
    assert cache.next_position == usual.next_position
    assert cache.lengths == usual.lengths
    assert cache.num_free == usual.num_free


@pytest.mark.parametrize("family", tiny_settings())
def test_it_reads_as_ever(tiny_models: dict[str, Path], family: str) -> None:
    method = FastKVProbe(tsp_layer=2, tsp_rate=0.5, retention_rate=0.3, full_below=64)
    compare(shared_tiny(tiny_models[family]), method)


@every_case
def test_it_reads_as_ever_whatever_heads_keep(tiny_models: dict[str, Path], method: Method) -> None:
    compare(shared_tiny(tiny_models["mistral-sliding"]), method)
