"""Llama in torch alone: the same numbers as transformers' own modules, and none of its imports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import environment
from safetensors.torch import load_file, save_file

from fastkv_cli import Engine, FastKV, Full
from fastkv_cli.config import DType
from fastkv_cli.engine.model import loader
from fastkv_cli.engine.model.decoder_opening import open_decoder
from fastkv_cli.engine.model.plain import PlainLlama, is_plain
from fastkv_cli.engine.model.plain_tokenizer import PlainTokenizer, open_plain_tokenizer
from fastkv_cli.errors import ModelError

CPU = torch.device("cpu")
CONFIG = {
    "model_type": "llama",
    "dtype": "bfloat16",
    "hidden_act": "silu",
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "hidden_size": 64,
    "intermediate_size": 128,
    "max_position_embeddings": 2048,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "vocab_size": 384,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
TOKENIZER = {"tokenizer_class": "TokenizersBackend"}

IMPORTS = """
import sys
from fastkv_cli import Engine
Engine.load("smollm2-135m", device="cpu", dtype="bfloat16").generate("One fox.", max_new_tokens=2)
print(*sys.modules)
"""


def test_it_gives_what_transformers_gives(
    embedded_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> Engine:
        return Engine.load("smollm2-135m", device="cpu", dtype="bfloat16", decode_weights="full")

    plain = load()
    monkeypatch.setattr(loader, "is_plain", lambda *_: False)
    other = load()
    assert isinstance(plain.loaded.model, PlainLlama)
    assert type(other.loaded.model).__name__ == "LlamaForCausalLM"
    prompt = "The dog sleeps on, and the fox jumps over it once more. " * 60
    ids = plain.tokenizer(prompt)["input_ids"]
    assert ids == other.tokenizer(prompt)["input_ids"]
    check_same_tokenizer(plain.tokenizer, other.tokenizer)
    assert plain.loaded.eos_ids == other.loaded.eos_ids
    answers = [engine.generate(ids, FastKV(), 12) for engine in (plain, other)]
    assert torch.equal(answers[0].first_logits, answers[1].first_logits)
    assert answers[0].token_ids == answers[1].token_ids
    positions = torch.tensor([0, 3, 8000])
    ropes = [open_decoder(engine.loaded.model).ropes(positions)[""] for engine in (plain, other)]
    assert torch.equal(ropes[0].cos, ropes[1].cos)
    assert torch.equal(ropes[0].sin, ropes[1].sin)


@pytest.mark.parametrize("name", ["mistral", "nemo", "qwen2", "qwen3", "llama3-rope"])
def test_the_other_families_give_what_transformers_gives(
    name: str,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / name
    shutil.copytree(tiny_models[name], folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)

    def load() -> Engine:
        return Engine.load(str(folder), device="cpu", dtype="bfloat16", decode_weights="full")

    plain = load()
    monkeypatch.setattr(loader, "is_plain", lambda *_: False)
    other = load()
    assert isinstance(plain.loaded.model, PlainLlama)
    assert type(other.loaded.model).__module__.startswith("transformers.")
    ids = [7 * at % 300 for at in range(300)]
    first, second = (engine.generate(ids, Full(), 1).first_logits for engine in (plain, other))
    # transformers rounds the norms of Qwen3's heads once more, to bfloat16
    bound = 0.05 * second.norm() if name == "qwen3" else 0.0
    assert torch.dist(first, second) <= bound
    positions = torch.tensor([0, 3, 300, 8000])
    ropes = [open_decoder(engine.loaded.model).ropes(positions)[""] for engine in (plain, other)]
    assert torch.equal(ropes[0].cos, ropes[1].cos)
    assert torch.equal(ropes[0].sin, ropes[1].sin)


def check_same_tokenizer(plain: Any, other: Any) -> None:
    """The tokenizer of tokenizer.json alone does what transformers' does with the same files."""
    assert isinstance(plain._tokenizer, PlainTokenizer)
    assert not isinstance(other._tokenizer, PlainTokenizer)
    for text in (
        "A fox – “jumps”, 12.5%.\n\n日本",
        "<|im_start|>user\nHi<|im_end|>",
        " x  y ",
        "",
        "e\u0301 🦊",
    ):
        settings: dict[str, Any]
        for settings in ({}, {"add_special_tokens": False}, {"split_special_tokens": True}):
            ours, theirs = (
                each(text, return_offsets_mapping=True, **settings) for each in (plain, other)
            )
            for name in ("input_ids", "offset_mapping"):
                assert list(ours[name]) == list(theirs[name])
            assert ours.word_ids(0) == theirs.word_ids(0)
            for skips in (False, True):
                decoded = (
                    each.decode(ours["input_ids"], skip_special_tokens=skips)
                    for each in (plain, other)
                )
                assert len(set(decoded)) == 1
    for name in ("chat_template", "bos_token", "eos_token_id", "unk_token_id", "is_fast"):
        assert getattr(plain, name) == getattr(other, name)
    assert plain.special_tokens_map == other.special_tokens_map
    assert plain.get_added_vocab() == other.get_added_vocab()
    assert str(plain.added_tokens_decoder) == str(other.added_tokens_decoder)


