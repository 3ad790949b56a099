"""The cache in 8 bits or bfloat16, and attention over all slots of an allocation."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, make_prompt, read_prompt, shared_tiny
from checks import Checks
from torch import Tensor

from fastkv_cli import Engine, FastKV, SnapKV
from fastkv_cli.config import DecodeWeights, KVDtype
from fastkv_cli.engine.cache import CompressedCache
from fastkv_cli.engine.cache_entries import HeadGroup
from fastkv_cli.engine.decode import extend
from fastkv_cli.engine.huge_pages import HugePages
from fastkv_cli.engine.int8_entries import Int8Group
from fastkv_cli.engine.kernels.int8_product import multiplies_int8
from fastkv_cli.engine.kernels.lookup import attend_cached
from fastkv_cli.engine.kv_dtype import entry_dtype
from fastkv_cli.engine.measure import explained_out_of_memory
from fastkv_cli.engine.methods import Method
from fastkv_cli.engine.model.decoder_opening import open_decoder
from fastkv_cli.engine.model.loader import load_model
from fastkv_cli.engine.run_forecast import RunForecast
from fastkv_cli.engine.time_forecast import PlannedPrompt
from fastkv_cli.errors import OutOfMemoryError, UsageError
from fastkv_cli.stats import combine_kv

HEADS, KV_HEADS, DIM, SCALING = 6, 2, 16, 0.25
needs_vnni = pytest.mark.skipif(not multiplies_int8(), reason="8-bit products are not exact here")


def make(num_heads: int, num_tokens: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, num_heads, num_tokens, DIM, generator=generator)


def make_kv(num_tokens: int) -> tuple[Tensor, Tensor]:
    """Keys as models have them: a large channel, and a first key that is large in another."""
    key, value = make(KV_HEADS, num_tokens), make(KV_HEADS, num_tokens, seed=1)
    key[..., 3] *= 20
    key[:, :, 0, 5] *= 100
    return key, value


def fill(cache: CompressedCache, num_tokens: int, num_more: int, kept: Any = None) -> list[Any]:
    """Keep a prompt's entries, and append others one by one and all at once."""
    cache.store(*make_kv(num_tokens), torch.arange(num_tokens), kept)
    cache.next_position = num_tokens
    for at in range(num_more):
        count = 1 if at < num_more - 1 else 5
        cache.append(0, make(KV_HEADS, count, at), make(KV_HEADS, count, at + 1))
        cache.next_position += count
    return list(cache.groups(0))


@pytest.mark.parametrize("num_rows", [1, 5])
@pytest.mark.parametrize(("num_tokens", "num_more"), [(5, 1), (40, 3), (40, 200), (700, 2)])
def test_attention_over_all_slots_in_float32(num_tokens: int, num_more: int, num_rows: int) -> None:
    [group] = fill(CompressedCache(room=9), num_tokens, num_more)
    assert group.can_attend
    assert group.key.shape[2] > group.length, "there are free slots"
    group.key[:, :, group.length :] = float("nan")  # never written
    query = make(HEADS, num_rows, seed=7)
    expected = attend_cached(query, group.keys, group.values, SCALING)
    torch.testing.assert_close(group.attend(query, SCALING), expected, atol=1e-5, rtol=1e-5)


def test_long_caches_in_bfloat16_attend_over_all_slots() -> None:
    groups = []
    for count in (100, 3000):
        like = torch.zeros(1, 3, count, 64, dtype=torch.bfloat16)
        cache = CompressedCache(room=5)
        cache.store(like.normal_(), like, torch.arange(count), None)
        groups += cache.groups(0)
    short, long = groups
    assert not short.can_attend
    assert long.can_attend is bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if long.can_attend:
        query = torch.randn(1, 9, 1, 64).bfloat16()
        expected = attend_cached(query.float(), long.keys.float(), long.values.float(), 0.125)
        assert torch.dist(long.attend(query, 0.125).float(), expected) < 0.02 * expected.norm()


@needs_vnni
@pytest.mark.parametrize("num_rows", [1, 5])
@pytest.mark.parametrize(("num_tokens", "num_more"), [(5, 1), (40, 3), (40, 200), (700, 2)])
def test_attention_over_levels(num_tokens: int, num_more: int, num_rows: int) -> None:
    [group] = fill(CompressedCache(room=9, dtype=torch.int8), num_tokens, num_more)
    assert isinstance(group, Int8Group)
    query = make(HEADS, num_rows, seed=7)
    expected = attend_cached(query, group.keys, group.values, SCALING)
    attended = group.attend(query, SCALING)
    assert torch.dist(attended, expected) < 1e-3 * expected.norm()


@pytest.mark.parametrize("kept", [None, [torch.arange(5), torch.arange(3, 40)]], ids=["all", "own"])
def test_entries_in_8_bits_are_near_the_exact_ones(kept: Any) -> None:
    exact = fill(CompressedCache(room=9), 40, 100, kept)
    rounded = fill(CompressedCache(room=9, dtype=torch.int8), 40, 100, kept)
    assert [group.length for group in rounded] == [group.length for group in exact]
    for ours, theirs in zip(rounded, exact, strict=True):
        assert isinstance(ours, Int8Group)
        assert torch.equal(ours.positions, theirs.positions)
        largest = theirs.values.abs().amax(dim=-1, keepdim=True)
        assert ((ours.values - theirs.values).abs() <= largest / 250).all()
        # half a step of the channel's scale, times that of the key, which is 1 at most
        largest = theirs.keys[:, :, : theirs.kept_positions.shape[1]].abs().amax(2, keepdim=True)
        kept_keys = slice(theirs.kept_positions.shape[1])
        gap = (ours.keys - theirs.keys).abs()[:, :, kept_keys]
        assert (gap <= largest / 250).all()
        assert ours.nbytes < 0.5 * theirs.nbytes


