"""Attention with one more logit per head, everywhere that attention is computed."""

from __future__ import annotations

import pytest
import torch
from checks import Checks
from torch import Tensor

from fastkv_cli.engine.kernels.attention import Causality, Kernel, attend
from fastkv_cli.engine.kernels.lookup import attend_allocated, attend_cached
from fastkv_cli.engine.selection import attention_weights

HEADS, KV_HEADS, HEAD_DIM, SCALING = 4, 2, 16, 0.25
# As weak as none; like a key; so strong that it takes nearly all.
SINKS = torch.tensor([-1e4, 0.0, 3.0, 30.0])


def make_inputs(num_rows: int, num_keys: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(num_keys)
    query = torch.randn(1, HEADS, num_rows, HEAD_DIM)
    key, value = torch.randn(2, 1, KV_HEADS, num_keys, HEAD_DIM).unbind(0)
    return query, key, value


def expected_weights(query: Tensor, key: Tensor, masked: Tensor) -> Tensor:
    """By the definition: softmax over the keys and the sink, of which the sink's part is dropped."""
    repeated = key.double().repeat_interleave(HEADS // KV_HEADS, dim=1)
    logits = query.double() @ repeated.transpose(2, 3) * SCALING
    logits = logits.masked_fill(masked, float("-inf"))
    sinks = SINKS.double().view(1, -1, 1, 1).expand(1, HEADS, query.shape[2], 1)
    return torch.cat((logits, sinks), dim=-1).softmax(dim=-1)[..., :-1]


def expected_output(query: Tensor, key: Tensor, value: Tensor, masked: Tensor) -> Tensor:
    repeated = value.double().repeat_interleave(HEADS // KV_HEADS, dim=1)
    return (expected_weights(query, key, masked) @ repeated).float()


@pytest.mark.parametrize("kernel", [Kernel.SDPA, Kernel.BLOCKED])
@pytest.mark.parametrize("sliding_window", [None, 50])
def test_prefill(kernel: Kernel, sliding_window: int | None) -> None:
    with Checks() as check:
        for num_keys in (1, 64, 300):
            for rows in (None, torch.arange(0, num_keys, 3)):
                num_rows = num_keys if rows is None else len(rows)
                query, key, value = make_inputs(num_rows, num_keys)
                keys = torch.arange(num_keys)
                lines = (keys if rows is None else rows).unsqueeze(1)
                masked = keys > lines
                if sliding_window is not None:
                    masked |= keys <= lines - sliding_window
                causality = Causality(keys, rows, sliding_window)
                found = attend(query, key, value, causality, SCALING, kernel, SINKS)
                with check(f"{num_keys} keys, rows {num_rows}"):
                    expected = expected_output(query, key, value, masked)
                    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_decoding_and_scores() -> None:
    with Checks() as check:
        for num_rows in (1, 3):
            query, key, value = make_inputs(num_rows, 70)
            causal = torch.ones(num_rows, 70, dtype=torch.bool).triu(71 - num_rows)
            found = attend_cached(query, key, value, SCALING, None, SINKS)
            with check(f"{num_rows} rows: over the cache"):
                expected = expected_output(query, key, value, causal)
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
            hidden = causal.expand(KV_HEADS, -1, -1).clone()
            hidden[0, :, :9] = True
            found = attend_cached(query, key, value, SCALING, hidden, SINKS)
            with check(f"{num_rows} rows: over the cache, of which each head masks its own"):
                masked = hidden.repeat_interleave(HEADS // KV_HEADS, dim=0)
                expected = expected_output(query, key, value, masked)
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
            with check(f"{num_rows} rows: the weights that methods score"):
                weights = attention_weights(query, key, SCALING, causal[:, -5:], SINKS)
                exact = expected_weights(query, key, causal).float()
                torch.testing.assert_close(weights, exact, atol=1e-5, rtol=1e-5)
        query, key, value = make_inputs(1, 70)
        free = torch.arange(70).unsqueeze(0) > 60
        with check("over all allocated slots"):
            found = attend_allocated(query, key, value, SCALING, free, SINKS)
            expected = expected_output(query, key, value, free)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
