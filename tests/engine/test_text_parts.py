"""Models that take images, too: their text part runs alone, as transformers' whole model does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import load_tiny, make_prompt
from checks import Checks
from conftest import random_model, tiny_config, tiny_tokenizer
from safetensors.torch import load_file, save_file

from fastkv_cli import FastKV, Full
from fastkv_cli.engine.model.mapped import MappedLayers
from fastkv_cli.errors import ModelError
from fastkv_cli.models.on_disk import FoundModel, Place
from fastkv_cli.models.on_disk.facts import read_facts
from fastkv_cli.models.text_part import text_config, text_weight_name
from fastkv_cli.output.render.model_tables import model_json, model_table
from fastkv_cli.session.model_listing import describe_model

_SMALL = {"hidden_size": 32, "intermediate_size": 64}
_TOWER = _SMALL | {
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
# By the whole model's type: the tiny text model, and the vision encoder.
WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma3": ("gemma3", _TOWER),
    "mistral3": ("ministral3", _TOWER | {"model_type": "pixtral"}),
    "qwen3_5_moe": (
        "qwen3_5-moe",
        _SMALL | {"depth": 1, "num_heads": 2, "out_hidden_size": 64, "num_position_embeddings": 16},
    ),
    "qwen3_5": (
        "qwen3_5",
        _SMALL | {"depth": 1, "num_heads": 2, "out_hidden_size": 64, "num_position_embeddings": 16},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models that take images, as transformers saves them."""
    return {kind: _save(tmp_path_factory.mktemp("whole"), kind) for kind in WHOLE}


def _save(root: Path, kind: str) -> Path:
    import transformers

    tokenizer, (name, vision) = tiny_tokenizer(), WHOLE[kind]
    text, folder = tiny_config(name, tokenizer), root / kind
    config = transformers.AutoConfig.for_model(kind, text_config=text, vision_config=vision)
    model = random_model(transformers.AutoModelForImageTextToText, config, kind)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def whole_model(folder: Path) -> Any:
    """transformers' own, with eager attention, the plainest that it has."""
    import transformers

    return transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize("kind", WHOLE)
def test_the_text_part_gives_the_tokens_of_the_whole_model(
    folders: dict[str, Path], kind: str
) -> None:
    engine, whole, said = load_tiny(folders[kind]), whole_model(folders[kind]), set[int]()
    with Checks() as check:
        for length in (1, 7, 79, 700):
            prompt = make_prompt(length)
            ids = torch.tensor([prompt])
            ours = engine.generate(prompt, Full(), 16)
            theirs = whole.generate(ids, max_new_tokens=16, do_sample=False)
            said.update(ours.token_ids)
            with check(f"{length} tokens: the answer"):
                assert ours.token_ids == theirs[0, length:].tolist()
            with check(f"{length} tokens: logits"):
                logits = whole(input_ids=ids, use_cache=False).logits[0, -1]
                torch.testing.assert_close(ours.first_logits, logits, atol=1e-4, rtol=1e-5)
        with check("a rate of 1"):
            all_kept = FastKV(tsp_layer=1, tsp_rate=1.0, retention_rate=1.0)
            same = engine.generate(prompt, all_kept, 4)
            assert torch.equal(same.first_logits, ours.first_logits)
        with check("the answers differ"):
            assert len(said) > 8
        with check("no weight of the vision encoder is loaded"):
            loaded = sum(weight.numel() for weight in engine.loaded.model.parameters())
            text = whole.model.language_model.parameters()
            head = 0 if kind in {"gemma3", "mistral3"} else whole.lm_head.weight.numel()
            assert loaded == sum(weight.numel() for weight in text) + head
        with check("all layers' weights are mapped"):
            assert set(MappedLayers.of(engine.loaded).spans) == {0, 1, 2, 3}


