"""The cache: what is kept of each layer, and two lengths that have nothing to do with each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fastkv_cli.engine.cache import CompressedCache

KV_HEADS, DIM = 2, 4


def make_kv(num_tokens: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    key = torch.randn(1, KV_HEADS, num_tokens, DIM, generator=generator)
    return key, torch.randn(1, KV_HEADS, num_tokens, DIM, generator=generator)


def test_everything_is_kept() -> None:
    cache = CompressedCache(room=3)
    key, value = make_kv(5)
    cache.store(key, value, torch.tensor([0, 2, 4, 6, 9]), None)
    assert torch.equal(cache.keys(0), key)
    assert torch.equal(cache.values(0), value)
    assert cache.positions(0).tolist() == [[0, 2, 4, 6, 9]] * KV_HEADS
    assert cache.length(0) == 5


def test_each_head_keeps_its_own() -> None:
    cache = CompressedCache()
    key, value = make_kv(6)
    kept = torch.tensor([[0, 2, 5], [1, 4, 5]])
    cache.store(key, value, torch.arange(10, 16), kept)
    for head in range(KV_HEADS):
        assert torch.equal(cache.keys(0)[0, head], key[0, head, kept[head]])
        assert torch.equal(cache.values(0)[0, head], value[0, head, kept[head]])
    assert cache.positions(0).tolist() == [[10, 12, 15], [11, 14, 15]]


def test_what_is_stored_is_a_copy_and_no_more() -> None:
    cache = CompressedCache()
    key, value = make_kv(100)
    cache.store(key, value, torch.arange(100), torch.tensor([[7], [8]]))
    assert cache.keys(0).untyped_storage().nbytes() == KV_HEADS * DIM * 4
    before = cache.keys(0).clone()
    key.zero_()
    assert torch.equal(cache.keys(0), before)


@pytest.mark.parametrize("room", [0, 1, 5, 100])
def test_tokens_are_appended_and_storage_grows(room: int) -> None:
    cache = CompressedCache(room=room)
    key, value = make_kv(4)
    cache.store(key, value, torch.arange(4), None)
    cache.next_position = 20
    expected_key, expected_value = key, value
    for step in range(60):
        new_key, new_value = make_kv(1, seed=step + 1)
        expected_key = torch.cat([expected_key, new_key], dim=2)
        expected_value = torch.cat([expected_value, new_value], dim=2)
        keys, values = cache.append(0, new_key, new_value)
        assert torch.equal(keys, expected_key)
        assert torch.equal(values, expected_value)
        cache.next_position += 1
    assert cache.length(0) == 64
    assert cache.positions(0)[0].tolist() == [0, 1, 2, 3, *range(20, 80)]


def test_within_the_room_nothing_is_copied() -> None:
    cache = CompressedCache(room=8)
    cache.store(*make_kv(4), torch.arange(4), None)
    address = cache.keys(0).data_ptr()
    for step in range(8):
        cache.append(0, *make_kv(1, seed=step))
        assert cache.keys(0).data_ptr() == address
    cache.append(0, *make_kv(1))
    assert cache.keys(0).data_ptr() != address


def test_lengths_and_bytes_count_what_is_held() -> None:
    cache = CompressedCache(room=50)
    cache.store(*make_kv(10), torch.arange(10), None)
    cache.store(*make_kv(10), torch.arange(10), torch.tensor([[1, 2, 9], [0, 3, 9]]))
    assert cache.lengths == [[10, 10], [3, 3]]
    assert cache.nbytes == (10 + 3) * KV_HEADS * DIM * 4 * 2
    cache.append(1, *make_kv(1))
    assert cache.lengths == [[10, 10], [4, 4]]
    assert cache.nbytes == (10 + 4) * KV_HEADS * DIM * 4 * 2


def test_the_two_lengths_are_apart() -> None:
    cache = CompressedCache()
    cache.next_position = 1000
    cache.store(*make_kv(10), torch.arange(990, 1000), torch.tensor([[0, 9], [1, 9]]))
    assert cache.length(0) == 2
    assert cache.next_position == 1000
    cache.append(0, *make_kv(1))
    assert cache.positions(0)[:, -1].tolist() == [1000, 1000]
    assert cache.next_position == 1000  # it moves once a token, not once a layer


def test_the_number_format_stays() -> None:
    cache = CompressedCache()
    key, value = (each.to(torch.bfloat16) for each in make_kv(3))
    cache.store(key, value, torch.arange(3), None)
    assert cache.keys(0).dtype == cache.values(0).dtype == torch.bfloat16
    assert cache.nbytes == 3 * KV_HEADS * DIM * 2 * 2
