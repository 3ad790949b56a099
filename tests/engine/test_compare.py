"""One prompt, many methods: the answers and figures that each method gives by itself."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from cases import CASES, load_tiny, make_prompt, read_prompt, shared_tiny

from fastkv_cli import Engine, FastKV, FastKVProbe, Full, Generation, SnapKV, StreamingLLM
from fastkv_cli.engine.compare import Comparison
from fastkv_cli.engine.methods import Method

TOKENS = 8


class Asked(NamedTuple):
    """A prompt, read in full, and what the engine itself answers."""

    engine: Engine
    ids: list[int]
    question: slice
    comparison: Comparison
    full: Generation

    def generate(self, method: Method) -> Generation:
        return self.engine.generate(self.ids, method, TOKENS, question=self.question)


@pytest.fixture(
    scope="module",
    params=[("llama", 79, 0), ("llama", 200, 1), ("mistral-sliding", 200, 0)],
    ids=str,
)
def asked(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Asked:
    name, length, seed = request.param
    engine = shared_tiny(tiny_models[name])
    ids, question = make_prompt(length, seed), slice(length - 20, length - 6)
    full = engine.generate(ids, Full(), TOKENS, question=question)
    return Asked(engine, ids, question, Comparison(engine, ids, question, TOKENS), full)


@pytest.mark.parametrize("method", CASES.values(), ids=CASES)
def test_every_method_says_what_it_says_by_itself(asked: Asked, method: Method) -> None:
    alone, compared = asked.generate(method), asked.comparison.compare(method)
    assert compared.token_ids == alone.token_ids
    assert compared.text == alone.text
    assert compared.agrees is (alone.token_ids == asked.full.token_ids)
    full, ours = (each.first_logits.double().log_softmax(-1) for each in (asked.full, alone))
    by_hand = float((full.exp() * (full - ours)).sum())
    assert compared.kl == pytest.approx(by_hand, abs=1e-4)
    assert compared.kept_ratio == alone.kv.kept_bytes / alone.kv.full_bytes
    assert compared.compute_ratio == alone.kv.prefill_flops / alone.kv.full_flops


def test_full_is_level_with_itself(asked: Asked) -> None:
    for full in (asked.comparison.full(), asked.comparison.compare(Full())):
        assert full.token_ids == asked.full.token_ids
        assert full.text == asked.full.text
        assert full.agrees
        assert (full.kl, full.hidden_distance) == pytest.approx((0, 0), abs=1e-6)
        assert (full.kept_ratio, full.compute_ratio) == (1, 1)


def test_a_method_that_drops_nothing_is_level_with_full(asked: Asked) -> None:
    compared = asked.comparison.compare(SnapKV(retention_rate=1.0))
    assert compared.agrees
    assert (compared.kl, compared.hidden_distance) == pytest.approx((0, 0), abs=1e-6)


def test_eviction_alone_does_not_touch_the_first_token(asked: Asked) -> None:
    """Prefill reads all tokens before any entry is dropped; only what follows can differ."""
    compared = asked.comparison.compare(StreamingLLM(capacity=9))
    assert (compared.kl, compared.hidden_distance) == pytest.approx((0, 0), abs=1e-6)
    assert compared.token_ids[0] == asked.full.token_ids[0]
    window = asked.engine.decoder.attention_layers[0].sliding_window or len(asked.ids)
    assert compared.kept_ratio == pytest.approx(9 / min(len(asked.ids), window))


def test_propagation_shows_in_the_first_token(asked: Asked) -> None:
    method = FastKV(tsp_layer=1, tsp_rate=0.2, retention_rate=0.15)
    compared = asked.comparison.compare(method)
    assert compared.kl > 0.001
    assert compared.compute_ratio < 0.9
    full, ours = (read_prompt(asked.engine, asked.ids, one).hidden for one in (Full(), method))
    assert compared.hidden_distance == pytest.approx(float((full - ours).pow(2).mean()), rel=1e-4)
    assert compared.hidden_distance > 0
    assert asked.comparison.hidden_square == pytest.approx(float(full.pow(2).mean()), rel=1e-4)


def test_some_answers_agree_in_part(asked: Asked) -> None:
    """The road on which a draft is left half-way is taken at all."""
    starts = set()
    for method in CASES.values():
        pairs = zip(asked.comparison.compare(method).token_ids, asked.full.token_ids, strict=False)
        starts.add(next((at for at, (a, b) in enumerate(pairs) if a != b), TOKENS))
    assert len(starts) > 2


def test_the_order_and_number_of_comparisons_do_not_matter(asked: Asked) -> None:
    methods = [FastKVProbe(tsp_layer=1, retention_rate=0.15), FastKV(tsp_layer=2), Full()]
    fresh = Comparison(asked.engine, asked.ids, asked.question, TOKENS)
    backwards = [fresh.compare(method) for method in reversed(methods)][::-1]
    assert [fresh.compare(method) for method in methods] == backwards
    assert fresh.full().token_ids == asked.full.token_ids


def test_the_question_reaches_the_methods(asked: Asked) -> None:
    method = FastKVProbe(tsp_layer=1, tsp_rate=0.3, retention_rate=0.3)
    elsewhere = Comparison(asked.engine, asked.ids, slice(30, 40), TOKENS).compare(method)
    assert elsewhere.hidden_distance != asked.comparison.compare(method).hidden_distance


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_short_answers(tiny_models: dict[str, Path], limit: int) -> None:
    engine, ids = shared_tiny(tiny_models["llama"]), make_prompt(79)
    comparison = Comparison(engine, ids, slice(60, 70), limit)
    assert comparison.full().token_ids == engine.generate(ids, Full(), limit).token_ids
    method = FastKV(tsp_layer=1, tsp_rate=0.2, retention_rate=0.15)
    expected = engine.generate(ids, method, limit).token_ids
    assert comparison.compare(method).token_ids == expected


@pytest.mark.parametrize("kv_dtype", ["int8", "bf16"])
def test_methods_are_compared_with_the_engine_s_cache(
    tiny_models: dict[str, Path], kv_dtype: str
) -> None:
    folder, ids = str(tiny_models["llama"]), make_prompt(79)
    engine = Engine.load(folder, dtype="float32", device="cpu", kv_dtype=kv_dtype)
    comparison = Comparison(engine, ids, slice(60, 70), TOKENS)
    for method in (Full(), SnapKV(retention_rate=0.3)):
        expected, compared = engine.generate(ids, method, TOKENS), comparison.compare(method)
        assert compared.token_ids == expected.token_ids
        assert compared.kept_ratio == expected.kv.kept_bytes / expected.kv.full_bytes
    assert comparison.full().kept_ratio < 0.7


def test_an_end_token_ends_both(tiny_models: dict[str, Path]) -> None:
    """Whatever is said first counts as the end, in full; a method that says another goes on."""
    engine, ids = load_tiny(tiny_models["llama"]), make_prompt(200)
    method = FastKV(tsp_layer=0, tsp_rate=0.1, retention_rate=0.1)
    free = Comparison(engine, ids, slice(180, 194), TOKENS)
    said, ours = free.full().token_ids, free.compare(method).token_ids
    for ends in {said[0], said[3], ours[0], ours[3]}:
        object.__setattr__(engine.loaded, "eos_ids", frozenset({ends}))
        comparison = Comparison(engine, ids, slice(180, 194), TOKENS)
        for one in (Full(), method):
            expected = engine.generate(ids, one, TOKENS).token_ids
            assert comparison.compare(one).token_ids == expected
            assert ends not in expected[:-1]


def test_nothing_is_left_in_the_model(tiny_models: dict[str, Path]) -> None:
    engine, ids = load_tiny(tiny_models["llama"]), make_prompt(200)
    before = engine.generate(ids, Full(), TOKENS)
    Comparison(engine, ids, slice(180, 194), TOKENS).compare(FastKV())
    after = engine.generate(ids, Full(), TOKENS)
    assert after.token_ids == before.token_ids
    assert torch.equal(after.first_logits, before.first_logits)