@torch.no_grad()
def test_settings_that_published_models_leave_out(folders: dict[str, Path], tmp_path: Path) -> None:
    """As the config.json of Gemma 3 4B: few settings, of RoPE under older names."""
    import transformers

    folder, tokenizer = tmp_path / "published", tiny_tokenizer()
    text = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "model_type": "gemma3_text",
        "num_hidden_layers": 7,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 48,
        "vocab_size": len(tokenizer),
    }
    stated = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "eos_token_id": [1, 106],
        "initializer_range": 0.2,
        "model_type": "gemma3",
        "text_config": text,
        "vision_config": WHOLE["gemma3"][1] | {"model_type": "siglip_vision_model"},
    }
    config = transformers.AutoConfig.for_model(
        **{**stated, "text_config": text | {"initializer_range": 0.2}}
    )
    random_model(transformers.AutoModelForImageTextToText, config, "published").save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    (folder / "config.json").write_text(json.dumps(stated))

    engine, whole, prompt = load_tiny(folder), whole_model(folder), make_prompt(200)
    logits = whole(input_ids=torch.tensor([prompt]), use_cache=False).logits[0, -1]
    ours = engine.generate(prompt, Full(), 1)
    torch.testing.assert_close(ours.first_logits, logits, atol=1e-4, rtol=1e-5)
    assert engine.decoder.windows == (48, 48, 48, 48, 48, None, 48)
    assert {1, 106} <= engine.loaded.eos_ids
    facts = read_facts(FoundModel("published", Place.FOLDER, folder))
    assert (facts.sizes.num_heads, facts.sizes.num_kv_heads, facts.sizes.head_dim) == (8, 4, 256)
    assert facts.window == engine.loaded.max_context == 131_072
    assert facts.kv_numbers(1000) == engine.decoder.kv_bytes(1000) // 4


def test_what_is_not_loaded_is_said(folders: dict[str, Path]) -> None:
    from rich.console import Console

    for kind, folder in folders.items():
        model = describe_model(FoundModel(kind, Place.FOLDER, folder))
        assert model.facts is not None, model.problem
        weights = load_file(folder / "model.safetensors")
        left_out = {key for key in weights if "language_model" not in key and "lm_head" not in key}
        assert model.facts.unused_weights == sum(weights[key].numel() for key in left_out) > 0
        assert abs(model.facts.bits - 32) < 1
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(model_table(model))
        assert "weights of the parts for images" in " ".join(console.export_text().split())
        assert json.loads(model_json(model))["unused_weights"] == model.facts.unused_weights


def test_a_text_part_that_lacks_weights_or_is_of_another_type(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in folders["qwen3_5"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    missing = "model.language_model.layers.2.mlp.up_proj.weight"
    del weights[missing]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"model\.layers\.2\.mlp\.up_proj\.weight is missing"):
        load_tiny(folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["model_type"] = "mamba"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="is of type 'mamba', which is not supported"):
        load_tiny(folder)
    for text in ({"num_hidden_layers": 10**9}, {"hidden_size": -1}, {"model_type": ["x"]}):
        (folder / "config.json").write_text(json.dumps(config | {"text_config": text}))
        with pytest.raises(ModelError):
            load_tiny(folder)


def test_names_and_settings() -> None:
    names = {
        "language_model.model.layers.0.mlp.up_proj.weight": "model.layers.0.mlp.up_proj.weight",
        "model.language_model.layers.0.mlp.up_proj.weight": "model.layers.0.mlp.up_proj.weight",
        "model.language_model.norm.weight": "model.norm.weight",
        "language_model.lm_head.weight": "lm_head.weight",
        "lm_head.weight": "lm_head.weight",
        "model.visual.blocks.0.attn.qkv.weight": None,
        "vision_tower.encoder.layers.0.mlp.fc1.weight": None,
        "mtp.layers.0.mlp.up_proj.weight": None,
    }
    assert {name: text_weight_name(name) for name in names} == names
    assert text_config({"model_type": "llama"}) == {"model_type": "llama"}
    whole = {"model_type": "qwen3_5", "eos_token_id": 3, "text_config": {"eos_token_id": 1}}
    assert text_config(whole) == {"model_type": "qwen3_5_text", "eos_token_id": 3}
    assert text_config({"model_type": "gemma3", "text_config": 1})["model_type"] == "gemma3"
