"""The cache: what is kept of each layer, and two lengths that have nothing to do with each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fastkv_cli.engine.cache import CompressedCache
from fastkv_cli.engine.cache_entries import HeadGroup

HEADS, KV_HEADS, DIM = 6, 2, 4

# What each head keeps of 10 tokens: evenly or not, per KV head or per query head.
RAGGED = [torch.tensor([0, 3, 9]), torch.tensor([1, 2, 4, 8, 9])]
EVEN = torch.tensor([[0, 3, 9], [1, 2, 9]])
RAGGED_PER_QUERY_HEAD = [torch.arange(9 - head, 10) for head in range(HEADS)]
EVEN_PER_QUERY_HEAD = torch.tensor([[head, head + 1, 9] for head in range(HEADS)])
KINDS = {
    "even": EVEN,
    "ragged": RAGGED,
    "even-per-query-head": EVEN_PER_QUERY_HEAD,
    "ragged-per-query-head": RAGGED_PER_QUERY_HEAD,
}
of_every_kind = pytest.mark.parametrize("kept", KINDS.values(), ids=KINDS)


def make_kv(num_tokens: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    key = torch.randn(1, KV_HEADS, num_tokens, DIM, generator=generator)
    return key, torch.randn(1, KV_HEADS, num_tokens, DIM, generator=generator)


def only_group(cache: CompressedCache) -> HeadGroup:
    [group] = cache.groups(0)
    return group


def heads_of(groups: list[HeadGroup]) -> list[tuple[Tensor, Tensor]]:
    """K and V, (length, DIM) each, of every head."""
    return [
        (group.keys[0, head], group.values[0, head])
        for group in groups
        for head in range(group.num_heads)
    ]


def positions_of(cache: CompressedCache, layer: int = 0) -> list[list[int]]:
    return [row.tolist() for row in cache.positions(layer)]


def stored_bytes(groups: list[HeadGroup]) -> int:
    return sum(
        tensor.untyped_storage().nbytes() for group in groups for tensor in (group.key, group.value)
    )


def test_everything_is_kept() -> None:
    cache = CompressedCache(room=3)
    key, value = make_kv(5)
    cache.store(key, value, torch.tensor([0, 2, 4, 6, 9]), None)
    group = only_group(cache)
    assert torch.equal(group.keys, key)
    assert torch.equal(group.values, value)
    assert positions_of(cache) == [[0, 2, 4, 6, 9]] * KV_HEADS
    assert cache.length(0) == 5


@of_every_kind
def test_each_head_keeps_its_own(kept: Any) -> None:
    cache = CompressedCache()
    key, value = make_kv(10)
    cache.store(key, value, torch.arange(20, 30), kept)
    copies = len(kept) // KV_HEADS
    for head, (keys, values) in enumerate(heads_of(cache.groups(0))):
        assert torch.equal(keys, key[0, head // copies, kept[head]])
        assert torch.equal(values, value[0, head // copies, kept[head]])
    assert positions_of(cache) == [(rows + 20).tolist() for rows in kept]
    assert cache.lengths == [[len(rows) for rows in kept]]
    assert cache.length(0) == sum(map(len, kept)) / len(kept)


@pytest.mark.parametrize(
    ("kept", "heads_per_group"),
    [(None, [2]), (EVEN, [2]), (RAGGED, [1, 1]), (EVEN_PER_QUERY_HEAD, [6])],
    ids=["all", "even", "ragged", "even-per-query-head"],
)
def test_heads_of_the_same_length_are_one_group(kept: Any, heads_per_group: list[int]) -> None:
    cache = CompressedCache()
    cache.store(*make_kv(10), torch.arange(10), kept)
    assert [group.num_heads for group in cache.groups(0)] == heads_per_group


@of_every_kind
def test_what_is_stored_is_a_copy_and_no_more(kept: Any) -> None:
    cache = CompressedCache()
    key, value = make_kv(10)
    cache.store(key, value, torch.arange(10), kept)
    groups = cache.groups(0)
    assert stored_bytes(groups) == cache.nbytes == sum(map(len, kept)) * DIM * 4 * 2
    before = [(keys.clone(), values.clone()) for keys, values in heads_of(groups)]
    key.zero_()
    value.zero_()
    for (keys, values), (old_keys, old_values) in zip(heads_of(groups), before, strict=True):
        assert torch.equal(keys, old_keys)
        assert torch.equal(values, old_values)


def test_everything_is_stored_as_a_copy_too() -> None:
    cache = CompressedCache()
    key, value = make_kv(10)
    cache.store(key, value, torch.arange(10), None)
    before = only_group(cache).keys.clone()
    key.zero_()
    assert torch.equal(only_group(cache).keys, before)
    assert stored_bytes(cache.groups(0)) == 10 * KV_HEADS * DIM * 4 * 2


def test_of_a_long_text_only_what_is_kept_stays_in_memory() -> None:
    cache = CompressedCache(room=2)
    cache.store(*make_kv(1000), torch.arange(1000), [torch.tensor([7]), torch.tensor([8, 9, 500])])
    allocated = 64 + 64  # each head's, a multiple of 64 slots
    assert stored_bytes(cache.groups(0)) == allocated * DIM * 4 * 2
    assert cache.nbytes == (1 + 3) * DIM * 4 * 2
    assert [group.kept_positions.untyped_storage().nbytes() for group in cache.groups(0)] == [8, 24]


@pytest.mark.parametrize("room", [0, 1, 5, 100])
@of_every_kind
def test_tokens_are_appended_and_storage_grows(kept: Any, room: int) -> None:
    cache = CompressedCache(room=room)
    cache.store(*make_kv(10), torch.arange(10), kept)
    cache.next_position = 20
    copies = len(kept) // KV_HEADS
    expected = [(keys.clone(), values.clone()) for keys, values in heads_of(cache.groups(0))]
    for step in range(60):
        key, value = make_kv(1, seed=step + 1)
        expected = [
            (
                torch.cat([keys, key[0, head // copies]]),
                torch.cat([values, value[0, head // copies]]),
            )
            for head, (keys, values) in enumerate(expected)
        ]
        groups = cache.append(0, key, value)
        cache.next_position += 1
        for (keys, values), (all_keys, all_values) in zip(heads_of(groups), expected, strict=True):
            assert torch.equal(keys, all_keys)
            assert torch.equal(values, all_values)
    assert cache.lengths == [[len(rows) + 60 for rows in kept]]
    assert positions_of(cache) == [[*rows.tolist(), *range(20, 80)] for rows in kept]


@pytest.mark.parametrize("room", [0, 3, 100])
@of_every_kind
def test_several_tokens_at_once_are_as_one_after_the_other(kept: Any, room: int) -> None:
    at_once, singly = CompressedCache(room=room), CompressedCache(room=room)
    for cache in (at_once, singly):
        cache.store(*make_kv(10), torch.arange(10), kept)
        cache.next_position = 10
    key, value = make_kv(7, seed=1)
    at_once.append(0, key, value)
    for token in range(7):
        singly.append(0, key[:, :, token : token + 1], value[:, :, token : token + 1])
        singly.next_position += 1
    assert at_once.lengths == singly.lengths
    assert positions_of(at_once) == positions_of(singly)
    for ours, theirs in zip(heads_of(at_once.groups(0)), heads_of(singly.groups(0)), strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])


@pytest.mark.parametrize("kept", [None, RAGGED], ids=["all", "ragged"])
def test_within_the_room_nothing_is_copied(kept: Any) -> None:
    cache = CompressedCache(room=8)
    cache.store(*make_kv(10), torch.arange(10), kept)
    addresses = [group.key.data_ptr() for group in cache.groups(0)]
    assert cache.num_free >= 8
    for step in range(cache.num_free):
        groups = cache.append(0, *make_kv(1, seed=step))
        assert [group.key.data_ptr() for group in groups] == addresses
    groups = cache.append(0, *make_kv(64))
    assert all(
        group.key.data_ptr() != address for group, address in zip(groups, addresses, strict=True)
    )


@pytest.mark.parametrize("kept", [None, RAGGED], ids=["all", "ragged"])
def test_growing_is_rare(kept: Any) -> None:
    cache = CompressedCache()
    cache.store(*make_kv(10), torch.arange(10), kept)
    sizes = [cache.append(0, *make_kv(1))[0].key.shape[2] for _ in range(1000)]
    assert len(set(sizes)) < 10
    assert sizes[-1] < 3 * 1010


def test_lengths_and_bytes_count_what_is_held() -> None:
    cache = CompressedCache(room=50)
    cache.store(*make_kv(10), torch.arange(10), None)
    cache.store(*make_kv(10), torch.arange(10), EVEN)
    cache.store(*make_kv(10), torch.arange(10), RAGGED)
    cache.store(*make_kv(10), torch.arange(10), EVEN_PER_QUERY_HEAD)
    assert cache.lengths == [[10, 10], [3, 3], [3, 5], [3] * 6]
    assert [cache.length(layer) for layer in range(4)] == [10, 3, 4, 3]
    assert cache.nbytes == (20 + 6 + 8 + 18) * DIM * 4 * 2
    cache.append(2, *make_kv(1))
    cache.append(3, *make_kv(1))
    assert cache.lengths == [[10, 10], [3, 3], [4, 6], [4] * 6]
    assert cache.nbytes == (20 + 6 + 10 + 24) * DIM * 4 * 2


def test_the_two_lengths_are_apart() -> None:
    cache = CompressedCache()
    cache.next_position = 1000
    cache.store(*make_kv(10), torch.arange(990, 1000), torch.tensor([[0, 9], [1, 9]]))
    assert cache.length(0) == 2
    assert cache.next_position == 1000
    cache.append(0, *make_kv(2))
    assert positions_of(cache) == [[990, 999, 1000, 1001], [991, 999, 1000, 1001]]
    assert cache.next_position == 1000  # it moves once a token, not once a layer


@of_every_kind
def test_the_number_format_stays(kept: Any) -> None:
    cache = CompressedCache()
    key, value = (each.to(torch.bfloat16) for each in make_kv(10))
    cache.store(key, value, torch.arange(10), kept)
    groups = cache.append(0, key[:, :, :1], value[:, :, :1])
    assert {tensor.dtype for pair in heads_of(groups) for tensor in pair} == {torch.bfloat16}
    assert cache.nbytes == (sum(map(len, kept)) + len(kept)) * DIM * 2 * 2
