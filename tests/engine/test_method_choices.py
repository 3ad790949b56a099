"""What each method keeps, held against the model's own attention weights and plain arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cases import (
    HEAD_SCORES,
    HEADS,
    KV_HEADS,
    LAYERS,
    eager_weights,
    headwise_methods,
    make_prompt,
    name_of,
    read_prompt,
    shared_tiny,
)
from torch import Tensor
from torch.nn import functional
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

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
from fastkv_cli.engine.methods import Method, PromptShape
from fastkv_cli.engine.methods.window import HeadwiseMethod

LENGTH, WINDOW = 160, 8
GROUP = HEADS // KV_HEADS


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


@pytest.fixture(scope="module")
def weights(tiny_models: dict[str, Path]) -> list[Tensor]:
    return eager_weights(tiny_models["llama"], LENGTH)


def window_scores(weights: Tensor, window: int = WINDOW, kernel: int = 7) -> Tensor:
    """Of every query head (H, n − W): what the window looks at, max-pooled by hand."""
    mass = weights[:, -window:, :-window].sum(dim=1)
    padded = functional.pad(mass, (kernel // 2, kernel // 2))
    pooled: Tensor = padded.unfold(1, kernel, 1).max(dim=-1).values
    return pooled


def per_group(scores: Tensor) -> Tensor:
    """Added up over the query heads of each KV head."""
    return torch.stack(
        [scores[first : first + GROUP].sum(dim=0) for first in range(0, HEADS, GROUP)]
    )


def of_each_group(weights: Tensor) -> Tensor:
    return per_group(window_scores(weights))


def of_the_last_query(weights: Tensor) -> Tensor:
    return weights[:, -1, :-1].mean(dim=0).expand(KV_HEADS, -1)


def of_all_queries(weights: Tensor) -> Tensor:
    return per_group(weights.sum(dim=1)[:, :-20])


def of_age(weights: Tensor) -> Tensor:
    return -torch.arange(float(LENGTH - 36)).expand(KV_HEADS, -1)


def assert_highest(kept: Tensor, scores: Tensor) -> None:
    """What is kept of the scored tokens scores no less than what is dropped; the rest is kept."""
    rows = set(kept.tolist())
    chosen = sorted(row for row in rows if row < len(scores))
    dropped = sorted(set(range(len(scores))) - rows)
    assert rows >= set(range(len(scores), LENGTH))
    assert scores[chosen].min() >= scores[dropped].max() - 1e-5


@pytest.mark.parametrize(
    ("method", "scores_of"),
    [
        (SnapKV(capacity=40), of_each_group),
        (SnapKV(capacity=40, per_query_head=True), window_scores),
        (AdaKV(capacity=40), of_each_group),
        (AdaKV(capacity=40, per_query_head=True), window_scores),
        (HeadKV(capacity=40, head_scores=HEAD_SCORES), of_each_group),
        (HeadKV(capacity=40, head_scores=HEAD_SCORES, per_query_head=True), window_scores),
        (PyramidKV(capacity=40), of_each_group),
        (TOVA(capacity=40), of_the_last_query),
        (H2O(capacity=40), of_all_queries),
        (StreamingLLM(capacity=40), of_age),
        (FastKV(capacity=40, tsp_layer=3), of_each_group),
    ],
    ids=lambda value: name_of(value) if isinstance(value, Method) else "",
)
def test_kept_are_the_highest_scores_and_the_window(
    engine: Engine, weights: list[Tensor], method: Method, scores_of: Callable[[Tensor], Tensor]
) -> None:
    cache = read_prompt(engine, make_prompt(LENGTH), method).cache
    for layer in range(LAYERS):
        scores, positions = scores_of(weights[layer]), cache.positions(layer)
        assert len(positions) == len(scores)
        for row, head_scores in zip(positions, scores, strict=True):
            assert_highest(row, head_scores)
    assert min(map(min, cache.lengths)) >= WINDOW
    assert sum(map(sum, cache.lengths)) < LAYERS * HEADS * 42


def test_the_scores_of_the_methods_lead_to_different_choices(engine: Engine) -> None:
    methods: list[Method] = [
        SnapKV(capacity=40),
        AdaKV(capacity=40),
        HeadKV(capacity=40, head_scores=HEAD_SCORES),
        PyramidKV(capacity=40),
        TOVA(capacity=40),
        H2O(capacity=40),
        StreamingLLM(capacity=40),
    ]
    ids = make_prompt(LENGTH)
    kept = [str(read_prompt(engine, ids, each).cache.positions(0)) for each in methods]
    assert len(set(kept)) == len(methods)


def test_tova_makes_one_choice_for_a_layer(engine: Engine) -> None:
    cache = read_prompt(engine, make_prompt(LENGTH), TOVA(capacity=40)).cache
    for layer in range(LAYERS):
        first, second = cache.positions(layer)
        assert torch.equal(first, second)


@pytest.mark.parametrize("capacity", [5, 9, 40])
def test_streamingllm_keeps_four_first_and_the_most_recent(engine: Engine, capacity: int) -> None:
    cache = read_prompt(engine, make_prompt(LENGTH), StreamingLLM(capacity=capacity)).cache
    expected = [0, 1, 2, 3, *range(LENGTH - capacity + 4, LENGTH)]
    for layer in range(LAYERS):
        assert [row.tolist() for row in cache.positions(layer)] == [expected] * KV_HEADS


@pytest.mark.parametrize("capacity", [5, 9, 40])
def test_h2o_keeps_half_of_its_budget_for_recent_tokens(engine: Engine, capacity: int) -> None:
    read = read_prompt(engine, make_prompt(LENGTH), H2O(capacity=capacity))
    assert read.plan.window == capacity // 2
    assert read.cache.lengths == [[capacity] * KV_HEADS] * LAYERS


def capacities_of(method: Method, shape: PromptShape) -> list[int]:
    """Of a method whose heads keep equally many entries."""
    return [each for each in method.plan(shape).capacities if isinstance(each, int)]


@pytest.mark.parametrize(
    ("capacity", "num_layers"), [(8 + 1, 30), (40, 4), (41, 4), (57, 30), (100, 4), (100, 1)]
)
def test_pyramidkv_falls_in_a_line_with_the_total_of_an_even_budget(
    capacity: int, num_layers: int
) -> None:
    shape = PromptShape(1000, num_layers, HEADS, KV_HEADS)
    capacities = capacities_of(PyramidKV(capacity=capacity), shape)
    assert sum(capacities) == capacity * num_layers
    b = capacity - WINDOW
    first, last = 2 * b - b / 20, b / 20
    step = (first - last) / (num_layers - 1) if num_layers > 1 else 0
    line = [first - step * index + WINDOW for index in range(num_layers)]
    if num_layers > 1:
        assert capacities == pytest.approx(line, abs=1)
        assert capacities[0] > capacities[-1]


@pytest.mark.parametrize("rate", [0.6, 0.9, 0.99])
def test_pyramidkv_gives_no_layer_more_than_there_is(engine: Engine, rate: float) -> None:
    capacities = capacities_of(PyramidKV(retention_rate=rate), engine.decoder.shape(200))
    assert max(capacities) == 200
    assert sum(capacities) == int(200 * rate) * LAYERS


@pytest.mark.parametrize("per_query_head", [False, True])
@pytest.mark.parametrize("floor", [0.0, 0.2, 1.0])
def test_adakv_gives_heads_their_share_of_the_layer_s_highest_scores(
    engine: Engine, weights: list[Tensor], per_query_head: bool, floor: float
) -> None:
    method = AdaKV(capacity=40, floor=floor, per_query_head=per_query_head)
    cache = read_prompt(engine, make_prompt(LENGTH), method).cache
    for layer in range(LAYERS):
        scores = window_scores(weights[layer])
        if not per_query_head:
            scores = per_group(scores)
        ranked = sorted(
            ((score, head) for head, row in enumerate(scores.tolist()) for score in row),
            reverse=True,
        )
        won = Counter(head for _, head in ranked[: len(scores) * 32])
        expected = [won[head] * (1 - floor) + floor * 32 + WINDOW for head in range(len(scores))]
        # a pool gives neighbours the same score: at the edge another head may win the tie
        assert cache.lengths[layer] == pytest.approx(expected, abs=8)
        assert sum(cache.lengths[layer]) == pytest.approx(40 * len(scores), abs=2 * len(scores))
    if floor == 1:
        assert cache.lengths == [[40] * (HEADS if per_query_head else KV_HEADS)] * LAYERS
    else:
        assert any(len(set(lengths)) > 1 for lengths in cache.lengths)


@pytest.mark.parametrize("beta", [1.0, 1.2, 5.0])
def test_headkv_shares_out_a_pool_by_head_scores(engine: Engine, beta: float) -> None:
    total = sum(map(sum, HEAD_SCORES))
    b = 40 - WINDOW
    pool = int(b / beta) * LAYERS * HEADS
    floor = b - int(b / beta)
    method = HeadKV(capacity=40, beta=beta, head_scores=HEAD_SCORES, per_query_head=True)
    cache = read_prompt(engine, make_prompt(LENGTH), method).cache
    for lengths, scores in zip(cache.lengths, HEAD_SCORES, strict=True):
        expected = [min(round(score / total * pool + floor) + WINDOW, LENGTH) for score in scores]
        assert lengths == expected


@pytest.mark.parametrize("beta", [1.0, 1.2, 5.0])
def test_headkv_shares_by_the_group_s_scores_where_heads_share_keys(
    engine: Engine, beta: float
) -> None:
    total = sum(map(sum, HEAD_SCORES))
    b = 40 - WINDOW
    pool = int(b / beta) * LAYERS * KV_HEADS
    floor = b - int(b / beta)
    method = HeadKV(capacity=40, beta=beta, head_scores=HEAD_SCORES)
    cache = read_prompt(engine, make_prompt(LENGTH), method).cache
    for lengths, scores in zip(cache.lengths, HEAD_SCORES, strict=True):
        groups = [sum(scores[first : first + GROUP]) for first in range(0, HEADS, GROUP)]
        expected = [min(round(group / total * pool + floor) + WINDOW, LENGTH) for group in groups]
        assert lengths == expected


@pytest.mark.parametrize("method", headwise_methods(capacity=40), ids=name_of)
def test_per_query_head_means_a_copy_for_every_query_head(
    engine: Engine, method: HeadwiseMethod
) -> None:
    cache = read_prompt(engine, make_prompt(LENGTH), method).cache
    heads = HEADS if method.per_query_head else KV_HEADS
    assert [len(lengths) for lengths in cache.lengths] == [heads] * LAYERS
    assert sum(map(sum, cache.lengths)) == pytest.approx(40 * heads * LAYERS, abs=2 * heads)


def products_of_the_last_query(engine: Engine, ids: list[int], index: int) -> Tensor:
    """q·k of the last token in a layer, (H, n), by transformers' own modules."""
    model = engine.loaded.model
    positions = torch.arange(len(ids))[None]
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[index]
        layer = model.model.layers[index]
        normalized = layer.input_layernorm(states)
        query = layer.self_attn.q_proj(normalized).view(1, len(ids), HEADS, -1).transpose(1, 2)
        key = layer.self_attn.k_proj(normalized).view(1, len(ids), KV_HEADS, -1).transpose(1, 2)
        query, key = apply_rotary_pos_emb(query, key, *model.model.rotary_emb(states, positions))
    products: Tensor = (query[:, :, -1:] @ key.repeat_interleave(GROUP, 1).transpose(2, 3))[0, :, 0]
    return products


@pytest.mark.parametrize("filter_layer", [None, 0, 1, 3])
def test_gemfilter_rereads_the_tokens_it_chose_at_fresh_positions(
    engine: Engine, filter_layer: int | None
) -> None:
    ids = make_prompt(LENGTH)
    summed = products_of_the_last_query(engine, ids, 2 if filter_layer is None else filter_layer)
    scores = functional.pad(summed.sum(dim=0)[:-1], (2, 2)).unfold(0, 5, 1).mean(dim=-1)
    chosen = [*sorted(scores.topk(39).indices.tolist()), LENGTH - 1]

    method = GemFilter(capacity=40, filter_layer=filter_layer)
    read = read_prompt(engine, ids, method)
    again = read_prompt(engine, [ids[row] for row in chosen], Full())
    assert torch.equal(read.logits, again.logits)
    assert read.cache.next_position == 40
    for layer in range(LAYERS):
        assert [row.tolist() for row in read.cache.positions(layer)] == [list(range(40))] * 2
    ours = engine.generate(ids, method, 6)
    assert ours.token_ids == engine.generate([ids[row] for row in chosen], Full(), 6).token_ids
