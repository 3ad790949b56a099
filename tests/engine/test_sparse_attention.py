"""Block-sparse attention: exact over the blocks it takes, and the same for a text in any prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import load_tiny, make_prompt, read_prompt, shared_tiny

from fastkv_cli import Engine, FastKV, FastKVProbe, Full
from fastkv_cli.config import (
    MethodName,
    MethodSettings,
    PrefillAttention,
    PrefillWeights,
    Preset,
)
from fastkv_cli.engine.kernels import sparse_attention
from fastkv_cli.engine.kernels.attention import Causality, Kernel, attend
from fastkv_cli.engine.kernels.row_blocks import round_up
from fastkv_cli.engine.kernels.sparse_attention import BlockSparsity, attend_sparsely
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import build_method
from fastkv_cli.engine.model import hardware
from fastkv_cli.engine.recording_runner import RecordingRunner
from fastkv_cli.engine.reuse.document_runner import DocumentRunner
from fastkv_cli.engine.reuse.states import MemoryStates, Reuse
from fastkv_cli.engine.run_forecast import plan_prompts
from fastkv_cli.engine.time_forecast import PlannedPrompt
from fastkv_cli.engine.tuning import Tuning, tuning_of
from fastkv_cli.errors import UsageError
from fastkv_cli.forecasts import PromptForecast, PromptUse

LENGTH, ROWS = 1500, 1024
EVERYTHING = BlockSparsity(coverage=1.0, least=100, most=100)


def make_heads(
    scale: float = 1.0, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries (1, 4, T, 16), and keys and values of 2 KV heads, padded with zeros."""
    torch.manual_seed(0)
    query = scale * torch.randn(1, 4, LENGTH, 16)
    key, value = (torch.zeros(1, 2, round_up(LENGTH), 16) for _ in range(2))
    key[:, :, :LENGTH], value[:, :, :LENGTH] = torch.randn(2, 1, 2, LENGTH, 16)
    return query.to(dtype), key.to(dtype), value.to(dtype)


