"""The engine's view of a decoder; only it, `decoder_layer` and `families` know how families differ.

A `Decoder` wraps a transformers model: it owns nothing, patches nothing, and calls the model's own
modules in the order of their forward pass, so that prefill can select between them which tokens to
propagate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..kernels.packed_matrix import PackedMatrix
from ..methods import PromptShape
from .block_modules import BlockHead, block_tensors, expert_tensors
from .decoder_layer import DecoderLayer
from .families import Family
from .layer_parts import Matrix, RMSNorm, count_matrix_weights
from .recurrent_layer import Layer
from .rope import NO_ROPE, Rope, RopeTable


@dataclass(frozen=True, slots=True)
class Decoder:
    """A causal language model as layers that can be run one by one.

    Attributes:
        layers: all layers, in order.
        dtype: number format of weights and hidden states.
        device: of the weights.
        max_context: the window in tokens.
        norm: the final norm, before the LM head.
        embedding_multiplier: factor of the embeddings.
        logits_divisor: divides the LM head's output.
    """

    layers: tuple[Layer, ...]
    dtype: torch.dtype
    device: torch.device
    max_context: int
    norm: RMSNorm
    embedding_multiplier: float
    logits_divisor: float
    _model: Any
    _family: Family

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.layers)

    @property
    def attention_layers(self) -> tuple[DecoderLayer, ...]:
        """The layers with keys and values; in most families all."""
        return tuple(layer for layer in self.layers if not layer.is_recurrent)

    def attention_layer(self, index: int) -> DecoderLayer:
        """The layer of an index, which must have keys and values."""
        layer = self.layers[index]
        if layer.is_recurrent:
            raise ValueError(f"layer {index} has no keys to score tokens by")
        return layer

    @property
    def weights_format(self) -> str:
        """The format of the layers' weights in prefill, where it is not the model's."""
        return self.attention_layers[0].weights_format

    @property
    def has_recurrent_layers(self) -> bool:
        """Whether some layers mix tokens by a convolution or a recurrence."""
        return any(layer.is_recurrent for layer in self.layers)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token ids (T,) → (1, T, hidden)."""
        embedded: Tensor = self._model.model.embed_tokens(token_ids.unsqueeze(0))
        return embedded if self.embedding_multiplier == 1 else embedded * self.embedding_multiplier

    def ropes(self, positions: Tensor, length: int = 0) -> RopeTable:
        """Rotary embeddings for positions (T,) in a text of up to `length` tokens.

        With LongRoPE, a text that is longer than the model's original context has other embeddings,
        from its first token on. transformers decides by the positions that it is given, so the
        text's last position is passed with them, and its embedding dropped.
        """
        like = torch.empty((), dtype=self.dtype, device=self.device)
        with_last = positions
        if length and not self.rope_is_fixed:
            with_last = torch.cat((positions, positions.new_full((1,), length - 1)))
        scale, interleaved = self._query_scale(positions), self._family.interleaved_rope
        ropes = {}
        for kind in self._rope_parameters:
            kinds = (kind,) if kind else ()
            cos, sin = self._model.model.rotary_emb(like, with_last.unsqueeze(0), *kinds)
            cos, sin = (each[:, : len(positions)].to(self.dtype) for each in (cos, sin))
            if self._family.single_angles:
                cos, sin = (torch.cat((each, each), dim=-1) for each in (cos, sin))
            ropes[kind] = Rope.of(cos, sin, scale, interleaved=interleaved)
            if self._family.unrotated_layers:
                ropes[NO_ROPE] = Rope.of(cos[..., :0], sin[..., :0], None, interleaved=False)
        return RopeTable(ropes)

    @property
    def _rope_parameters(self) -> dict[str, dict[str, Any]]:
        """The config's parameters for each kind of layer; the one kind of most models is empty."""
        found: dict[str, Any] = self._model.config.rope_parameters
        if not self._family.ropes_by_layer_type:
            return {"": found}
        return {layer.rope_kind: found[layer.rope_kind] for layer in self.attention_layers}

    @property
    def rope_is_fixed(self) -> bool:
        """Whether a position's embedding is independent of the text's length."""
        kinds = {each["rope_type"] for each in self._rope_parameters.values()}
        return kinds.isdisjoint({"dynamic", "longrope"})

    @property
    def is_static(self) -> bool:
        """Whether every token takes the same steps, so that they can be recorded.

        With experts the steps depend on the router's choice.
        """
        return self.rope_is_fixed and not self.has_experts

    def rope_variant(self, length: int) -> str:
        """Name of the embeddings of texts of this length; empty where all texts have the same."""
        for rope in self._rope_parameters.values():
            if rope["rope_type"] == "longrope":
                return "long" if length > rope["original_max_position_embeddings"] else "short"
        return ""

    def logits(self, hidden: Tensor) -> Tensor:
        """LM head: normalized (1, T, hidden) → (T, vocabulary), float32."""
        return self.scale_logits(self._model.lm_head(hidden)[0])

    def scale_logits(self, logits: Tensor) -> Tensor:
        """Output of the LM head → logits in float32, both (T, vocabulary)."""
        logits = logits.float()
        return logits if self.logits_divisor == 1 else logits / self.logits_divisor

    def normalize(self, hidden: Tensor) -> Tensor:
        """Final norm: the last layer's output → the LM head's input, (1, T, hidden)."""
        return self.norm(hidden)

    def pack_head(self) -> PackedMatrix:
        """Pack a copy of the LM head for decoding."""
        head = self._model.lm_head
        return head.pack() if isinstance(head, BlockHead) else Matrix.of(head).pack()

    @property
    def packed_bytes(self) -> int | None:
        """Bytes of the matrices packed for decoding, without experts, if they stay in blocks."""
        if not self.is_in_blocks:
            return None
        modules = [*(layer.module for layer in self.layers), self._model.lm_head]
        packed = sum(each.packed_bytes for module in modules for each in block_tensors(module))
        inputs = (layer.mixer.inputs for layer in self.layers if layer.is_recurrent)
        return packed - self.packed_expert_bytes + sum(each.num_in_memory for each in inputs)

    @property
    def packed_expert_bytes(self) -> int:
        """Bytes of all experts in blocks, which are packed when tokens are routed to them."""
        modules = (layer.module for layer in self.layers)
        return sum(each.packed_bytes for module in modules for each in expert_tensors(module))

    @property
    def is_in_blocks(self) -> bool:
        """Whether matrices stay in the blocks of a file: GGUF, or safetensors in MXFP4."""
        return isinstance(self._model.lm_head, BlockHead)

    @property
    def num_weights(self) -> int:
        """Number of weights in the matrices of the layers and the LM head."""
        return self.num_head_weights + sum(layer.num_weights for layer in self.layers)

    @property
    def num_active_weights(self) -> int:
        """Number of those weights that one token passes through: not all with experts."""
        return self.num_head_weights + sum(layer.num_active_weights for layer in self.layers)

    @property
    def num_head_weights(self) -> int:
        """Number of weights in the LM head."""
        return count_matrix_weights(self._model.lm_head)

    @property
    def has_experts(self) -> bool:
        """Whether a router chooses a token's MLPs, in some layers."""
        return any(layer.experts is not None for layer in self.layers)

    @property
    def hidden_size(self) -> int:
        """Size of a token's hidden state."""
        return self.norm.gain.shape[0]

    def shape(self, num_tokens: int, question: slice | None = None) -> PromptShape:
        """The sizes of a prompt on this model, from which methods plan."""
        layer = self.attention_layers[0]
        return PromptShape(
            num_tokens,
            self.num_layers,
            layer.num_heads,
            layer.num_kv_heads,
            question,
            windows=self.windows,
        )

    @property
    def windows(self) -> tuple[int | None, ...]:
        """Per layer, the tokens that a query attends to; None means all, 0 a recurrent layer."""
        return tuple(0 if each.is_recurrent else each.sliding_window for each in self.layers)

    @property
    def num_global_layers(self) -> int | None:
        """Number of layers that attend to all tokens; None if methods compress all layers."""
        found = len(self.shape(1).global_layers)
        return None if found == self.num_layers else found

    def prefill_flops(self, num_tokens: int) -> int:
        """Floating-point operations of the layers without compression, predicted."""
        last = torch.tensor([num_tokens - 1])
        early = sum(layer.flops(num_tokens, None) for layer in self.layers[:-1])
        return early + self.layers[-1].flops(num_tokens, last)

    def kv_bytes(self, num_tokens: int) -> int:
        """Bytes of K and V for this many tokens without compression, predicted.

        A layer with a sliding window holds no more than its window.
        """
        entries = sum(
            2 * layer.num_kv_heads * layer.head_dim * layer.entries(num_tokens)
            for layer in self.attention_layers
        )
        return entries * self.dtype.itemsize

    @property
    def state_bytes(self) -> int:
        """Bytes of the recurrent states, however long the text is."""
        states = [layer.start() for layer in self.layers if layer.is_recurrent]
        return sum(part.nbytes for state in states for part in state if part is not None)

    def _query_scale(self, positions: Tensor) -> Tensor | None:
        if not self._family.scaled_queries:
            return None
        rope = self._model.config.rope_parameters
        steps = torch.floor(positions / rope["original_max_position_embeddings"])
        scale: Tensor = 1 + rope["llama_4_scaling_beta"] * torch.log1p(steps)
        return scale.to(self.dtype).view(1, 1, -1, 1)
