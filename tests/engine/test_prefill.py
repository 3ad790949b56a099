"""The prefill loop: what it keeps, what goes on, and how much memory it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cases import make_prompt, name_of, read_prompt, shared_tiny
from checks import Checks
from torch.utils._python_dispatch import TorchDispatchMode

from fastkv_cli import H2O, AdaKV, Engine, FastKV, FastKVProbe, Full, GemFilter
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import Method, PromptShape
from fastkv_cli.engine.prefill import score_tokens
from fastkv_cli.errors import ContextError, UsageError

FASTKV = FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.25)
METHODS = [
    Full(),
    FASTKV,
    FastKV(tsp_layer=2, tsp_length=64, capacity=24, pooling="avg"),
    AdaKV(retention_rate=0.25, per_query_head=True),
    H2O(retention_rate=0.25),
    GemFilter(retention_rate=0.25),
]


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


@pytest.fixture(scope="module")
def sliding(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["ministral"])


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_chunks_change_nothing(engine: Engine, sliding: Engine, method: Any) -> None:
    with Checks() as check:
        for family, one in (("llama", engine), ("ministral", sliding)):
            for length, chunks in ((100, [1]), (300, [7, 64, 299])):
                whole = one.generate(make_prompt(length), method, 8, chunk_rows=1000)
                for chunk_rows in chunks:
                    parts = one.generate(make_prompt(length), method, 8, chunk_rows=chunk_rows)
                    with check(f"{family}, {length} tokens, {chunk_rows} rows"):
                        assert parts.token_ids == whole.token_ids
                        assert parts.cache_lengths == whole.cache_lengths
                        assert (parts.first_logits - whole.first_logits).abs().max() < 1e-3


@pytest.mark.parametrize("length", [1, 7, 8, 9, 79, 200])
def test_prompts_that_are_read_in_full(engine: Engine, length: int) -> None:
    full = engine.generate(make_prompt(length), Full(), 12)
    with Checks() as check:
        with check("a budget of everything"):
            everything = FastKV(tsp_layer=1, tsp_rate=1.0, retention_rate=1.0)
            ours = engine.generate(make_prompt(length), everything, 12)
            assert ours.token_ids == full.token_ids
            assert torch.equal(ours.first_logits, full.first_logits)
            assert ours.kv.kept_bytes == ours.kv.full_bytes == full.kv.full_bytes
        if length < 80:
            with check("a short prompt with the paper's settings"):
                ours = engine.generate(make_prompt(length), FastKV(), 12)
                assert ours.token_ids == full.token_ids
                assert ours.cache_lengths == [[length, length]] * 4
                assert ours.kv.tsp_layer is None
                assert ours.kv.note


def test_lengths_and_bytes_are_those_of_the_plan(engine: Engine) -> None:
    generation = engine.generate(make_prompt(400), FASTKV, 4)
    assert generation.cache_lengths == [[100, 100]] * 4
    assert [layer.tokens_seen for layer in generation.kv.layers] == [400, 400, 200, 200]
    # 4 layers × K and V × 2 heads × 16 numbers × 4 bytes
    assert generation.kv.kept_bytes == 100 * 4 * 2 * 2 * 16 * 4
    assert generation.kv.full_bytes == 400 * 4 * 2 * 2 * 16 * 4
    assert generation.kv.kept_ratio == 0.25


def test_layers_behind_keep_what_they_see_when_that_is_less(engine: Engine) -> None:
    method = FastKV(tsp_layer=1, tsp_rate=0.1, capacity=80)
    generation = engine.generate(make_prompt(400), method, 4)
    assert generation.cache_lengths == [[80, 80]] * 2 + [[40, 40]] * 2


def test_positions_keep_their_gaps_and_decoding_goes_on_behind_the_prompt(engine: Engine) -> None:
    ids = torch.tensor(make_prompt(400))
    read = read_prompt(engine, ids, FASTKV, LayerRunner(Kernel.SDPA))
    assert read.cache.next_position == 400
    for layer in range(4):
        for row in read.cache.positions(layer):
            assert (row.diff() > 0).all()
            assert row[-8:].tolist() == list(range(392, 400))
    assert max(row.diff().max() for row in read.cache.positions(3)) > 1


def test_kept_are_the_highest_scores_and_the_window(engine: Engine) -> None:
    """Held against scores worked out from the model's own attention weights."""
    ids = torch.tensor(make_prompt(160))
    model = engine.loaded.model
    model.set_attn_implementation("eager")
    with torch.no_grad():
        weights = model(ids[None], output_attentions=True).attentions[0][0]  # (H, n, n)
    mass = weights[:, -8:, :-8].sum(dim=1)
    pooled = torch.nn.functional.max_pool1d(mass[None], 7, stride=1, padding=3)[0]
    expected = pooled.view(2, 2, -1).sum(dim=1)
    cache = read_prompt(engine, ids, FASTKV, LayerRunner(Kernel.SDPA)).cache
    for head in range(2):
        kept = set(cache.positions(0)[head].tolist()) - set(range(152, 160))
        lowest = min(expected[head, list(kept)])
        dropped = set(range(152)) - kept
        assert len(kept) == 32
        assert lowest >= max(expected[head, list(dropped)]) - 1e-6


