"""Sizes come again: prompts of different lengths multiply matrices of the same shapes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from cases import make_prompt, read_prompt, shared_tiny
from conftest import tiny_settings
from torch import Tensor

from fastkv_cli import Engine, FastKV
from fastkv_cli.engine.kernels.attention import Causality, Kernel, attend
from fastkv_cli.engine.kernels.row_blocks import GRAIN, round_up
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.model.decoder_layer import DecoderLayer


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


def test_lengths_share_their_sizes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, keys = set(), set()
    finish, attend_rows = DecoderLayer.finish, attend

    def finished(layer: DecoderLayer, hidden: Tensor, attended: Tensor) -> Tensor:
        rows.add(hidden.shape[1])
        return finish(layer, hidden, attended)

    def attended(query: Tensor, key: Tensor, *others: object) -> Tensor:
        keys.add(key.shape[2])
        return attend_rows(query, key, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(DecoderLayer, "finish", finished)
    monkeypatch.setattr("fastkv_cli.engine.layers.attend", attended)
    runner = LayerRunner(Kernel.BLOCKED, chunk_rows=4 * GRAIN)
    method = FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.2)
    draw = random.Random(0)
    for _ in range(20):
        num_tokens = draw.randint(4 * GRAIN, 8 * GRAIN)
        read_prompt(engine, make_prompt(num_tokens), method, runner)
    rows.discard(1)  # the last layer computes the last token alone
    assert {count % GRAIN for count in rows | keys} == {0}
    assert len(rows) <= 4


@pytest.mark.parametrize("family", tiny_settings())
def test_copies_of_the_last_token_change_nothing(tiny_models: dict[str, Path], family: str) -> None:
    engine = shared_tiny(tiny_models[family])
    method = FastKV(tsp_layer=1, tsp_rate=0.6, retention_rate=0.2)
    for num_tokens in (150, 201, 320):
        prompt = make_prompt(num_tokens)
        plain, padded = (
            read_prompt(engine, prompt, method, LayerRunner(kernel, chunk_rows=100))
            for kernel in (Kernel.SDPA, Kernel.BLOCKED)
        )
        torch.testing.assert_close(padded.logits, plain.logits, rtol=1e-4, atol=1e-4)
        assert padded.cache.lengths == plain.cache.lengths
        assert padded.tokens_seen == plain.tokens_seen


@pytest.mark.parametrize("num_tokens", [1, 63, 64, 65, 200, 257])
@pytest.mark.parametrize("sliding_window", [None, 50])
@pytest.mark.parametrize("kernel", [Kernel.BLOCKED, Kernel.SDPA])
def test_padding_is_never_looked_at(
    num_tokens: int, sliding_window: int | None, kernel: Kernel
) -> None:
    torch.manual_seed(0)
    query = torch.randn(1, 4, num_tokens, 16)
    key, value = torch.randn(2, 1, 2, round_up(num_tokens), 16).unbind(0)
    causality = Causality(torch.arange(num_tokens), sliding_window=sliding_window)
    exact = attend(query, key[:, :, :num_tokens], value[:, :, :num_tokens], causality, 0.25, kernel)
    padded = attend(query, key, value, causality, 0.25, kernel)
    torch.testing.assert_close(padded, exact)


@pytest.mark.parametrize(("chunk_rows", "boundary"), [(7, 0), (64, 0), (100, 33), (1024, 150)])
def test_chunks_cover_every_row_once_or_again(
    engine: Engine, chunk_rows: int, boundary: int
) -> None:
    runner = LayerRunner(Kernel.SDPA, chunk_rows, boundary=boundary)
    stream = runner.embed(engine.decoder, torch.arange(200))
    covered = [rows for rows, own in runner._rows(stream, chunk_rows) if rows == own]
    assert sorted({row for rows in covered for row in range(rows.start, rows.stop)}) == list(
        range(200)
    )
    assert all(rows.stop <= boundary or rows.start >= boundary for rows in covered)
    assert max(rows.stop - rows.start for rows in covered) <= chunk_rows
