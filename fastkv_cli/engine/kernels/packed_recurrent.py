"""Layers with a convolution or a recurrence, for decoding with packed matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ..cache_entries import RecurrentState
from ..model.block_modules import BlockLinear
from ..model.layer_parts import Matrix
from ..model.recurrent_layer import RecurrentLayer
from .packed_matrix import PackedMatrix
from .packed_mlp import PackedExperts, PackedMLP, Room, pack_mlp
from .packed_norm import PackedNorm


@dataclass(frozen=True, slots=True)
class PackedRecurrentLayer:
    """A `RecurrentLayer` with packed matrices; hidden states stay in float32.

    What mixes the tokens computes in the model's number format, as in prefill.
    """

    layer: RecurrentLayer
    inputs: PackedMatrix
    output: PackedMatrix
    mlp: PackedMLP | PackedExperts
    norms: tuple[PackedNorm, PackedNorm]

    is_recurrent: ClassVar[Literal[True]] = True

    @classmethod
    def of(cls, layer: RecurrentLayer, room: Room) -> PackedRecurrentLayer:
        """Pack copies of a layer's matrices; experts take theirs from `room` when they are used."""
        return cls(
            layer,
            layer.mixer.inputs.pack(),
            Matrix.of(layer.mixer.output).pack(),
            pack_mlp(layer.mlp, layer.experts, room),
            (PackedNorm.of(layer.input_norm), PackedNorm.of(layer.mlp_norm)),
        )

    @property
    def matrices(self) -> tuple[PackedMatrix, ...]:
        """All matrices of the layer; of experts, those packed so far."""
        return self.inputs, self.output, *self.mlp.matrices

    @property
    def index(self) -> int:
        """0-based."""
        return self.layer.index

    def extend(self, hidden: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Run the whole layer for T further tokens, (1, T, hidden) float32."""
        before, between = self.norms
        projected = self.inputs(before(hidden[0])).to(state.inputs.dtype).unsqueeze(0)
        mixed, state = self.layer.mixer.mix(projected, state, hidden.shape[1])
        output = self.layer.mixer.output
        ordered = output.ordered(mixed[0]) if isinstance(output, BlockLinear) else mixed[0]
        rows = hidden[0] + self.output(ordered)
        return (rows + self.mlp(between(rows))).unsqueeze(0), state