@pytest.mark.parametrize(
    "method", [FASTKV, FastKVProbe(tsp_layer=1, retention_rate=0.2), GemFilter()], ids=name_of
)
def test_the_scores_of_the_tsp_layer_are_given(engine: Engine, method: Any) -> None:
    """What the last layer kept of FastKV are tokens with the highest of them."""
    read = read_prompt(engine, torch.tensor(make_prompt(400)), method, LayerRunner(Kernel.SDPA))
    assert read.token_scores is not None
    assert read.plan.tsp is not None
    generation = engine.generate(make_prompt(400), method, 2)
    assert generation.token_scores == read.token_scores.tolist()
    window = read.plan.window
    assert read.token_scores.shape == (400 - window,)
    best = read.token_scores.topk(read.plan.tsp.length - window).indices.sort().values
    if method is FASTKV:  # GemFilter's positions have no gaps, and the probe adds up layers
        kept = read.cache.positions(3)[0]
        assert set(kept[kept < 400 - window].tolist()) <= set(best.tolist())
    assert engine.generate(make_prompt(400), Full(), 2).token_scores is None


def test_tokens_left_behind_do_not_reach_deeper_layers(engine: Engine) -> None:
    """With TSP at layer 1, layers 2 and 3 give what they give on the propagated tokens alone."""
    ids = torch.tensor(make_prompt(120))
    method = FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.5)
    cache = read_prompt(engine, ids, method, LayerRunner(Kernel.SDPA)).cache
    propagated = cache.positions(2)[0]
    assert propagated.shape == (60,)
    model = engine.loaded.model
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        hidden = model(ids[None], output_hidden_states=True).hidden_states[2][:, propagated]
        rope = model.model.rotary_emb(hidden, propagated[None])
        for layer in model.model.layers[2:]:
            hidden = layer(hidden, position_embeddings=rope, attention_mask=None)
        expected = model.lm_head(model.model.norm(hidden[:, -1]))[0]
    read = read_prompt(engine, ids, method, LayerRunner(Kernel.SDPA))
    assert (read.logits - expected).abs().max() < 1e-3


def test_scores_of_the_early_exit_choose_the_tokens_that_go_on(engine: Engine) -> None:
    ids = torch.tensor(make_prompt(200))
    scores = score_tokens(
        engine.decoder,
        ids,
        FASTKV,
        LayerRunner(Kernel.SDPA),
        FASTKV.plan(engine.decoder.shape(len(ids))),
    )
    assert scores.shape == (192,)
    full_width = FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.5)
    cache = read_prompt(engine, ids, full_width, LayerRunner(Kernel.SDPA)).cache
    chosen = set(cache.positions(2)[0].tolist()) - set(range(192, 200))
    assert min(scores[list(chosen)]) >= max(scores[list(set(range(192)) - chosen)])


