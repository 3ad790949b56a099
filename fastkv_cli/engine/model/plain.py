"""Llama in torch alone, over mapped weights: halves the start-up time of a process.

Importing any model class of transformers imports most of torch's compiler with it: 1.3 s and
100 MiB, which nothing here uses. A plain Llama needs none of that. Its modules have the same names
as in transformers, so that `decoder.py` treats both alike; tests check that results are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Classes in tokenizer_config.json whose tokenizer is defined by tokenizer.json alone.
_PLAIN_TOKENIZERS = {"TokenizersBackend", "PreTrainedTokenizerFast"}
# Required fields of config.json: transformers has defaults for missing ones, this module has none.
_USED = {
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "tie_word_embeddings",
    "vocab_size",
}


def is_plain(
    config: dict[str, Any],
    tokenizer: dict[str, Any],
    device: torch.device,
    dtype: torch.dtype,
    in_blocks: bool = False,
) -> bool:
    """Whether a model is a Llama without options, stored in the form that it is run in on the CPU.

    Args:
        config: its config.json.
        tokenizer: its tokenizer_config.json.
        device: the device to run on.
        dtype: the number format to run in.
        in_blocks: its weights are a GGUF file's, for any number format; else they are to be in
            bfloat16, and so run.
    """
    rope = config.get("rope_parameters") or {}
    has_options = any(
        config.get(name) for name in ("attention_bias", "mlp_bias", "quantization_config")
    )
    return (
        config.get("model_type") == "llama"
        and config.keys() >= _USED
        and None not in {config[name] for name in _USED}
        and device.type == "cpu"
        and (in_blocks or (config.get("dtype"), dtype) == ("bfloat16", torch.bfloat16))
        and (config.get("hidden_act"), rope.get("rope_type")) == ("silu", "default")
        and {"rope_theta", "partial_rotary_factor"} & rope.keys() == {"rope_theta"}
        and isinstance(rope["rope_theta"], int | float)
        and str(tokenizer.get("tokenizer_class")) in _PLAIN_TOKENIZERS
        and not has_options
    )


class PlainLlama(nn.Module):
    """The weights of a Llama under transformers' module names; `decoder.py` computes with them."""

    def __init__(self, config: Any) -> None:
        """Make modules without memory for the weights, which `load` maps.

        `config` has the field names of config.json.
        """
        super().__init__()
        self.config = config
        self.model = _Body(config)
        self.lm_head = PlainLinear(config.hidden_size, config.vocab_size)
        self._tie()

    def load(self, files: Sequence[Path]) -> list[str]:
        """Map the weights of safetensors files.

        Returns:
            The names of weights that no file holds.

        Raises:
            ValueError: when a weight's shape differs from config.json.
        """
        from safetensors.torch import load_file

        shapes = {name: weight.shape for name, weight in self.state_dict().items()}
        missing = set(shapes)
        for path in files:
            weights = load_file(path)
            for name in shapes.keys() & weights.keys():
                if weights[name].shape != shapes[name]:
                    raise ValueError(f"{name} is of shape {tuple(weights[name].shape)}")
            self.load_state_dict(weights, strict=False, assign=True)
            missing -= weights.keys()
        if "lm_head.weight" in missing and self._tie():
            missing.remove("lm_head.weight")
        return sorted(missing)

    def _tie(self) -> bool:
        """Share the embeddings with the LM head if the config ties them; return whether it does."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        return bool(self.config.tie_word_embeddings)


def _weight(*shape: int) -> nn.Parameter:
    """A weight without memory; torch's own modules would initialize it, importing its compiler."""
    return nn.Parameter(torch.empty(shape, device="meta"))


class PlainLinear(nn.Module):
    bias = None

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.weight = _weight(num_outputs, num_inputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        return functional.linear(hidden, self.weight)


class PlainEmbedding(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.weight = _weight(config.vocab_size, config.hidden_size)

    def forward(self, token_ids: Tensor) -> Tensor:
        """(…) → (…, hidden)."""
        return functional.embedding(token_ids, self.weight)


class _Body(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embed_tokens = PlainEmbedding(config)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = _Norm(config)
        self.rotary_emb = _Rotary(config)


class _Layer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.input_layernorm = _Norm(config)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = _Norm(config)
        self.mlp = _MLP(config)


class _Norm(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.weight = _weight(config.hidden_size)
        self.variance_epsilon = config.rms_norm_eps


class _Attention(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.head_dim = _head_dim(config)
        self.scaling = self.head_dim**-0.5
        size, kv_size = (
            heads * self.head_dim
            for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = PlainLinear(config.hidden_size, size)
        self.k_proj = PlainLinear(config.hidden_size, kv_size)
        self.v_proj = PlainLinear(config.hidden_size, kv_size)
        self.o_proj = PlainLinear(size, config.hidden_size)


class _MLP(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.gate_proj = PlainLinear(config.hidden_size, config.intermediate_size)
        self.up_proj = PlainLinear(config.hidden_size, config.intermediate_size)
        self.down_proj = PlainLinear(config.intermediate_size, config.hidden_size)
        self.act_fn = nn.SiLU()

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, hidden) → (…, hidden)."""
        gated = functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden)
        down: Tensor = self.down_proj(gated)
        return down


class _Rotary(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.head_dim = _head_dim(config)
        self.theta = config.rope_parameters["rope_theta"]

    def forward(self, like: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (1, T) → cos and sin (1, T, D) in the dtype of `like`."""
        powers = torch.arange(0, self.head_dim, 2).float() / self.head_dim
        frequencies = 1.0 / self.theta**powers
        angles = positions.float().unsqueeze(-1) * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _head_dim(config: Any) -> int:
    stated: int | None = getattr(config, "head_dim", None)
    return stated or config.hidden_size // config.num_attention_heads
