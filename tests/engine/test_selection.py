"""Selecting blocks of neighbouring tokens."""

from __future__ import annotations

import pytest
import torch

from fastkv_cli.engine.selection import top_blocks, top_positions


def test_the_best_blocks_are_taken_whole_and_one_in_part() -> None:
    scores = torch.zeros(20)
    scores[9] = 8.0  # block 2, of mean 2
    scores[16:20] = 1.5  # block 4
    scores[0] = 4.0  # block 0, of mean 1
    found = top_blocks(scores, count=13, window=3, block=4)
    assert found.tolist() == [0, 1, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22]


def test_a_shorter_last_block_is_ranked_by_its_mean() -> None:
    scores = torch.ones(10)
    scores[8:] = 2.0
    assert top_blocks(scores, count=6, window=0, block=4).tolist() == [0, 1, 2, 3, 8, 9]


@pytest.mark.parametrize("count", [5, 6, 37, 100, 105])
@pytest.mark.parametrize("num_columns", [100, 128])
def test_any_count_can_be_taken(count: int, num_columns: int) -> None:
    scores = torch.rand(num_columns, generator=torch.Generator().manual_seed(count))
    found = top_blocks(scores, count, window=5, block=32)
    assert len(set(found.tolist())) == count
    assert found.tolist() == sorted(found.tolist())
    assert found[-5:].tolist() == list(range(num_columns, num_columns + 5))
    assert torch.equal(top_blocks(scores, count, 5, block=1), top_positions(scores, count, 5))