class Results(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what every operation gives: bytes of storage, and shape."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes: list[int] = []
        self.shapes: list[torch.Size] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.nbytes.append(int(result.untyped_storage().nbytes()))
            self.shapes.append(result.shape)
        return result


def largest_tensor(engine: Engine, method: Method, kernel: Kernel, length: int) -> int:
    """Bytes of the largest tensor that a prefill makes."""
    ids, results = torch.tensor(make_prompt(length)), Results()
    with results:
        read_prompt(engine, ids, method, LayerRunner(kernel, chunk_rows=64))
    return max(results.nbytes)


@pytest.mark.parametrize("kernel", [Kernel.SDPA, Kernel.BLOCKED])
@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_memory_grows_with_the_prompt_not_with_its_square(
    engine: Engine, method: Method, kernel: Kernel
) -> None:
    short, medium, long = (
        largest_tensor(engine, method, kernel, length) for length in (500, 1000, 2000)
    )
    assert long < 2.5 * medium < 6.25 * short
    if not isinstance(method, H2O):  # whose scores take the attention of 128 rows at once
        assert long <= 4 * (2000 * 64 * 4)  # a small multiple of the hidden states


def test_only_the_last_position_meets_the_head(engine: Engine) -> None:
    vocabulary = engine.loaded.model.config.vocab_size
    with Results() as results:
        read_prompt(engine, torch.tensor(make_prompt(100)), Full(), LayerRunner(Kernel.SDPA))
    logits = [shape for shape in results.shapes if shape[-1:] == (vocabulary,)]
    assert logits
    assert {shape.numel() for shape in logits} == {vocabulary}


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_progress_ends_at_one_and_never_falls(engine: Engine, method: Method) -> None:
    shares: list[float] = []
    engine.generate(make_prompt(300), method, 2, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    plan = method.plan(engine.decoder.shape(300))
    filtered = plan.tsp.layer + 1 if plan.tsp is not None and plan.tsp.restart else 0
    assert len(shares) == engine.decoder.num_layers + filtered


def test_prompts_that_cannot_be_read_are_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="empty"):
        engine.generate([], Full(), 4)
    with pytest.raises(UsageError, match="out of range"):
        engine.generate([1, 10**6], Full(), 4)
    with pytest.raises(ContextError, match="2,048"):
        engine.generate(make_prompt(2048), Full(), 4)
    with pytest.raises(UsageError, match="0 to 3"):
        engine.generate(make_prompt(100), FastKV(tsp_layer=4), 4)
    with pytest.raises(UsageError, match="max_new_tokens"):
        engine.generate(make_prompt(10), Full(), 0)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_room_for_tokens_to_come_is_no_part_of_the_cache(engine: Engine, method: Method) -> None:
    ids, runner = torch.tensor(make_prompt(200)), LayerRunner(Kernel.SDPA)
    without = read_prompt(engine, ids, method, runner).cache
    with_room = read_prompt(engine, ids, method, runner, room=50).cache
    assert with_room.nbytes == without.nbytes
    assert with_room.lengths == without.lengths
    for layer in range(4):
        for spare, tight in zip(with_room.groups(layer), without.groups(layer), strict=True):
            assert torch.equal(spare.keys, tight.keys)
            assert spare.key.shape[2] >= tight.length + 50


def test_the_window_of_the_model_ends_the_answer(engine: Engine) -> None:
    generation = engine.generate(make_prompt(2045, seed=3), Full(), 50)
    assert len(generation.token_ids) <= 3
    assert generation.finish_reason in {"length", "stop"}


def test_layers_behind_the_tsp_layer_floor_a_second_time() -> None:
    """As the published code does: 143 up to ℓ*, 142 behind it."""
    method = FastKV(tsp_layer=1, tsp_rate=0.25, retention_rate=0.15)
    assert method.plan(PromptShape(955, 4, 4, 2)).capacities == (143, 143, 142, 142)
    even = FastKV(tsp_layer=1, tsp_rate=0.3, retention_rate=0.3)
    assert even.plan(PromptShape(104, 4, 4, 2)).capacities == (31, 31, 31, 31)
