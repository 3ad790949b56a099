"""The attention kernels against the formula, written down in float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fastkv_cli.engine.kernels import row_blocks
from fastkv_cli.engine.kernels.attention import Causality, Kernel, attend
from fastkv_cli.engine.kernels.lookup import attend_allocated, attend_cached

HEADS, KV_HEADS, DIM = 6, 2, 16
SCALING = DIM**-0.5
KERNELS = [Kernel.SDPA, Kernel.BLOCKED]


def make_qkv(num_rows: int, num_keys: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(num_rows * 1000 + num_keys)
    shapes = [(1, HEADS, num_rows, DIM), (1, KV_HEADS, num_keys, DIM), (1, KV_HEADS, num_keys, DIM)]
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def reference(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """softmax(q·kᵀ)·v, each KV head repeated for its group; seen is (T, S)."""
    key, value = (each.float().repeat_interleave(HEADS // KV_HEADS, dim=1) for each in (key, value))
    scores = query.float() @ key.transpose(2, 3) * SCALING
    attended: Tensor = scores.masked_fill(~seen, float("-inf")).softmax(dim=-1) @ value
    return attended


def visible(positions: Tensor, rows: Tensor, sliding_window: int | None) -> Tensor:
    """(T, S), True where a row may look: at or before itself, inside its window."""
    distance = positions[rows].unsqueeze(1) - positions
    seen = distance >= 0
    return seen if sliding_window is None else seen & (distance < sliding_window)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so short that a small test has several."""
    monkeypatch.setattr(row_blocks, "_CPU_BLOCK", (16, 2**23))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sliding_window", [None, 1, 7, 64, 1000])
@pytest.mark.parametrize(("num_rows", "num_keys"), [(1, 1), (50, 50), (1, 50), (33, 50), (16, 48)])
@pytest.mark.parametrize("gaps", [False, True])
def test_the_last_rows(
    kernel: Kernel, sliding_window: int | None, num_rows: int, num_keys: int, gaps: bool
) -> None:
    """Plain causal attention, aligned at the last row; with gaps the positions jump."""
    query, key, value = make_qkv(num_rows, num_keys)
    positions = torch.arange(num_keys)
    if gaps:
        positions = positions * 3 + (positions > num_keys // 2) * 20
    rows = torch.arange(num_keys - num_rows, num_keys)
    causality = Causality(positions, sliding_window=sliding_window)
    attended = attend(query, key, value, causality, SCALING, kernel)
    expected = reference(query, key, value, visible(positions, rows, sliding_window))
    assert attended.shape == query.shape
    torch.testing.assert_close(attended, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sliding_window", [None, 9])
@pytest.mark.parametrize("gaps", [False, True])
def test_rows_given(kernel: Kernel, sliding_window: int | None, gaps: bool) -> None:
    """Rows from anywhere, as those that go on behind the TSP layer."""
    chosen = torch.tensor([0, 1, 5, 6, 7, 19, 20, 21, 22, 40, 41, 58, 59, 60, 61, 62, 63, 64, 79])
    query, key, value = make_qkv(len(chosen), 80)
    positions = torch.arange(80) * (2 if gaps else 1)
    causality = Causality(positions, chosen, sliding_window)
    attended = attend(query, key, value, causality, SCALING, kernel)
    expected = reference(query, key, value, visible(positions, chosen, sliding_window))
    torch.testing.assert_close(attended, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_rows_that_are_the_last_ones_equal_plain(kernel: Kernel) -> None:
    query, key, value = make_qkv(30, 50)
    given = Causality(torch.arange(50), torch.arange(20, 50))
    attended = [
        attend(query, key, value, causality, SCALING, kernel)
        for causality in (given, Causality(torch.arange(50)))
    ]
    torch.testing.assert_close(*attended, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_in_bfloat16(kernel: Kernel) -> None:
    query, key, value = make_qkv(50, 50, torch.bfloat16)
    attended = attend(query, key, value, Causality(torch.arange(50)), SCALING, kernel)
    expected = reference(query, key, value, visible(torch.arange(50), torch.arange(50), None))
    assert attended.dtype == torch.bfloat16
    assert (attended.float() - expected).abs().max() < 0.05


@pytest.mark.parametrize(
    ("sliding_window", "reach", "plain"),
    [(None, 50, True), (50, 50, True), (49, 50, False), (50, 100, False)],
)
def test_what_is_plain(sliding_window: int | None, reach: int, plain: bool) -> None:
    positions = torch.linspace(0, reach - 1, 50).long()
    assert Causality(positions, None, sliding_window).is_plain is plain
    assert Causality(positions, torch.tensor([48, 49]), sliding_window).is_plain is plain
    assert not Causality(positions, torch.tensor([47, 49]), sliding_window).is_plain
    assert not Causality(positions, torch.tensor([48]), sliding_window).is_plain


def newest_rows(num_rows: int, num_keys: int) -> Tensor:
    """(T, S), True where one of the last T rows may look."""
    return torch.ones(num_rows, num_keys, dtype=torch.bool).tril(num_keys - num_rows)


@pytest.mark.parametrize(("num_rows", "num_keys"), [(1, 1), (1, 40), (5, 5), (5, 40)])
def test_the_newest_rows_over_a_cache(num_rows: int, num_keys: int) -> None:
    query, key, value = make_qkv(num_rows, num_keys)
    expected = reference(query, key, value, newest_rows(num_rows, num_keys))
    attended = attend_cached(query, key, value, SCALING)
    assert attended.shape == query.shape
    torch.testing.assert_close(attended, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("num_rows", [1, 5])
def test_the_newest_rows_with_keys_out_of_sight(num_rows: int) -> None:
    query, key, value = make_qkv(num_rows, 40)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.rand(KV_HEADS, num_rows, 40, generator=generator) < 0.6
    hidden[..., 40 - num_rows :] = False
    attended = attend_cached(query, key, value, SCALING, hidden)
    for kv_head in range(KV_HEADS):
        group = slice(kv_head * HEADS // KV_HEADS, (kv_head + 1) * HEADS // KV_HEADS)
        seen = newest_rows(num_rows, 40) & ~hidden[kv_head]
        expected = reference(query, key, value, seen)[:, group]
        torch.testing.assert_close(attended[:, group], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("num_rows", [1, 5])
def test_the_newest_rows_in_bfloat16(num_rows: int) -> None:
    query, key, value = make_qkv(num_rows, 40, torch.bfloat16)
    attended = attend_cached(query, key, value, SCALING)
    expected = reference(query, key, value, newest_rows(num_rows, 40))
    assert attended.dtype == torch.bfloat16
    assert (attended.float() - expected).abs().max() < 0.05


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_row_over_what_a_tensor_shows(dtype: torch.dtype, per_head: bool) -> None:
    query, key, value = make_qkv(1, 70, dtype)
    hidden = torch.rand(KV_HEADS if per_head else 1, 70, generator=torch.Generator()) < 0.5
    hidden[:, 0] = False
    key[:, :, -1], hidden[:, -1] = float("nan"), True  # not written yet
    seen = ~hidden.expand(KV_HEADS, -1).repeat_interleave(HEADS // KV_HEADS, dim=0).unsqueeze(1)
    expected = reference(query, key.nan_to_num(), value, seen)
    attended = attend_allocated(query, key, value, SCALING, hidden)
    assert attended.dtype is dtype
    tolerance = 1e-5 if dtype is torch.float32 else 0.02
    torch.testing.assert_close(attended.float(), expected, atol=tolerance, rtol=tolerance)
