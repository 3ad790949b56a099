"""Decoding over a ragged cache, held against plain attention with a mask over the full K and V."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from cases import (
    HEAD_SCORES,
    HEADS,
    KV_HEADS,
    LAYERS,
    headwise_methods,
    make_prompt,
    name_of,
    read_prompt,
    shared_tiny,
)
from checks import Checks
from torch import Tensor
from torch.nn import functional

from fastkv_cli import (
    H2O,
    TOVA,
    AdaKV,
    Engine,
    FastKV,
    Full,
    GemFilter,
    HeadKV,
    PyramidKV,
    SnapKV,
    StreamingLLM,
)
from fastkv_cli.engine.cache import CompressedCache
from fastkv_cli.engine.cache_entries import HeadGroup
from fastkv_cli.engine.decode import extend
from fastkv_cli.engine.methods import Method

LENGTH = 120  # beyond the sliding window of 48
FAMILIES = [
    *("llama", "mistral-sliding", "ministral", "ministral3", "qwen3", "phi3-partial", "granite"),
    *("smollm3", "glm4", "qwen3-moe", "gpt-oss", "lfm2", "qwen3_5"),
]
# Methods that let every token through every layer, so that K and V are those of Full.
METHODS: list[Method] = [
    *headwise_methods(retention_rate=0.3),
    PyramidKV(retention_rate=0.3),
    H2O(retention_rate=0.3),
    StreamingLLM(retention_rate=0.3),
]
every_method = pytest.mark.parametrize("method", METHODS, ids=name_of)


def with_gaps(group: HeadGroup, entries: Tensor) -> Tensor:
    """Entries at their positions, 0 where a layer dropped what has left its window."""
    spread = entries.new_zeros(*entries.shape[:2], LENGTH, entries.shape[3])
    return spread.index_copy_(2, group.positions[0], entries)


def dense_logits(
    engine: Engine, full: CompressedCache, kept: list[list[Tensor]], token_ids: list[int]
) -> Tensor:
    """The logits of tokens behind the prompt, every head over the full K and V with a mask."""
    decoder, count = engine.decoder, len(token_ids)
    rows = torch.arange(LENGTH, LENGTH + count)
    hidden, ropes = decoder.embed(torch.tensor(token_ids)), decoder.ropes(rows)
    for layer in decoder.layers:
        if layer.is_recurrent:
            hidden, _ = layer.extend(hidden, full.state(layer.index))
            continue
        normalized = layer.normalize(hidden)
        [group] = full.groups(layer.index)
        key, value = (
            torch.cat([with_gaps(group, old), new], dim=2).repeat_interleave(HEADS // KV_HEADS, 1)
            for old, new in zip(
                (group.keys, group.values), layer.keys_values(normalized, ropes), strict=True
            )
        )
        seen = torch.zeros(HEADS, count, LENGTH + count, dtype=torch.bool)
        for head in range(HEADS):
            mine = kept[layer.index][head * len(kept[layer.index]) // HEADS]
            seen[head, :, mine] = True
        seen[:, :, LENGTH:] = torch.ones(count, count, dtype=torch.bool).tril()
        if layer.sliding_window is not None:
            distance = rows.unsqueeze(1) - torch.arange(LENGTH + count)
            seen &= distance < layer.sliding_window
        scores = layer.queries(normalized, ropes) @ key.transpose(2, 3) * layer.scaling
        scores = scores.masked_fill(~seen, float("-inf"))
        if layer.sinks is not None:
            sinks = layer.sinks.view(1, -1, 1, 1).expand(1, -1, count, 1)
            scores, value = torch.cat((scores, sinks), dim=-1), functional.pad(value, (0, 0, 0, 1))
        attended = scores.softmax(dim=-1) @ value
        hidden = layer.finish(hidden, attended)
    return decoder.logits(decoder.normalize(hidden))


def read_singly(engine: Engine, cache: CompressedCache, token_ids: list[int]) -> Tensor:
    return torch.cat([extend(engine.decoder, cache, [token_id]) for token_id in token_ids])


def check_dense(engine: Engine, full: CompressedCache, cache: CompressedCache, count: int) -> None:
    """Each head attends to just what it kept."""
    token_ids = make_prompt(count, seed=1)
    kept, everything = ([one.positions(layer) for layer in range(LAYERS)] for one in (cache, full))
    with torch.inference_mode():
        expected = dense_logits(engine, full, kept, token_ids)
        of_all = dense_logits(engine, full, everything, token_ids)
    assert (expected - of_all).abs().max() > 0.01, "where nothing is missing, nothing is shown"
    logits = extend(engine.decoder, cache, token_ids)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    assert cache.next_position == LENGTH + count


def check_singly(engine: Engine, at_once: CompressedCache) -> None:
    """Several tokens at once are as one after the other."""
    token_ids, singly = make_prompt(5, seed=1), deepcopy(at_once)
    logits = extend(engine.decoder, at_once, token_ids)
    torch.testing.assert_close(logits, read_singly(engine, singly, token_ids), atol=1e-4, rtol=1e-4)
    assert at_once.next_position == singly.next_position
    assert at_once.lengths == singly.lengths
    for layer in range(LAYERS):
        for ours, theirs in zip(at_once.positions(layer), singly.positions(layer), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "method",
    [*METHODS, FastKV(tsp_rate=0.5, retention_rate=0.3), GemFilter(retention_rate=0.3), Full()],
    ids=name_of,
)
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_behind_the_prompt(
    tiny_models: dict[str, Path], family: str, method: Method
) -> None:
    engine = shared_tiny(tiny_models[family])
    cache = read_prompt(engine, make_prompt(LENGTH), method).cache
    with Checks() as check:
        if method in METHODS:
            full = read_prompt(engine, make_prompt(LENGTH), Full()).cache
            for count in (1, 5):
                with check(f"dense attention, {count} at once"):
                    check_dense(engine, full, deepcopy(cache), count)
        with check("one after the other"):
            check_singly(engine, cache)


@pytest.mark.parametrize("family", FAMILIES)
def test_reading_on_over_a_full_cache_is_reading_the_whole(
    tiny_models: dict[str, Path], family: str
) -> None:
    engine, ids = shared_tiny(tiny_models[family]), make_prompt(LENGTH + 5)
    cache = read_prompt(engine, ids[:LENGTH], Full()).cache
    logits = extend(engine.decoder, cache, ids[LENGTH:])
    # a recurrence in chunks and step by step sums in another order: 3e-4 apart on AVX2
    bound = 1e-3 if engine.decoder.has_recurrent_layers else 1e-4
    for row in range(5):
        whole = read_prompt(engine, ids[: LENGTH + row + 1], Full()).logits
        torch.testing.assert_close(logits[row], whole, atol=bound, rtol=bound)


def test_the_caches_of_these_tests_are_ragged(tiny_models: dict[str, Path]) -> None:
    for per_query_head in (False, True):
        for method in (
            AdaKV(retention_rate=0.3, per_query_head=per_query_head),
            HeadKV(retention_rate=0.3, per_query_head=per_query_head, head_scores=HEAD_SCORES),
        ):
            cache = read_prompt(
                shared_tiny(tiny_models["llama"]), make_prompt(LENGTH), method
            ).cache
            for lengths in cache.lengths:
                assert len(lengths) == (HEADS if per_query_head else KV_HEADS)
            assert any(len(set(lengths)) > 1 for lengths in cache.lengths)


@pytest.mark.parametrize(
    "method", [SnapKV(capacity=25), AdaKV(capacity=25), TOVA(capacity=25)], ids=name_of
)
def test_what_has_left_the_sliding_window_is_not_kept(
    tiny_models: dict[str, Path], method: Method
) -> None:
    """Of 48 tokens in sight 25 are kept; the others were not looked at and never will be."""
    read = read_prompt(shared_tiny(tiny_models["mistral-sliding"]), make_prompt(LENGTH), method)
    oldest_in_sight = LENGTH - read.plan.window - 47
    for layer in range(LAYERS):
        for row in read.cache.positions(layer):
            assert row[0] >= oldest_in_sight - 3  # the pool spreads a score by that much


@every_method
def test_generating_is_reading_on_greedily(tiny_models: dict[str, Path], method: Method) -> None:
    engine, ids = shared_tiny(tiny_models["llama"]), make_prompt(LENGTH)
    generation = engine.generate(ids, method, 8)
    read = read_prompt(engine, ids, method)
    expected, logits = [int(read.logits.argmax())], read.logits
    while len(expected) < len(generation.token_ids):
        logits = extend(engine.decoder, read.cache, expected[-1:])[-1]
        expected.append(int(logits.argmax()))
    assert generation.token_ids == expected