def dense(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    causality = Causality(torch.arange(LENGTH))
    return attend(query, key, value, causality, 0.25, Kernel.SDPA)


def sparse(
    heads: Any, sparsity: BlockSparsity, dense_from: int = LENGTH
) -> tuple[torch.Tensor, int]:
    """Attention in two chunks of rows."""
    query, key, value = heads
    parts = [
        attend_sparsely(query[:, :, at : at + ROWS], key, value, at, dense_from, 0.25, sparsity)
        for at in (0, ROWS)
    ]
    return torch.cat([each.attended for each in parts], dim=2), sum(
        each.skipped_pairs for each in parts
    )


@pytest.mark.parametrize(
    ("scale", "dtype", "tolerance"),
    [(1.0, torch.float32, 2e-3), (300.0, torch.float32, 2e-3), (1.0, torch.bfloat16, 2e-2)],
    ids=["float32", "scores beyond an exponent's range", "bfloat16"],
)
def test_with_all_blocks_it_is_dense(scale: float, dtype: torch.dtype, tolerance: float) -> None:
    heads = make_heads(scale, dtype)
    attended, skipped = sparse(heads, EVERYTHING)
    assert skipped == 0
    assert attended.dtype is dtype
    torch.testing.assert_close(attended, dense(*heads), atol=tolerance, rtol=tolerance)


def test_what_it_leaves_out_holds_little_attention() -> None:
    """Some tokens draw nearly all attention: their blocks are found, and many others left out."""
    query, key, value = make_heads(0.3)
    query[..., 0] += 4
    key[:, :, [100, 333, 700], 0] += 9  # e^9 times the weight of any other
    heads = query, key, value
    attended, skipped = sparse(heads, BlockSparsity(coverage=0.9, least=1))
    pairs = 4 * LENGTH * LENGTH / 2
    assert 0.2 < skipped / pairs < 0.9
    wanted = dense(*heads)
    assert float((attended - wanted).norm() / wanted.norm()) < 0.1
    assert sparse(heads, BlockSparsity(0.9999, 1))[1] < skipped


def test_rows_of_the_question_attend_to_everything() -> None:
    heads = make_heads()
    attended, _ = sparse(heads, BlockSparsity(0.3, 1), dense_from=1300)
    wanted = dense(*heads)
    last = slice(ROWS + 256, None)  # the block of queries that holds row 1,300
    torch.testing.assert_close(attended[:, :, last], wanted[:, :, last], atol=2e-3, rtol=2e-3)
    assert not torch.allclose(attended[:, :, ROWS : ROWS + 256], wanted[:, :, ROWS : ROWS + 256])


def test_blocks_come_in_multiples() -> None:
    held = torch.rand(24)
    for nearest in (12, 13, 20):
        for coverage in (0.1, 0.5, 0.9, 1.0):
            sparsity = BlockSparsity(coverage, 2)
            blocks = sparse_attention._choose(held.tolist(), nearest, sparsity).tolist()
            assert blocks == sorted(set(blocks))
            assert {0, *range(nearest, 24)} <= {*blocks}
            assert len(blocks) % 2 == 0 or len(blocks) == 24
            assert len(blocks) == 24 or float(held[blocks].sum()) >= coverage * float(held.sum())


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


METHOD: dict[str, Any] = {"tsp_layer": 2, "tsp_rate": 0.3, "retention_rate": 0.2}
THIN = BlockSparsity(coverage=0.2, least=1)


def test_only_layers_that_process_every_token_are_sparse(engine: Engine) -> None:
    ids = make_prompt(LENGTH)
    runner = LayerRunner(Kernel.BLOCKED, sparsity=THIN)
    found = read_prompt(engine, ids, FastKVProbe(**METHOD, sparsity=THIN), runner)
    assert {*runner.skipped_pairs} == {0, 1}
    assert found.plan.sparsity == THIN
    dense = read_prompt(engine, ids, FastKVProbe(**METHOD), LayerRunner(Kernel.BLOCKED))
    spared = 4 * 16 * sum(runner.skipped_pairs.values())  # other tokens may be propagated, too
    assert found.flops == pytest.approx(dense.flops - spared, rel=0.01)
    assert dense.attention_ratio is None
    assert found.attention_ratio is not None
    assert 0.2 < found.attention_ratio < 0.9
    assert not torch.equal(found.logits, dense.logits)
    stats = found.kv_stats(engine.decoder, FastKVProbe(**METHOD), LENGTH, found.cache.lengths)
    assert stats.attention_ratio == found.attention_ratio


def test_other_kernels_and_short_prompts_stay_dense(engine: Engine) -> None:
    method = FastKVProbe(**METHOD, sparsity=THIN)
    for kernel, length in ((Kernel.SDPA, LENGTH), (Kernel.BLOCKED, 500)):
        runner = LayerRunner(kernel, sparsity=THIN)
        found = read_prompt(engine, make_prompt(length), method, runner)
        assert found.attention_ratio is None
        same = read_prompt(engine, make_prompt(length), FastKVProbe(**METHOD), LayerRunner(kernel))
        assert torch.equal(found.logits, same.logits)


@pytest.mark.parametrize(
    ("dtype", "attention", "is_sparse"),
    [("auto", "auto", True), ("auto", "sdpa", False), ("float32", "auto", False)],
)
def test_float32_is_sparse_if_auto_chose_it(
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    attention: str,
    is_sparse: bool,
) -> None:
    """As on a CPU that does not multiply bfloat16; a forecast knows, and finds the state."""
    monkeypatch.setattr(hardware, "_cpu_multiplies_bfloat16", lambda: False)
    engine = Engine.load(
        str(tiny_models["llama"]),
        dtype=dtype,
        attention=attention,
        device="cpu",
        prefill_weights="bf16",
    )
    assert engine.decoder.dtype is torch.float32
    method = FastKVProbe(**METHOD, sparsity=THIN)
    ids, reuse = make_prompt(LENGTH + 20), Reuse(MemoryStates(), 2)

    def forecast() -> PlannedPrompt:
        prompt = PromptForecast(
            PromptUse.ANSWERED, len(ids), question=question, shared_ids=ids[:LENGTH]
        )
        of = engine.loaded, engine.decoder, [prompt], method, tuning_of(engine.loaded), reuse
        return plan_prompts(*of, PrefillWeights.BF16)[0]

    question = slice(LENGTH + 2, LENGTH + 18)
    planned = forecast()
    assert (planned.plan.sparsity is not None) is is_sparse
    assert planned.num_known == 0
    done = engine.generate(ids, method, 1, question=question, shared=LENGTH, reuse=reuse)
    assert (done.kv.attention_ratio is not None) is is_sparse
    assert forecast().num_known == LENGTH


def test_comparisons_share_only_what_is_computed_alike(engine: Engine) -> None:
    ids = make_prompt(LENGTH)
    method = FastKVProbe(**METHOD, sparsity=THIN)
    alone = read_prompt(engine, ids, method, LayerRunner(Kernel.BLOCKED, sparsity=THIN))
    shared = RecordingRunner(Kernel.BLOCKED, sparsity=THIN)
    deeper = {**METHOD, "tsp_layer": 3}
    read_prompt(engine, ids, FastKVProbe(**deeper, sparsity=THIN), shared)
    again = read_prompt(engine, ids, method, shared)
    assert torch.equal(again.logits, alone.logits)
    assert (again.flops, again.attention_ratio) == (alone.flops, alone.attention_ratio)


def test_a_state_is_the_same_behind_any_question(tiny_models: dict[str, Path]) -> None:
    """The document's blocks do not depend on the question, and states know what they are of."""
    loaded = load_tiny(tiny_models["llama"]).loaded
    engine = Engine(replace(loaded, kernel=Kernel.BLOCKED))
    document, method = make_prompt(LENGTH), FastKVProbe(**METHOD, sparsity=THIN)
    states = MemoryStates()

    def ask(
        seed: int, length: int, chosen: FastKVProbe, reuse: Reuse | None
    ) -> tuple[torch.Tensor, int]:
        prompt = [*document, *make_prompt(length, seed)]
        question = slice(LENGTH + 2, len(prompt) - 2)
        done = engine.generate(prompt, chosen, 1, question=question, shared=LENGTH, reuse=reuse)
        found = reuse.stats.tokens_found if reuse is not None and reuse.stats is not None else 0
        return done.first_logits, found

    assert ask(1, 20, method, Reuse(states, 2))[1] == 0
    for seed, length in ((2, 20), (3, 400)):
        logits, found = ask(seed, length, method, Reuse(states, 2))
        assert found == LENGTH
        assert torch.equal(logits, ask(seed, length, method, None)[0])
    assert ask(4, 20, FastKVProbe(**METHOD), Reuse(states, 2))[1] == 0  # dense: another state
    assert DocumentRunner(Kernel.BLOCKED, sparsity=THIN).sparsity == THIN


class TestSettings:
    def build(self, name: str, attention: str, tuning: Tuning | None = None) -> Any:
        settings = MethodSettings(MethodName(name), prefill_attention=PrefillAttention(attention))
        return build_method(settings, tuning or Tuning())

    def test_auto_is_the_preset_s(self) -> None:
        assert self.build("fastkv-probe", "auto").sparsity is None
        assert self.build("fastkv-probe", "sparse").sparsity == BlockSparsity()
        assert self.build("fastkv", "sparse").sparsity == BlockSparsity()
        presets = Tuning().presets
        tuning = Tuning(
            presets={preset: replace(presets[preset], is_sparse=True) for preset in Preset}
        )
        for name, attention, is_sparse in (
            ("fastkv-probe", "auto", True),
            ("fastkv-cascade", "auto", True),
            ("fastkv-probe", "dense", False),
            ("fastkv", "auto", False),  # as published
        ):
            assert (self.build(name, attention, tuning).sparsity is not None) is is_sparse

    @pytest.mark.parametrize("name", ["full", "snapkv", "gemfilter", "uniprefill"])
    def test_other_methods_are_dense(self, name: str) -> None:
        assert self.build(name, "dense") == self.build(name, "auto")
        with pytest.raises(UsageError, match="leave out --prefill-attention sparse"):
            self.build(name, "sparse")

    def test_full_and_published_plans_are_dense(self, engine: Engine) -> None:
        shape = engine.decoder.shape(LENGTH)
        assert Full().plan(shape).sparsity is None
        assert FastKV().plan(shape).sparsity is None

    @pytest.mark.parametrize(
        "changes", [{"coverage": 0}, {"coverage": 1.1}, {"least": -1}, {"least": 33}], ids=str
    )
    def test_ranges(self, changes: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="out of range"):
            BlockSparsity(**changes)
