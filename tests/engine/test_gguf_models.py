"""Whole models in GGUF files: the tokens of transformers on the dequantized weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from block_maker import make_blocks
from cases import make_prompt, read_prompt
from checks import Checks
from gguf_families import FAMILIES as TINY
from gguf_families import make_model, write_family
from gguf_files import add_tokenizer

from fastkv_cli import Engine, Full
from fastkv_cli.config import DecodeWeights, DType
from fastkv_cli.engine.decode import extend
from fastkv_cli.engine.kernels.packed import PackedDecoder
from fastkv_cli.engine.kernels.packed_matrix import Int8RowsMatrix
from fastkv_cli.engine.kernels.packed_mlp import PackedExperts
from fastkv_cli.engine.kernels.packing import can_pack, pack
from fastkv_cli.engine.model import families as engine_families
from fastkv_cli.engine.model import loader
from fastkv_cli.engine.model.gguf_blocks import BLOCK_TYPES
from fastkv_cli.engine.model.gguf_placement import placement
from fastkv_cli.engine.model.loader import load_model

HIDDEN, INNER, HEADS, KV_HEADS, VOCABULARY = 256, 512, 4, 2, 384
# The logits' relative error with matrices packed in 4 or 8 bits and computed in bfloat16.
BOUND = 0.05
# The same where packing loses nothing; but the kernel of AVX2 rounds results to bfloat16.
ROUNDS_RESULTS = can_pack() and isinstance(pack(torch.randn(3, 32)), Int8RowsMatrix)
ROUNDED = 0.1 if ROUNDS_RESULTS else 0.01


def write_model(path: Path, kind: str, tokenizer: Path) -> Any:
    """A random Llama of two layers with every matrix in blocks of this type.

    Returns:
        transformers' model over the dequantized weights, in float32.
    """
    config = transformers.LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        num_hidden_layers=2,
        vocab_size=VOCABULARY,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    model: Any = transformers.LlamaForCausalLM(config).eval()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(2)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    add_tokenizer(writer, tokenizer)
    number = gguf.GGMLQuantizationType[kind]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for at, (key, weight) in enumerate(model.named_parameters()):
        stem, suffix = key.rsplit(".", 1)
        name = f"{names.get_name(stem)}.{suffix}"
        if weight.dim() == 1:
            writer.add_tensor(name, weight.detach().numpy())
            continue
        raw = make_blocks(kind, *weight.shape, size=0.3, seed=at)
        writer.add_tensor(name, raw.numpy(), raw_dtype=number)
        values = torch.empty(weight.shape)
        BLOCK_TYPES[kind].unpack(raw, values)  # equal to gguf's own, see test_gguf_blocks.py
        place = placement(name, "llama", config.to_dict())
        assert place is not None
        weight.data.copy_(values if place.rows is None else values[place.rows])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@torch.no_grad()
def test_every_type_of_blocks(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    prompt_ids = make_prompt(79)
    with Checks() as check:
        for kind in BLOCK_TYPES:
            path = tmp_path / f"{kind}.gguf"
            model = write_model(path, kind, tiny_models["llama"])
            tokens = model.generate(
                torch.tensor([prompt_ids]), max_new_tokens=8, min_new_tokens=8, do_sample=False
            )[0, len(prompt_ids) :].tolist()
            logits = model(torch.tensor([prompt_ids])).logits[0, -1]
            exact = Engine.load(str(path), dtype="float32", device="cpu")
            found = exact.generate(prompt_ids, Full(), 8, ignore_eos=True)
            with check(f"{kind}: tokens in float32"):
                assert found.token_ids == tokens
            with check(f"{kind}: logits in float32"):
                torch.testing.assert_close(found.first_logits, logits, atol=1e-4, rtol=1e-4)
            rounded = Engine.load(str(path), dtype="bfloat16", device="cpu")
            with check(f"{kind}: packed"):
                assert isinstance(rounded.decoding_model, PackedDecoder) is can_pack()
            with check(f"{kind}: logits in bfloat16"):
                step = rounded.generate(prompt_ids, Full(), 1).first_logits
                assert torch.dist(step, logits) < BOUND * logits.norm()


def on_8_bits(model: Any) -> Any:
    """The model, with matrices on levels that 8 bits hold exactly."""
    for key, weight in model.named_parameters():
        if weight.dim() < 2 or key.endswith(("conv.weight", "conv1d.weight")):
            continue
        is_transposed = model.config.model_type == "gpt_oss" and ".experts." in key
        largest = weight.data.abs().amax(dim=1 if is_transposed else -1, keepdim=True)
        step = largest.clamp_(min=1e-30) / 127
        weight.data = (weight.data / step).round() * step
    return model


FAMILIES = [name for name in TINY if TINY[name][0] in engine_families.FAMILIES]


@torch.no_grad()
@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_family(
    architecture: str, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 from unpacked weights, and from the file's own blocks."""
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(loader, "choose_dtype", lambda *_: torch.float32)
    model = make_model(architecture)
    path = write_family(tmp_path / "a.gguf", architecture, model, tiny_models["llama"])
    prompt_ids = make_prompt(79)
    tokens = model.generate(
        torch.tensor([prompt_ids]), max_new_tokens=8, min_new_tokens=8, do_sample=False
    )[0, len(prompt_ids) :].tolist()
    logits = model(torch.tensor([prompt_ids])).logits[0, -1]
    with Checks() as check:
        for unpacked in (True, False):
            loaded = load_model(str(path), dtype=DType.AUTO, device="cpu", unpacked=unpacked)
            engine = Engine(loaded, DecodeWeights.FULL)
            found = engine.generate(prompt_ids, Full(), 8, ignore_eos=True)
            with check(f"unpacked: {unpacked}"):
                assert found.token_ids == tokens
                torch.testing.assert_close(found.first_logits, logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.skipif(not can_pack(), reason="torch has no packed kernels here")
@pytest.mark.parametrize("architecture", ["qwen3moe", "gpt-oss", "qwen35moe"])
def test_experts_are_packed_when_they_are_used(
    architecture: str, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(loader, "choose_dtype", lambda *_: torch.float32)
    model = on_8_bits(make_model(architecture))
    path = write_family(tmp_path / "a.gguf", architecture, model, tiny_models["llama"])
    engine = Engine.load(str(path), device="cpu")
    packed, ids = engine.decoding_model, make_prompt(40)
    assert isinstance(packed, PackedDecoder)
    before = packed.weights.copies_bytes
    cache = read_prompt(engine, ids, Full()).cache
    found = extend(packed, cache, [7, 8])[-1]
    assert packed.weights.copies_bytes > before
    expected = model(torch.tensor([[*ids, 7, 8]])).logits[0, -1]
    assert torch.dist(found, expected) < ROUNDED * expected.norm()
    for layer in packed.layers:  # without room, they are unpacked for each use
        assert isinstance(layer.mlp, PackedExperts)
        assert (layer.mlp.shared is not None) is (architecture == "qwen35moe")
        layer.mlp._packed.clear()
        layer.mlp.room.free_bytes = 0
    cache = read_prompt(engine, ids, Full()).cache
    again = extend(packed, cache, [7, 8])[-1]
    assert packed.weights.copies_bytes == before
    assert torch.dist(again, expected) < ROUNDED * expected.norm()


@torch.no_grad()
@pytest.mark.skipif(not can_pack(), reason="torch has no packed kernels here")
@pytest.mark.parametrize("architecture", ["lfm2", "qwen35", "qwen3next"])
def test_hybrids_decode_from_packed_blocks(
    architecture: str, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Value heads that llama.cpp reorders, and gates that alternate with queries, among them."""
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(loader, "choose_dtype", lambda *_: torch.float32)
    model = on_8_bits(make_model(architecture))
    path = write_family(tmp_path / "a.gguf", architecture, model, tiny_models["llama"])
    engine, ids = Engine.load(str(path), device="cpu"), make_prompt(40)
    packed = engine.decoding_model
    assert isinstance(packed, PackedDecoder)
    # 4 or 8 bytes beside each row of 64 weights or fewer
    assert engine.decode_weights.copies_bytes == pytest.approx(
        engine.decoder.packed_bytes, rel=0.15
    )
    cache = read_prompt(engine, ids, Full()).cache
    found = torch.cat([extend(packed, cache, group) for group in ([7], [8, 9], [10])])
    expected = model(torch.tensor([[*ids, 7, 8, 9, 10]])).logits[0, -4:]
    assert torch.dist(found, expected) < ROUNDED * expected.norm()
