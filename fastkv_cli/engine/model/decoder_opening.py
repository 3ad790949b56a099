"""Opening a transformers model as a `Decoder`: which module is what, family by family."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...errors import ModelError
from ...models import check_model_type
from .decoder import Decoder
from .decoder_layer import DecoderLayer
from .experts import open_experts
from .families import FAMILIES, Family
from .gated_delta_net import GatedDeltaNet
from .layer_parts import Residual, RMSNorm
from .recurrent_layer import Layer, Mixer, RecurrentLayer
from .renamed_layer import RenamedLayer
from .rope import NO_ROPE
from .short_convolution import ShortConvolution


def open_decoder(model: nn.Module) -> Decoder:
    """View a transformers *ForCausalLM as a `Decoder`.

    Raises:
        ModelError: when the family is not supported.
    """
    config: Any = model.config
    check_model_type(config.model_type, type(model).__name__)
    family = FAMILIES[config.model_type]
    modules: Any = model.model
    norm = getattr(modules, family.names.get("norm", "norm"))
    weight: Tensor = norm.weight  # embeddings may stay in a file
    if family.sinks:  # transformers keeps the norms of such a model in float32
        weight = modules.layers[0].self_attn.sinks
    _check_options(config)
    return Decoder(
        layers=tuple(
            _open_layer(index, module, family, config)
            for index, module in enumerate(modules.layers)
        ),
        dtype=weight.dtype,
        device=weight.device,
        max_context=config.max_position_embeddings,
        norm=_norm(norm, family),
        embedding_multiplier=config.embedding_multiplier if family.multipliers else 1.0,
        logits_divisor=config.logits_scaling if family.multipliers else 1.0,
        _model=model,
        _family=family,
    )


def _open_layer(index: int, module: Any, family: Family, config: Any) -> Layer:
    """View a layer's module as a `DecoderLayer`, or a `RecurrentLayer` if it has no attention."""
    view: Any = RenamedLayer(module, family.names) if family.names else module
    names = family.norms
    multiplier = config.residual_multiplier if family.multipliers else 1.0
    after_attention, after_mlp = (
        Residual(None if name is None else _norm(getattr(module, name), family), multiplier)
        for name in (names.after_attention, names.after_mlp)
    )
    input_norm, mlp_norm = (
        None if name is None else _norm(getattr(module, name), family)
        for name in (names.before_attention, names.before_mlp)
    )
    mixer = _mixer(module)
    if mixer is not None and input_norm is not None and mlp_norm is not None:
        experts = open_experts(view.mlp)
        return RecurrentLayer(index, module, mixer, view.mlp, input_norm, mlp_norm, experts)
    return DecoderLayer(
        index=index,
        module=view,
        family=family,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_dim=module.self_attn.head_dim,
        scaling=module.self_attn.scaling,
        sliding_window=_sliding_window(config, index),
        input_norm=input_norm,
        mlp_norm=mlp_norm,
        after_attention=after_attention,
        after_mlp=after_mlp,
        experts=open_experts(view.mlp),
        rope_kind=_rope_kind(config, family, index),
        sinks=module.self_attn.sinks if family.sinks else None,
    )


def _rope_kind(config: Any, family: Family, index: int) -> str:
    """The key of a layer's embeddings in a `RopeTable`."""
    if family.ropes_by_layer_type:
        return str(config.layer_types[index])
    return "" if not family.unrotated_layers or config.no_rope_layers[index] else NO_ROPE


def _check_options(config: Any) -> None:
    """Raise a ModelError for options of a supported family that no released model has."""
    for option in (
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "use_bidirectional_attention",
    ):
        if getattr(config, option, None):
            raise ModelError(
                f"the config.json of this model sets {option}, which is not supported",
                "take another model",
            )


def _mixer(module: Any) -> Mixer | None:
    """What mixes tokens in a layer without attention."""
    if hasattr(module, "conv"):
        return ShortConvolution(module.conv)
    return GatedDeltaNet(module.linear_attn) if hasattr(module, "linear_attn") else None


def _norm(module: Any, family: Family) -> RMSNorm:
    """The norm of a module."""
    if family.centered_norms:
        return RMSNorm(1 + module.weight.detach().float(), module.eps)
    return RMSNorm(module.weight, module.variance_epsilon)


def _sliding_window(config: Any, index: int) -> int | None:
    """The sliding window of a layer: set per layer type, for all layers, or not at all."""
    layer_types = getattr(config, "layer_types", None)
    if layer_types is not None and layer_types[index] != "sliding_attention":
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window
