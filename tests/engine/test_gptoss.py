"""gpt-oss as Ollama and OpenAI store it, beside transformers on the dequantized weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from cases import make_prompt
from checks import Checks
from gguf_families import add_rope, make_model, split_experts
from gguf_files import add_tokenizer
from safetensors.torch import load_file, save_file

from fastkv_cli import Engine, Full
from fastkv_cli.config import DecodeWeights, DType
from fastkv_cli.engine.kernels.packed import PackedDecoder
from fastkv_cli.engine.kernels.packed_mlp import PackedExperts
from fastkv_cli.engine.kernels.packing import can_pack
from fastkv_cli.engine.model import loader
from fastkv_cli.engine.model.loader import load_model
from fastkv_cli.errors import ModelError
from fastkv_cli.models.on_disk import FoundModel, Place
from fastkv_cli.models.on_disk.facts import read_facts

BOUND = 0.02  # of the relative error of experts' outputs with weights in 8 bits
MXFP4 = gguf.GGMLQuantizationType.MXFP4
_NAMES = {
    "self_attn.o_proj": "attn_out",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.sinks": "attn_sinks",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.router": "ffn_gate_inp",
    "mlp.experts.gate_up_proj": "ffn_gate_up_exps",
    "mlp.experts.gate_proj": "ffn_gate_exps",
    "mlp.experts.up_proj": "ffn_up_exps",
    "mlp.experts.down_proj": "ffn_down_exps",
}


def quantized(model: Any) -> Any:
    """The model, with its experts' matrices as blocks of MXFP4 hold them."""
    for key, weight in model.named_parameters():
        if key.endswith(("gate_up_proj", "down_proj")):
            rows = weight.data.swapaxes(1, 2).contiguous().numpy()
            raw = gguf.quants.quantize(rows, MXFP4)
            values = gguf.quants.dequantize(raw, MXFP4).reshape(rows.shape)
            weight.data = torch.from_numpy(values).swapaxes(1, 2).contiguous()
    return model


def paired(raw: np.ndarray) -> np.ndarray:
    """Blocks with neighbouring weights in a byte: Ollama's transform, backwards."""
    blocks = raw.reshape(-1, 17).copy()
    low, high = blocks[:, 1:] & 15, blocks[:, 1:] >> 4
    nibbles = np.concatenate((low, high), axis=1)  # weights 0 to 31
    blocks[:, 1:] = nibbles[:, ::2] | (nibbles[:, 1::2] << 4)
    return blocks.reshape(raw.shape)


