"""A document's state: what is kept, and that a question asked from it is answered as if afresh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import load_tiny, make_prompt, shared_tiny
from checks import Checks
from conftest import tiny_settings
from safetensors.torch import load_file

from fastkv_cli import Engine, FastKV, FastKVProbe, Full, Generation
from fastkv_cli.config import StoreMode
from fastkv_cli.engine.methods import GemFilter, Method
from fastkv_cli.engine.reuse.state import (
    SCALED_TOKENS,
    DocumentState,
    StateShape,
    pack_tensor,
)
from fastkv_cli.engine.reuse.states import DiskStates, MemoryStates, Reuse, make_reuse
from fastkv_cli.store import StateStore

SHARED = 300
DOCUMENT = make_prompt(SHARED)
QUESTIONS = [make_prompt(length, seed=length) for length in (12, 40, 25)]
METHODS: dict[str, Method] = {
    "fastkv": FastKV(tsp_layer=2, tsp_rate=0.3, retention_rate=0.2),
    "probe": FastKVProbe(tsp_layer=2, tsp_rate=0.3, retention_rate=0.2),
    "avg": FastKV(tsp_layer=2, tsp_length=90, capacity=60, pooling="avg"),
}


def ask(engine: Engine, method: Method, question: list[int], reuse: Reuse | None) -> Generation:
    if reuse is not None:
        reuse.start()
    asked = slice(SHARED + 1, SHARED + len(question) - 4)
    return engine.generate(
        DOCUMENT + question, method, 8, question=asked, shared=SHARED, reuse=reuse, ignore_eos=True
    )


def on_disk(folder: Path, mode: StoreMode = StoreMode.EXACT, warn: Any = print) -> Reuse:
    return Reuse(DiskStates(StateStore(folder, 10**9, warn), mode), layer=2, documents=("a.txt",))


def check_as_afresh(again: Generation, afresh: Generation) -> None:
    assert again.token_ids == afresh.token_ids
    assert torch.equal(again.first_logits, afresh.first_logits)
    assert again.token_scores == afresh.token_scores
    assert again.cache_lengths == afresh.cache_lengths


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", tiny_settings())
def test_answers_are_those_of_asking_afresh(
    tiny_models: dict[str, Path], tmp_path: Path, family: str, method: str
) -> None:
    engine = shared_tiny(tiny_models[family])
    stores = {"disk": on_disk(tmp_path), "memory": Reuse(MemoryStates(), 2)}
    with Checks() as check:
        for number, question in enumerate(QUESTIONS):
            afresh = ask(engine, METHODS[method], question, None)
            for store, reuse in stores.items():
                again = ask(engine, METHODS[method], question, reuse)
                with check(f"question {number}, {store}: the answer"):
                    check_as_afresh(again, afresh)
                with check(f"question {number}, {store}: tokens found and kept"):
                    assert reuse.stats is not None
                    counts = (reuse.stats.tokens_found, reuse.stats.tokens_kept)
                    assert counts == ((SHARED, 0) if number else (0, SHARED))
                with check(f"question {number}, {store}: the work that is spared"):
                    assert (again.kv.prefill_flops < afresh.kv.prefill_flops) == bool(number)


@pytest.mark.parametrize("layer", [1, 2])
def test_a_state_may_end_before_the_tsp_layer(
    tiny_models: dict[str, Path], tmp_path: Path, layer: int
) -> None:
    engine = shared_tiny(tiny_models["llama"])
    reuse = replace(on_disk(tmp_path), layer=layer)
    for question in QUESTIONS:
        again = ask(engine, METHODS["probe"], question, reuse)
        assert again.token_ids == ask(engine, METHODS["probe"], question, None).token_ids
    assert reuse.stats is not None
    assert reuse.stats.tokens_found == SHARED


def test_the_embedded_model_gives_the_same_bits(embedded_dir: Path, tmp_path: Path) -> None:
    engine = Engine.load("smollm2-135m", device="cpu", offline=True)
    method = FastKVProbe(tsp_layer=17, tsp_rate=0.2, retention_rate=0.2)
    reuse = replace(on_disk(tmp_path), layer=17)
    for question in QUESTIONS:
        again, afresh = (ask(engine, method, question, each) for each in (reuse, None))
        assert torch.equal(again.first_logits, afresh.first_logits)
        assert again.token_ids == afresh.token_ids
    assert reuse.stats is not None
    assert reuse.stats.tokens_found == SHARED


def test_scores_are_those_of_asking_afresh(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    engine = shared_tiny(tiny_models["llama"])
    reuse = on_disk(tmp_path)
    method = FastKV(tsp_layer=3, tsp_rate=0.3, retention_rate=0.2)
    for question in QUESTIONS:
        reuse.start()
        prompt = DOCUMENT + question
        afresh = engine.score(prompt, method, shared=SHARED)
        assert engine.score(prompt, method, shared=SHARED, reuse=reuse) == afresh
    assert reuse.stats is not None
    assert reuse.stats.tokens_found == SHARED


def test_nothing_that_is_kept_depends_on_the_question(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    engine = shared_tiny(tiny_models["llama"])
    kept = []
    for number, question in enumerate(QUESTIONS):
        ask(engine, METHODS["probe"], question, on_disk(tmp_path / str(number)))
        [path] = (tmp_path / str(number)).glob("*.safetensors")
        kept.append((path.name, load_file(path)))
    for name, tensors in kept[1:]:
        assert name == kept[0][0]
        assert tensors.keys() == kept[0][1].keys()
        assert all(torch.equal(tensor, kept[0][1][key]) for key, tensor in tensors.items())


@pytest.mark.parametrize(
    ("change", "is_found"),
    [
        (lambda prompt: prompt, True),
        (lambda prompt: [prompt[0] + 1, *prompt[1:]], False),
        (lambda prompt: [*prompt[: SHARED - 1], prompt[SHARED - 1] + 1, *prompt[SHARED:]], False),
        (lambda prompt: [*prompt[:SHARED], prompt[SHARED] + 1, *prompt[SHARED + 1 :]], True),
    ],
)
def test_a_state_is_that_of_just_these_tokens(
    tiny_models: dict[str, Path],
    tmp_path: Path,
    change: Callable[[list[int]], list[int]],
    is_found: bool,
) -> None:
    engine = shared_tiny(tiny_models["llama"])
    reuse, prompt = on_disk(tmp_path), DOCUMENT + QUESTIONS[0]
    ask(engine, METHODS["fastkv"], QUESTIONS[0], reuse)
    reuse.start()
    engine.generate(change(prompt), METHODS["fastkv"], 1, shared=SHARED, reuse=reuse)
    assert reuse.stats is not None
    assert bool(reuse.stats.tokens_found) is is_found


@pytest.mark.parametrize(
    "method",
    [Full(), GemFilter(retention_rate=0.2), FastKV(tsp_layer=1, tsp_rate=0.3, retention_rate=0.2)],
)
def test_methods_that_leave_nothing_to_keep(
    tiny_models: dict[str, Path], tmp_path: Path, method: Method
) -> None:
    engine, reuse = shared_tiny(tiny_models["llama"]), on_disk(tmp_path / "states")
    answer = ask(engine, method, QUESTIONS[0], reuse)
    assert answer.token_ids == ask(engine, method, QUESTIONS[0], None).token_ids
    assert reuse.stats is None
    assert not (tmp_path / "states").exists()


def test_where_a_state_ends(tiny_models: dict[str, Path]) -> None:
    engine = shared_tiny(tiny_models["llama"])
    shape = engine.decoder.shape(1000)

    def layer_of(*methods: Method) -> int | None:
        reuse = make_reuse(StoreMode.OFF, print, [each.plan(shape) for each in methods], ())
        return None if reuse is None else reuse.layer

    deep, early = FastKV(tsp_layer=3), FastKV(tsp_layer=1)
    assert layer_of(deep) == 3
    assert layer_of(deep, early) == 1
    assert layer_of(deep, FastKV(tsp_layer=0)) is None
    assert layer_of(deep, Full()) == 3  # for the parts of a long text
    assert layer_of(GemFilter(retention_rate=0.2)) is None


@pytest.mark.parametrize("mode", [StoreMode.EXACT, StoreMode.INT8])
def test_a_state_is_as_large_as_the_formula_says(
    tiny_models: dict[str, Path], tmp_path: Path, mode: StoreMode
) -> None:
    engine, reuse = shared_tiny(tiny_models["llama"]), on_disk(tmp_path, mode)
    ask(engine, METHODS["fastkv"], QUESTIONS[0], reuse)
    [path] = tmp_path.glob("*.safetensors")
    kept = sum(t.numel() * t.element_size() for t in load_file(path).values())
    numbers = SHARED * (2 * 2 * 2 * 16 + 64)  # K and V, ℓ = 2, H_kv = 2, D = 16; hidden
    scales = -(-SHARED // SCALED_TOKENS) * (2 * 2 * 2 * 16 + 64)
    assert kept == (4 * numbers if mode is StoreMode.EXACT else numbers + 4 * scales)
    assert reuse.stats is not None
    assert reuse.stats.bytes_kept == kept
    assert 0 < path.stat().st_size - kept < 8192


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num_tokens", [1, 64, 130])
def test_eight_bits_are_within_a_step_of_each_channels_scale(
    dtype: torch.dtype, num_tokens: int
) -> None:
    torch.manual_seed(0)
    shape = StateShape(num_tokens, 1, (None,), 3, 8, 16, dtype, int8=True)
    key = (torch.randn(3, num_tokens, 8) * torch.logspace(-2, 2, 8)).to(dtype)
    key[:, 0] *= 50  # as the first token of a text
    tensors = dict(pack_tensor(shape, "key.0", key)) | dict(pack_tensor(shape, "value.0", key))
    room = torch.empty(2, 1, 3, num_tokens, 8, dtype=dtype).unbind(0)
    DocumentState(shape, tensors).fill(0, *room)
    specs = shape.tensors()
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        name: spec.shape for name, spec in specs.items() if name.startswith(("key", "value"))
    }
    for start in range(0, num_tokens, SCALED_TOKENS):
        block = slice(start, start + SCALED_TOKENS)
        step = key[:, block].float().abs().amax(dim=1, keepdim=True) / 127
        for got in room:
            error = (got[0, :, block].float() - key[:, block].float()).abs()
            assert (error <= 0.51 * step + 0.01 * key[:, block].float().abs()).all()


def test_zeros_stay_zeros() -> None:
    shape = StateShape(70, 1, (None,), 2, 8, 16, torch.bfloat16, int8=True)
    zeros = torch.zeros(70, 16, dtype=torch.bfloat16)
    state = DocumentState(shape, dict(pack_tensor(shape, "hidden", zeros)))
    assert torch.equal(state.hidden, zeros.unsqueeze(0))


def test_an_answer_from_eight_bits_is_close(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    engine, reuse = shared_tiny(tiny_models["llama"]), on_disk(tmp_path, StoreMode.INT8)
    method = METHODS["fastkv"]
    first = ask(engine, method, QUESTIONS[0], reuse)
    assert first.token_ids == ask(engine, method, QUESTIONS[0], None).token_ids  # read afresh
    again = ask(engine, method, QUESTIONS[0], reuse)
    assert reuse.stats is not None
    assert reuse.stats.tokens_found == SHARED
    likeness = torch.cosine_similarity(again.first_logits, first.first_logits, dim=0)
    assert likeness > 0.95
    assert not torch.equal(again.first_logits, first.first_logits)


def test_a_longer_text_with_other_embeddings_is_read_afresh(tiny_models: dict[str, Path]) -> None:
    """LongRoPE turns a document otherwise where the text with the question is a long one."""
    engine, reuse = load_tiny(tiny_models["phi3-longrope"]), Reuse(MemoryStates(), 2)
    config = engine.loaded.model.config
    config.original_max_position_embeddings = SHARED + 30
    config.rope_parameters["original_max_position_embeddings"] = SHARED + 30
    found = []
    for question in (QUESTIONS[0], QUESTIONS[1], QUESTIONS[1], QUESTIONS[0]):
        again = ask(engine, METHODS["probe"], question, reuse)
        afresh = ask(engine, METHODS["probe"], question, None)
        assert torch.equal(again.first_logits, afresh.first_logits)
        assert reuse.stats is not None
        found.append(reuse.stats.tokens_found > 0)
    assert found == [False, False, True, True]


def test_a_text_beyond_the_budget_is_kept_from_its_start(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    engine = shared_tiny(tiny_models["llama"])
    state = StateShape.of(engine.decoder, SHARED, 2).nbytes
    reuse = replace(on_disk(tmp_path), budget_bytes=2 * state)

    def ask_all_parts() -> list[tuple[int, int]]:
        """Tokens found and kept, after each part."""
        reuse.start()
        counts = []
        for part in range(4):
            prompt = make_prompt(SHARED, seed=50 + part) + QUESTIONS[0]
            engine.generate(prompt, METHODS["fastkv"], 1, shared=SHARED, reuse=reuse)
            assert reuse.stats is not None
            counts.append((reuse.stats.tokens_found, reuse.stats.tokens_kept))
        return counts

    kept = [(0, SHARED), (0, 2 * SHARED), (0, 2 * SHARED), (0, 2 * SHARED)]
    assert ask_all_parts() == kept
    assert ask_all_parts() == [(number, 0) for _, number in kept]
    for path in tmp_path.glob("*.safetensors"):  # as another process does that needs the room
        path.unlink()
    assert ask_all_parts() == kept


def test_memory_is_bounded(tiny_models: dict[str, Path]) -> None:
    engine = shared_tiny(tiny_models["llama"])
    state = StateShape.of(engine.decoder, SHARED, 2).nbytes
    reuse = Reuse(MemoryStates(limit_bytes=2 * state), 2)
    found = []
    for seed in (50, 51, 50, 52, 51, 50):
        reuse.start()
        prompt = make_prompt(SHARED, seed=seed) + QUESTIONS[0]
        engine.generate(prompt, METHODS["fastkv"], 1, shared=SHARED, reuse=reuse)
        assert reuse.stats is not None
        found.append(reuse.stats.tokens_found > 0)
    assert found == [False, False, True, False, False, False]


def test_what_the_disk_cannot_keep_is_held_in_memory(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    engine = shared_tiny(tiny_models["llama"])
    warnings: list[str] = []
    too_small = DiskStates(StateStore(tmp_path, 1000, warnings.append), StoreMode.EXACT)
    reuse = Reuse(too_small, layer=2, fallback=MemoryStates())
    found = []
    for question in [*QUESTIONS, QUESTIONS[0]]:
        again = ask(engine, METHODS["probe"], question, reuse)
        assert again.token_ids == ask(engine, METHODS["probe"], question, None).token_ids
        assert reuse.stats is not None
        found.append((reuse.stats.tokens_found, reuse.stats.tokens_kept))
    assert found == [(0, 0), (0, SHARED), (SHARED, 0), (SHARED, 0)]
    assert len(warnings) == 1