@pytest.mark.parametrize(
    "change",
    [
        {"added_tokens_decoder": {}},
        {"clean_up_tokenization_spaces": True},
        {"eos_token": "<|unheard of|>"},
        {"add_bos_token": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_transformers_opens_tokenizers_with_more_than_their_file(
    embedded_dir: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(embedded_dir / name, tmp_path)
    assert open_plain_tokenizer(tmp_path) is not None
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | change))
    assert open_plain_tokenizer(tmp_path) is None


def test_it_imports_neither_transformers_nor_the_compiler(embedded_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
        timeout=120,
    )
    heavy = {"torch._dynamo", "torch._inductor", "transformers", "accelerate"}
    assert heavy.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"model_type": "mistral", "sliding_window": None}, True),
        ({"model_type": "mistral", "sliding_window": 48}, False),
        ({"model_type": "qwen3", "head_dim": 32}, True),
        ({"model_type": "qwen3"}, False),
        ({"model_type": "phi3"}, False),
        ({"dtype": "float32"}, False),
        ({"hidden_act": "gelu"}, False),
        ({"vocab_size": None}, False),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": "1"}}, False),
        ({"attention_bias": True}, False),
        ({"mlp_bias": True}, False),
        ({"quantization_config": {"bits": 4}}, False),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0}}, False),
        ({"rope_parameters": LLAMA3}, True),
        ({"rope_parameters": LLAMA3 | {"factor": 0}}, False),
        ({"rope_parameters": LLAMA3 | {"rope_type": "yarn"}}, False),
        ({"rope_parameters": None, "rope_theta": 10000.0}, False),
        (
            {
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 1.0,
                    "partial_rotary_factor": 0.5,
                }
            },
            False,
        ),
    ],
    ids=str,
)
def test_options_that_it_does_not_know_are_left_to_transformers(
    change: dict[str, Any], expected: bool
) -> None:
    assert is_plain(CONFIG | change, TOKENIZER, CPU, torch.bfloat16) is expected


def test_only_what_is_stored_as_it_is_wanted_is_plain() -> None:
    assert not is_plain(CONFIG, TOKENIZER, torch.device("cuda"), torch.bfloat16)
    assert not is_plain(CONFIG, TOKENIZER, CPU, torch.float32)
    assert not is_plain(CONFIG, {"tokenizer_class": "Qwen2Tokenizer"}, CPU, torch.bfloat16)


def test_what_its_files_lack_is_named(plain_folder: Path) -> None:
    loaded = loader.load_model(str(plain_folder), dtype=DType.BFLOAT16, device="cpu")
    assert isinstance(loaded.model, PlainLlama)
    assert not any(weight.is_meta or weight.requires_grad for weight in loaded.model.parameters())
    weights = load_file(plain_folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    less = {key: weight.clone() for key, weight in weights.items() if key != name}
    for stored, said in ((less, name), (less | {name: torch.zeros(3, 4)}, f"{name} is of shape")):
        save_file(stored, plain_folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(ModelError, match=said) as raised:
            loader.load_model(str(plain_folder), dtype=DType.BFLOAT16, device="cpu")
        assert "\n" not in str(raised.value)
