"""Decoding from packed weights on the CPU: fewer bytes per token, and few calls per layer.

Each decoded token needs all weights once from memory, so their bytes limit the speed. A
`PackedDecoder` is a second `DecodingModel` beside `Decoder`: it takes the same steps over the same
cache, with copies of the matrices in 4 bits where that loses nothing, else in 8. Activations keep
16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...config import DecodeWeights
from ...errors import UsageError
from ...system.free_memory import available_memory_bytes
from ...weight_formats import DecodingWeights
from ..cache import CompressedCache
from ..decode import DecodingModel
from ..int8_entries import Int8Group
from ..model.decoder import Decoder
from ..model.decoder_layer import DecoderLayer
from ..model.layer_parts import Matrix, Residual, RMSNorm
from ..model.recurrent_layer import Layer
from ..model.rope import RopeTable
from .fused import FusedLayer, fuse, fused_finish, fused_project, fused_step
from .packed_matrix import GROUP, PackedMatrix
from .packed_mlp import PackedExperts, PackedMLP, Room, pack_mlp
from .packed_norm import PackedNorm
from .packed_recurrent import PackedRecurrentLayer
from .packing import can_pack


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A `DecoderLayer` for decoding with packed matrices; hidden states stay in float32."""

    layer: DecoderLayer
    qkv: PackedMatrix
    output: PackedMatrix
    gate: PackedMatrix | None  # of the attention's output
    mlp: PackedMLP | PackedExperts
    norms: tuple[PackedNorm | None, PackedNorm | None]
    residuals: tuple[Residual, Residual]
    fused: FusedLayer | None

    is_recurrent: ClassVar[Literal[False]] = False

    @classmethod
    def of(cls, layer: DecoderLayer, room: Room) -> PackedLayer:
        """Pack copies of a layer's matrices; experts take theirs from `room` when they are used."""
        qkv, output = (matrix.pack() for matrix in layer.attention_matrices())
        gate = None if layer.gate_rows is None else Matrix.of(layer.gate_rows).pack()
        mlp = pack_mlp(layer.module.mlp, layer.experts, room)
        before, between = (
            None if norm is None else PackedNorm.of(norm)
            for norm in (layer.input_norm, layer.mlp_norm)
        )
        residuals = _residual(layer.after_attention), _residual(layer.after_mlp)
        fused = None
        is_plain = isinstance(mlp, PackedMLP) and layer.is_llama_like
        if before is not None and between is not None and is_plain:
            fused = fuse((qkv, output, *mlp.matrices), (before, between))
        return cls(layer, qkv, output, gate, mlp, (before, between), residuals, fused)

    @property
    def matrices(self) -> tuple[PackedMatrix, ...]:
        """All matrices of the layer; of experts, those packed so far."""
        gate = () if self.gate is None else (self.gate,)
        return self.qkv, self.output, *gate, *self.mlp.matrices

    @property
    def index(self) -> int:
        """0-based."""
        return self.layer.index

    @property
    def scaling(self) -> float:
        """Factor applied to q·k."""
        return self.layer.scaling

    @property
    def sinks(self) -> Tensor | None:
        """One more logit for each query head, (H,)."""
        return self.layer.sinks

    def project(self, hidden: Tensor, ropes: RopeTable) -> tuple[Tensor, Tensor, Tensor]:
        """The layer's input (1, T, hidden) → queries, keys and values."""
        projected = self.qkv(self._normalize(hidden[0]))
        return self.layer.split_heads(projected.to(ropes[self.layer.rope_kind].cos.dtype), ropes)

    def fused_step(self, hidden: Tensor, ropes: RopeTable, cache: CompressedCache) -> Tensor | None:
        """Run the whole layer for one token, (1, 1, hidden), in one call; None if not possible.

        The fused kernel needs 4-bit matrices and equally many entries for all heads; it rotates
        whole heads only, and masks nothing: a sliding window must hold the last entries.
        """
        groups, rope = cache.groups(self.index), ropes[self.layer.rope_kind]
        group = groups[0]
        window = None if group.is_consecutive else group.window
        if (
            self.fused is None
            or (len(groups), group.num_heads) != (1, self.layer.num_kv_heads)
            or rope.cos.shape[-1] != self.layer.head_dim
            or (isinstance(group, Int8Group) and not group.can_attend)
            or (window is not None and cache.next_position >= window)
        ):
            return None
        if isinstance(group, Int8Group):
            query, key, value = fused_project(
                *(self.fused, hidden, rope.cos, rope.sin, group.num_heads, GROUP)
            )
            group.append(key, value, cache.next_position)
            attended = group.attend(query, self.scaling)
            return fused_finish(self.fused, hidden, attended, GROUP)
        slot = group.claim(1, cache.next_position)
        start = group.first_visible(num_rows=1)
        keys, values = group.key[:, :, start:], group.value[:, :, start:]
        return fused_step(
            *(self.fused, hidden, rope.cos, rope.sin, keys, values, slot - start),
            *(self.scaling, GROUP, group.by_channel),
        )

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Output projection, MLP and both residuals, (1, T, hidden)."""
        mixed = attended.transpose(1, 2).reshape(hidden.shape[1], -1)
        if self.gate is not None:
            mixed = mixed * torch.sigmoid(self.gate(self._normalize(hidden[0])).float())
        hidden = self.residuals[0].add(hidden[0], self.output(mixed))
        norm = self.norms[1]
        change = self.mlp(hidden if norm is None else norm(hidden))
        return self.residuals[1].add(hidden, change).unsqueeze(0)

    def _normalize(self, rows: Tensor) -> Tensor:
        """The attention's input of rows (T, hidden)."""
        norm = self.norms[0]
        return rows if norm is None else norm(rows)