def write_ollama(path: Path, model: Any, tokenizer: Path, *, is_old: bool) -> Path:
    """Write a model as Ollama's converter does.

    Args:
        path: the file.
        model: with `quantized` experts.
        tokenizer: the folder of a tokenizer.
        is_old: as from OpenAI's own checkpoint: Q, K and V in one tensor, gate and up alternating,
            MXFP4 as type 4 with neighbours in a byte.
    """
    config = model.config
    writer = gguf.GGUFWriter(path, "gptoss")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_sliding_window(config.sliding_window)
    writer.add_expert_count(config.num_local_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    add_rope(writer, config, "gpt-oss", config.head_dim)
    add_tokenizer(writer, tokenizer)
    settings = writer.kv_data[0]
    for key in ("tokenizer.chat_template", *(key for key in settings if "yarn" in key)):
        del settings[key]
    del settings["gptoss.rope.scaling.type"]
    settings["tokenizer.ggml.pre"].value = "default"
    for name, values in _tensors(model, is_old):
        if name.endswith("_exps.weight"):
            raw = gguf.quants.quantize(values, MXFP4)
            writer.add_tensor(name, paired(raw) if is_old else raw, raw_dtype=MXFP4)
            if is_old:
                writer.tensors[0][name].dtype = 4
        else:
            writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(model: Any, is_old: bool) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors by Ollama's names."""
    found: dict[str, np.ndarray] = {}
    whole = ((key, weight.float().numpy()) for key, weight in model.state_dict().items())
    for key, stored in whole if is_old else split_experts(model, "gpt-oss"):
        values = stored
        if is_old and key.endswith(("gate_up_proj", "down_proj")):
            values = values.swapaxes(1, 2)
        body = {"model.embed_tokens.weight": "token_embd.weight", "lm_head.weight": "output.weight"}
        body["model.norm.weight"] = "output_norm.weight"
        if key in body:
            found[body[key]] = np.ascontiguousarray(values)
            continue
        _, _, layer, rest = key.split(".", 3)
        base = rest.removesuffix(".weight").removesuffix(".bias").removesuffix("_bias")
        suffix = ".bias" if rest.endswith("bias") else ".weight"
        suffix = "" if rest.endswith("sinks") else suffix
        found[f"blk.{layer}.{_NAMES[base]}{suffix}"] = np.ascontiguousarray(values)
    for layer in range(model.config.num_hidden_layers if is_old else 0):
        for suffix in ("weight", "bias"):
            parts = [found.pop(f"blk.{layer}.attn_{x}.{suffix}") for x in "qkv"]
            found[f"blk.{layer}.attn_qkv.{suffix}"] = np.concatenate(parts)
    yield from found.items()


def check_packed(engine: Engine) -> None:
    """Experts are packed when a token is routed to them, and compute what they did."""
    if not can_pack():
        return
    assert isinstance(engine.decoding_model, PackedDecoder)
    for layer in engine.decoding_model.layers:
        assert isinstance(layer.mlp, PackedExperts)
        assert not layer.mlp.matrices
        rows = torch.randn(5, 64, generator=torch.Generator().manual_seed(layer.index))
        found, wanted = layer.mlp(rows), layer.mlp.experts(rows)
        assert layer.mlp.matrices
        assert torch.dist(found, wanted) < BOUND * wanted.norm()


@torch.no_grad()
@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_ollamas_files_give_the_tokens_of_transformers(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(loader, "choose_dtype", lambda *_: torch.float32)
    model = quantized(make_model("gpt-oss"))
    path = write_ollama(tmp_path / "a.gguf", model, tiny_models["llama"], is_old=is_old)
    prompt = make_prompt(79)
    tokens = model.generate(
        torch.tensor([prompt]), max_new_tokens=8, min_new_tokens=8, do_sample=False
    )[0, len(prompt) :].tolist()
    logits = model(torch.tensor([prompt])).logits[0, -1]
    with Checks() as check:
        for unpacked in (True, False):
            loaded = load_model(str(path), dtype=DType.AUTO, device="cpu", unpacked=unpacked)
            engine = Engine(loaded, DecodeWeights.FULL)
            found = engine.generate(prompt, Full(), 8, ignore_eos=True)
            with check(f"unpacked: {unpacked}"):
                assert found.token_ids == tokens
                torch.testing.assert_close(found.first_logits, logits, atol=1e-4, rtol=1e-4)
        with check("experts packed for decoding"):
            check_packed(Engine(loaded))
        with check("the settings that only the program knows"):
            config = loaded.model.config
            assert config.layer_types == ["sliding_attention", "full_attention"] * 2
            assert config.rope_parameters["rope_type"] == "yarn"
        with check("a chat template"):
            said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
            text = loaded.tokenizer.apply_chat_template(
                said, tokenize=False, add_generation_prompt=True
            )
            assert text.startswith("<|start|>system<|message|>You are ChatGPT")
            assert "<|start|>developer<|message|># Instructions\n\nBe brief.<|end|>" in text
            assert text.endswith("<|start|>user<|message|>Hi<|end|><|start|>assistant")
        with check("the list of models on disk"):
            facts = read_facts(FoundModel("a", Place.OLLAMA, path, (path,)))
            assert (facts.family, facts.window) == ("gpt-oss", 256)
            assert facts.sizes.kv_per_token == 4 * 2 * 2 * 16
            assert facts.sizes.expert_bytes == engine.decoder.packed_expert_bytes > 0


def test_sizes_that_do_not_fit_are_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    model = quantized(make_model("gpt-oss"))
    path = write_ollama(tmp_path / "a.gguf", model, tiny_models["llama"], is_old=True)
    data = path.read_bytes()
    key = b"gptoss.attention.head_count"
    at = data.index(key + b"\x04") + len(key)
    for heads in (0, 8, 2**31 - 1):
        wrong = data[: at + 4] + heads.to_bytes(4, "little") + data[at + 8 :]
        path.write_bytes(wrong)
        with pytest.raises(ModelError):
            load_model(str(path), device="cpu")


def save_published(folder: Path, model: Any, source: Path) -> Path:
    """Save a model as OpenAI published gpt-oss: experts in blocks and scales, in two files."""
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for key in [key for key in weights if key.endswith(("gate_up_proj", "down_proj"))]:
        rows = weights.pop(key).swapaxes(1, 2).contiguous().float().numpy()
        raw = torch.from_numpy(paired(gguf.quants.quantize(rows, MXFP4)))
        blocks = raw.view(*rows.shape[:2], -1, 17)
        weights[f"{key}_scales"] = blocks[..., 0].contiguous()
        weights[f"{key}_blocks"] = blocks[..., 1:].contiguous()
    (folder / "model.safetensors").unlink()
    parts = {
        "model-1.safetensors": {key for key in weights if not key.endswith("_scales")},
        "model-2.safetensors": {key for key in weights if key.endswith("_scales")},
    }
    for name, keys in parts.items():
        save_file({key: weights[key] for key in keys}, folder / name, {"format": "pt"})
    index = {
        "metadata": {},
        "weight_map": {key: name for name, keys in parts.items() for key in keys},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(config))
    for path in source.glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


@torch.no_grad()
def test_the_published_folder_is_used_where_it_lies(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder = save_published(tmp_path / "oss", make_model("gpt-oss"), tiny_models["llama"])
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="eager",
        quantization_config=transformers.Mxfp4Config(dequantize=True),
    ).eval()
    prompt = make_prompt(79)
    tokens = theirs.generate(
        torch.tensor([prompt]), max_new_tokens=8, min_new_tokens=8, do_sample=False
    )[0, len(prompt) :].tolist()
    logits = theirs(torch.tensor([prompt])).logits[0, -1]
    with Checks() as check:
        exact = Engine.load(str(folder), dtype="float32", device="cpu")
        with check("unpacked in float32"):
            found = exact.generate(prompt, Full(), 8, ignore_eos=True)
            assert found.token_ids == tokens
            torch.testing.assert_close(found.first_logits, logits, atol=1e-4, rtol=1e-4)
        monkeypatch.setattr(loader, "choose_dtype", lambda *_: torch.float32)
        engine = Engine(load_model(str(folder), device="cpu"), DecodeWeights.FULL)
        with check("from blocks in float32"):
            assert engine.decoder.is_in_blocks is can_pack()
            found = engine.generate(prompt, Full(), 8, ignore_eos=True)
            assert found.token_ids == tokens
            torch.testing.assert_close(found.first_logits, logits, atol=1e-4, rtol=1e-4)
        with check("experts packed for decoding"):
            check_packed(Engine(engine.loaded))
        with check("the list of models on disk"):
            facts = read_facts(FoundModel("a", Place.FOLDER, folder))
            assert facts.sizes.num_weights == sum(each.numel() for each in theirs.parameters())
            assert facts.bits < 32
            assert facts.sizes.expert_bytes == engine.decoder.packed_expert_bytes > 0


def test_damaged_published_folders_are_refused(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    folder = save_published(tmp_path / "oss", make_model("gpt-oss"), tiny_models["llama"])
    path = folder / "model-2.safetensors"
    scales = load_file(path)
    key = "model.layers.1.mlp.experts.down_proj_scales"
    damaged = {
        "blocks without fitting scales": scales | {key: scales[key][:, :-1].contiguous()},
        "without fitting": {name: each for name, each in scales.items() if name != key},
        **{
            f"as {kind}, which cannot be read": scales
            | {"model.norm.weight": torch.zeros(64, dtype=dtype)}
            for kind, dtype in (
                ("I8", torch.int8),
                ("I64", torch.int64),
                ("F8_E4M3", torch.float8_e4m3fn),
            )
        },
    }
    for problem, weights in damaged.items():
        save_file(weights, path, {"format": "pt"})
        with pytest.raises(ModelError, match=problem):
            load_model(str(folder), device="cpu")
    save_file(scales, path, {"format": "pt"})
    data = path.read_bytes()
    is_damaged = r"model-2.safetensors of .* is damaged"
    for wrong, problem in (
        (data[:100], is_damaged),
        (data[:-200], is_damaged),
        (data.replace(b'"U8"', b'"X8"'), "blocks without fitting scales"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ModelError, match=problem):
            load_model(str(folder), device="cpu")
