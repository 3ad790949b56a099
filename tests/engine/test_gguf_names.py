"""Every parameter of every family is found in its GGUF file, with the values of the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf_families import FAMILIES as TINY
from gguf_families import make_model, write_family

from fastkv_cli.engine.model.families import FAMILIES
from fastkv_cli.engine.model.gguf_names import ARCHITECTURES
from fastkv_cli.engine.model.gguf_placement import placement
from fastkv_cli.engine.model.gguf_plan import check_plan, plan_tensors
from fastkv_cli.errors import ModelError
from fastkv_cli.models.gguf_parts import read_model


def test_all_families_that_have_gguf_files_are_known() -> None:
    assert {family.gguf for family in FAMILIES.values()} - {""} <= ARCHITECTURES
    assert ARCHITECTURES - {"mistral"} == set(TINY)


@pytest.mark.parametrize("architecture", TINY)
def test_tensors_come_back_as_the_parameters_they_were(
    architecture: str, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = make_model(architecture)
    gguf = write_family(tmp_path / "a.gguf", architecture, model, tiny_models["llama"])
    config = model.config.to_dict()
    data = np.memmap(gguf, np.uint8, "r")
    wanted = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    found = {name: np.full_like(values, np.nan) for name, values in wanted.items()}
    plan = plan_tensors(read_model(gguf, "a"), config)
    check_plan(plan, {name: values.shape for name, values in wanted.items()}, "a")
    for name, tensor, place in plan:
        stored = data[tensor.start : tensor.start + tensor.num_bytes].view(np.float32)
        values = stored.reshape(tensor.shape[::-1])
        place.place(values, found[place.parameter])
        if place.is_renamed_only:
            original = wanted[place.parameter]
            assert np.array_equal(values, original.reshape(values.shape)), name
    for name, values in wanted.items():
        assert np.allclose(found[name], values, atol=1e-6), name


def test_tensors_without_a_parameter() -> None:
    config = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}
    for name in ("rope_freqs.weight", "rope_factors_long.weight", "blk.0.attn_rot_embd.weight"):
        assert placement(name, "llama", config) is None
    assert placement("blk.2.nextn.eh_proj.weight", "glm4", config) is None, "behind the last layer"
    for name in ("blk.0.ffn_gate_exps.weight", "blk.0.attn_q.scale", "x", "blk.-1.attn_q.weight"):
        with pytest.raises(ModelError, match=f"holds a tensor '{name}'.*of type llama"):
            placement(name, "llama", config)
