"""Every family's settings and parameters are found in its GGUF file, as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf_families import FAMILIES as TINY
from gguf_families import make_model, write_family
from transformers import AutoConfig, AutoModelForCausalLM

from fastkv_cli.engine.model.families import FAMILIES
from fastkv_cli.engine.model.gguf_config import model_config
from fastkv_cli.engine.model.gguf_names import ARCHITECTURES
from fastkv_cli.engine.model.gguf_placement import placement
from fastkv_cli.engine.model.gguf_plan import check_plan, plan_tensors
from fastkv_cli.errors import ModelError
from fastkv_cli.models.gguf_parts import read_model


def test_all_families_that_have_gguf_files_are_known() -> None:
    assert {family.gguf for family in FAMILIES.values()} - {""} <= ARCHITECTURES
    assert ARCHITECTURES - {"mistral"} == set(TINY)


@pytest.mark.parametrize("architecture", TINY)
def test_header_and_tensors_make_the_model_that_was_written(
    architecture: str, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    original = make_model(architecture)
    gguf = write_family(tmp_path / "a.gguf", architecture, original, tiny_models["llama"])
    header = read_model(gguf, "a")
    config = model_config(header, "a")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    assert type(model) is type(original)
    differing = settings(model.config).items() ^ settings(original.config).items()
    assert not differing, differing
    wanted = {name: weight.detach().numpy() for name, weight in original.named_parameters()}
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    plan = plan_tensors(header, config)
    check_plan(plan, shapes, "a")
    found = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}
    data = np.memmap(gguf, np.uint8, "r")
    for name, tensor, place, _ in plan:
        stored = data[tensor.start : tensor.start + tensor.num_bytes].view(np.float32)
        values = stored.reshape(tensor.shape[::-1])
        place.place(values, found[place.parameter])
        if place.is_renamed_only:
            parameter = wanted[place.parameter]
            assert np.array_equal(values, parameter.reshape(values.shape)), name
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert np.allclose(found[name], values, atol=1e-6), name


def settings(config: Any) -> dict[str, str]:
    """The settings of a configuration that change what the model computes."""
    ignored = {"_name_or_path", "architectures", "dtype", "initializer_range"}
    ignored |= {"transformers_version", "max_window_layers", "full_attention_interval", "head_dim"}
    rounded = json.loads(
        json.dumps(config.to_dict(), sort_keys=True), parse_float=lambda text: f"{float(text):.5g}"
    )
    return {key: str(value) for key, value in rounded.items() if key not in ignored}


def test_tensors_without_a_parameter() -> None:
    config = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}
    for name in ("rope_freqs.weight", "rope_factors_long.weight", "blk.0.attn_rot_embd.weight"):
        assert placement(name, "llama", config) is None
    assert placement("blk.2.nextn.eh_proj.weight", "glm4", config) is None, "behind the last layer"
    for name in ("blk.0.ffn_gate_exps.weight", "blk.0.attn_q.scale", "x", "blk.-1.attn_q.weight"):
        with pytest.raises(ModelError, match=f"holds a tensor '{name}'.*of type llama"):
            placement(name, "llama", config)