def test_appended_keys_may_be_large_in_a_channel_that_was_empty() -> None:
    cache, key = CompressedCache(dtype=torch.int8), make(KV_HEADS, 40)
    key[..., 7] = 0
    cache.store(key, key, torch.arange(40), None)
    later = make(KV_HEADS, 20, seed=1)
    [group] = cache.append(0, later, later)
    for found, exact in ((group.keys[:, :, :40], key), (group.keys[:, :, 40:], later)):
        assert torch.dist(found, exact) < 0.03 * exact.norm()


def check_rounded(engine: Engine, method: Method, dtype: torch.dtype) -> None:
    """Logits come from the same entries, rounded; other ones would be off by 1.4 times as much."""
    ids = make_prompt(120)
    exact = read_prompt(engine, ids, method)
    rounded = read_prompt(engine, ids, method, kv_dtype=dtype)
    assert rounded.kept_bytes < exact.kept_bytes
    assert torch.equal(rounded.logits, exact.logits), "prefill is exact"
    ours, theirs = (
        extend(engine.decoder, each.cache, make_prompt(3, seed=1)) for each in (rounded, exact)
    )
    assert 0 < torch.dist(ours, theirs) < 0.35 * (theirs - theirs.mean()).norm()


@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16], ids=["int8", "bf16"])
def test_every_method_decodes_as_from_exact_entries(
    tiny_models: dict[str, Path], dtype: torch.dtype
) -> None:
    engine = shared_tiny(tiny_models["llama"])
    with Checks() as check:
        for name, method in CASES.items():
            with check(name):
                check_rounded(engine, method, dtype)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16], ids=["int8", "bf16"])
@pytest.mark.parametrize("family", ["ministral", "gpt-oss", "lfm2"])
def test_windows_sinks_and_recurrent_layers(
    tiny_models: dict[str, Path], family: str, dtype: torch.dtype
) -> None:
    check_rounded(shared_tiny(tiny_models[family]), SnapKV(retention_rate=0.3), dtype)


def test_the_statistics_tell_the_bytes_held(tiny_models: dict[str, Path]) -> None:
    folder = str(tiny_models["llama"])
    engine = Engine.load(folder, device="cpu", dtype="float32", kv_dtype="int8")
    kv = engine.generate(make_prompt(100), FastKV(retention_rate=0.2), max_new_tokens=3).kv
    assert kv.dtype == "int8"
    head = 20 * (2 * 16 + 8) + 4 * 16  # numbers and two scales of each entry, scales of channels
    assert kv.kept_bytes == 4 * 2 * head
    assert kv.full_bytes == 4 * 2 * 100 * 2 * 16 * 4
    only_scored = replace(kv, dtype="", kept_bytes=0)
    assert combine_kv([only_scored, kv]).dtype == "int8"


def test_other_formats_are_for_the_cpu(tiny_models: dict[str, Path]) -> None:
    """A forecast refuses what the run would."""
    dtype, cuda = torch.bfloat16, torch.device("cuda")
    assert entry_dtype(dtype, cuda, KVDtype.AUTO) is None
    assert entry_dtype(dtype, cuda, KVDtype.BF16) is None
    loaded = load_model(str(tiny_models["llama"]), device="cpu", with_weights=False)
    decoder = open_decoder(loaded.model)
    prompts = [PlannedPrompt(90, SnapKV().plan(decoder.shape(90)))]
    forecast = RunForecast(loaded, decoder, prompts, DecodeWeights.AUTO, KVDtype.INT8)
    assert forecast.memory(8).kept_kv_bytes < forecast.memory(8).full_kv_bytes
    with pytest.raises(UsageError, match="--kv-dtype int8 is not available"):
        replace(forecast, loaded=replace(loaded, device=cuda)).memory(8)


def permissions_at(address: int) -> str:
    """Permissions of the mapping that an address lies in; the last letter is p if it is private."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        bounds, permissions, *_ = line.split()
        start, end = (int(bound, 16) for bound in bounds.split("-"))
        if start <= address < end:
            return permissions
    return ""


def test_memory_in_huge_pages() -> None:
    pages = HugePages()
    tensors = [pages.empty((300, size), torch.bfloat16) for size in (7, 500, 1000, 60_000, 9)]
    for number, tensor in enumerate(tensors):
        assert tensor.is_contiguous()
        assert tensor.data_ptr() % 64 == 0
        tensor.fill_(number)
    assert all((tensor == number).all() for number, tensor in enumerate(tensors))
    if sys.platform == "linux":
        assert permissions_at(tensors[3].data_ptr()) == "rw-p", "limits on data count it"
    del pages
    assert (tensors[2] == 2).all(), "memory lives as long as its tensors"


def test_a_lack_of_memory_for_huge_pages_is_explained() -> None:
    with pytest.raises(OutOfMemoryError, match="--budget"), explained_out_of_memory(5):
        HugePages().empty((2**50,), torch.int8)


def test_groups_of_one_cache_are_apart() -> None:
    cache = CompressedCache(room=4)
    for layer in range(3):
        key = torch.full((1, 2, 2000, 16), float(layer))
        cache.store(key, key + 10, torch.arange(2000), None)
    groups: list[HeadGroup] = [cache.groups(layer)[0] for layer in range(3)]
    for layer, group in enumerate(groups):
        assert (group.keys == layer).all()
        assert (group.values == layer + 10).all()