def _residual(residual: Residual) -> Residual:
    """A residual connection of float32 rows."""
    norm = residual.norm
    return residual._replace(norm=PackedNorm.of(norm) if isinstance(norm, RMSNorm) else None)


@dataclass(frozen=True, slots=True)
class PackedDecoder:
    """A decoding model over packed matrices, beside the `Decoder` that prefill computes with."""

    layers: tuple[PackedLayer | PackedRecurrentLayer, ...]
    norm: PackedNorm
    head: PackedMatrix
    decoder: Decoder

    @classmethod
    @torch.inference_mode()
    def pack(
        cls, decoder: Decoder, on_done: Callable[[Layer], None] | None = None
    ) -> PackedDecoder:
        """Pack copies of a CPU decoder's matrices, where `can_pack`; prefill keeps the decoder.

        `on_done` is called with each packed layer.
        """
        free = available_memory_bytes()
        room = Room(math.inf if free is None else free / 2)
        layers: list[PackedLayer | PackedRecurrentLayer] = []
        for layer in decoder.layers:
            if layer.is_recurrent:
                layers.append(PackedRecurrentLayer.of(layer, room))
            else:
                layers.append(PackedLayer.of(layer, room))
            if on_done is not None:
                on_done(layer)
        return cls(tuple(layers), PackedNorm.of(decoder.norm), decoder.pack_head(), decoder)

    @property
    def weights(self) -> DecodingWeights:
        """Bits per weight, and bytes of the copies."""
        matrices = [matrix for layer in self.layers for matrix in layer.matrices]
        return DecodingWeights(
            dtype=_name(self.decoder.dtype),
            bits=tuple(sorted({matrix.bits for matrix in matrices})),
            head_bits=self.head.bits,
            copies_bytes=sum(matrix.nbytes for matrix in [*matrices, self.head]),
        )

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return self.decoder.device

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token ids (T,) → (1, T, hidden), float32."""
        return self.decoder.embed(token_ids).float()

    def ropes(self, positions: Tensor, length: int) -> RopeTable:
        """Rotary embeddings for positions (T,) in a text of up to `length` tokens."""
        return self.decoder.ropes(positions, length)

    def normalize(self, hidden: Tensor) -> Tensor:
        """Final norm: the last layer's output → the LM head's input, (1, T, hidden)."""
        return self.norm(hidden[0]).unsqueeze(0)

    def logits(self, hidden: Tensor) -> Tensor:
        """Normalized (1, T, hidden) → (T, vocabulary), float32."""
        return self.decoder.scale_logits(self.head(hidden[0]))


def choose_decoding_model(
    decoder: Decoder,
    wanted: DecodeWeights,
    on_done: Callable[[Layer], None] | None = None,
) -> tuple[DecodingModel, DecodingWeights]:
    """Choose the decoding model and its weights; `on_done` is called with each packed layer.

    Raises:
        UsageError: when packed weights are requested by name and are not available.
    """
    if wanted is DecodeWeights.FULL:
        return decoder, DecodingWeights(_name(decoder.dtype))
    problem = _problem(decoder)
    if problem is None:
        packed = PackedDecoder.pack(decoder, on_done)
        return packed, packed.weights
    if wanted is DecodeWeights.PACKED:
        raise UsageError(f"--decode-weights packed is not available: {problem}", "leave it to auto")
    return decoder, DecodingWeights(_name(decoder.dtype), problem=problem)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _problem(decoder: Decoder) -> str | None:
    """The reason why weights cannot be packed; None if they can."""
    if decoder.device.type != "cpu":
        return f"the kernels for packed weights are the CPU's, and the device is {decoder.device}"
    if not can_pack():
        return "this build of torch has no kernels for packed weights"
    return None if decoder.is_in_blocks else _problem_in_memory(decoder)


def _problem_in_memory(decoder: Decoder) -> str | None:
    """The reason why weights that are in memory are not packed besides; None if they can be."""
    if decoder.dtype is torch.float32:
        return "in float32 nothing is rounded"
    if decoder.has_experts:
        return "a token passes through few of the experts, which are used as they are"
    needed, free = decoder.num_weights, available_memory_bytes()
    if free is not None and needed > free / 2:
        return f"packing takes up to {needed / 2**30:.1f} GiB of {free / 2**30:.1f} free"
    return None
