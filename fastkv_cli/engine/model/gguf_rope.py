"""The scaling of rotary embeddings as a GGUF file states it, in metadata and small tensors.

Without it, a model made for 128k tokens derails after 8k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ModelError
from ...models.gguf_header import TensorInfo

Factors = npt.NDArray[np.float64]

# Llama 3.1 to 3.3: only the factor differs, the other settings are the same. The file holds only
# the numbers derived from them, one for each frequency.
_LLAMA3_LOW, _LLAMA3_HIGH, _LLAMA3_ORIGINAL = 1.0, 4.0, 8192
_YARN = {"yarn_beta_fast": "beta_fast", "yarn_beta_slow": "beta_slow"}
_MAX_FACTORS = 2**16


def read_factors(tensors: Mapping[str, TensorInfo], name: str) -> dict[str, Factors]:
    """The numbers for RoPE in a file, one for each frequency, by the tensors' names.

    Args:
        tensors: the file's tensors.
        name: the user's name for the model, for messages.

    Raises:
        ModelError: when they are not stored as plain numbers.
    """
    factors = {}
    for key, tensor in tensors.items():
        if not key.startswith("rope_"):
            continue
        if tensor.kind != "F32" or tensor.num_bytes > 4 * _MAX_FACTORS:
            raise ModelError(f"{name} stores {key[:60]} as {tensor.kind}", "fetch it again")
        count = tensor.num_bytes // 4
        values = np.fromfile(tensor.file, "<f4", count, offset=tensor.start)
        factors[key] = values.astype(np.float64)
    return factors


def rope_scaling(
    facts: Mapping[str, Any], factors: Mapping[str, Factors], config: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """The RoPE parameters beyond the base frequency, as transformers names them.

    Args:
        facts: the file's metadata of its architecture, without that prefix.
        factors: the file's numbers for RoPE.
        config: `rope_theta`, `max_position_embeddings`, and `original_max_position_embeddings` for
            LongRoPE.
        name: the user's name for the model, for messages.

    Raises:
        ModelError: when the file asks for a scaling that is not supported.
    """
    kind = facts.get("rope.scaling.type", "none")
    original = facts.get("rope.scaling.original_context_length")
    if "rope_factors_long.weight" in factors:
        short = factors.get("rope_factors_short.weight")
        if short is None:
            raise ModelError(f"{name} lacks rope_factors_short.weight", "fetch it again")
        return {
            "rope_type": "longrope",
            "short_factor": short.tolist(),
            "long_factor": factors["rope_factors_long.weight"].tolist(),
            "original_max_position_embeddings": original
            or config["original_max_position_embeddings"],
        }
    if "rope_freqs.weight" in factors:
        return _llama3_scaling(factors["rope_freqs.weight"], config["rope_theta"], name)
    if kind in {"none", "default"} or facts.get("rope.scaling.factor", 0) in {0, 1}:
        return {}
    if kind == "linear":
        return {"rope_type": "linear", "factor": facts["rope.scaling.factor"]}
    if kind == "yarn":
        betas = {
            ours: facts[f"rope.scaling.{theirs}"]
            for theirs, ours in _YARN.items()
            if f"rope.scaling.{theirs}" in facts
        }
        return {
            "rope_type": "yarn",
            "factor": facts["rope.scaling.factor"],
            "original_max_position_embeddings": original or config["max_position_embeddings"],
            **betas,
        }
    raise _unknown(name, f"of type {kind!r}")


def _llama3_scaling(divisors: Factors, theta: float, name: str) -> dict[str, Any]:
    """The settings of Llama 3.1 and later, provided that they yield the file's numbers."""
    head_dim = 2 * len(divisors)
    factor = float(divisors.max())
    wavelengths = 2 * math.pi * theta ** (np.arange(0, head_dim, 2) / head_dim)
    num_periods = _LLAMA3_ORIGINAL / wavelengths
    smooth = np.clip((num_periods - _LLAMA3_LOW) / (_LLAMA3_HIGH - _LLAMA3_LOW), 0, 1)
    expected = 1 / ((1 - smooth) / factor + smooth)
    if not np.allclose(divisors, expected, rtol=1e-3):
        raise _unknown(name, "by factors other than those of Llama 3")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LLAMA3_LOW,
        "high_freq_factor": _LLAMA3_HIGH,
        "original_max_position_embeddings": _LLAMA3_ORIGINAL,
    }


def _unknown(name: str, how: str) -> ModelError:
    return ModelError(
        f"{name} scales its rotary embeddings {how}, which is not supported",
        "take the safetensors of the same model, by its Hugging Face id",
    )
