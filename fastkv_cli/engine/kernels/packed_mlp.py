"""MLPs for decoding from packed matrices: one for all tokens, or experts that a router chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from ..model.block_modules import BlockStack
from ..model.experts import Experts, SharedExpert, gate_halves
from ..model.layer_parts import activation_of, mlp_matrices
from .packed_matrix import PackedMatrix


@dataclass(frozen=True, slots=True)
class PackedMLP:
    """A gated MLP over packed matrices."""

    gate_up: PackedMatrix
    down: PackedMatrix
    gate: Callable[[Tensor], Tensor]  # the output of gate_up → the input of down

    @classmethod
    def of(cls, mlp: Any) -> PackedMLP:
        """Pack copies of the matrices of a model's own module."""
        gate_up, down = (matrix.pack() for matrix in mlp_matrices(mlp))
        return cls(gate_up, down, partial(gate_halves, activation=activation_of(mlp)))

    @property
    def matrices(self) -> tuple[PackedMatrix, ...]:
        """All matrices."""
        return self.gate_up, self.down

    def __call__(self, hidden: Tensor) -> Tensor:
        """(T, hidden) → (T, hidden)."""
        return self.down(self.gate(self.gate_up(hidden)))


@dataclass(slots=True)
class Room:
    """Bytes of memory that packed experts may still take, over all layers."""

    free_bytes: float


@dataclass(frozen=True, slots=True)
class PackedSharedExpert:
    """A `SharedExpert` over packed matrices."""

    expert: SharedExpert
    mlp: PackedMLP

    @classmethod
    def of(cls, expert: SharedExpert) -> PackedSharedExpert:
        """Pack copies of its matrices."""
        return cls(expert, PackedMLP.of(expert.mlp))

    def __call__(self, hidden: Tensor, routed: Tensor) -> Tensor:
        """(T, hidden) float32, and the same rows in the model's number format → (T, hidden)."""
        return self.expert.share(routed) * self.mlp(hidden)


@dataclass(frozen=True, slots=True)
class PackedExperts:
    """Experts over packed matrices: each is packed when a token is first routed to it.

    An answer meets few of them, so that most never take memory. Where there is no room left, an
    expert is unpacked for each use.
    """

    experts: Experts
    room: Room
    shared: PackedSharedExpert | None
    _packed: dict[int, PackedMLP] = field(default_factory=dict)

    @property
    def matrices(self) -> tuple[PackedMatrix, ...]:
        """The matrices packed so far."""
        mlps = [*self._packed.values(), *([self.shared.mlp] if self.shared else [])]
        return tuple(matrix for mlp in mlps for matrix in mlp.matrices)

    def __call__(self, hidden: Tensor) -> Tensor:
        """(T, hidden) float32 → (T, hidden)."""
        routed = hidden.to(self.experts.dtype)
        mixed = self.experts.mix(routed, hidden, self._compute)
        return mixed if self.shared is None else mixed + self.shared(hidden, routed)

    def _compute(self, index: int, rows: Tensor) -> Tensor:
        """The output of an expert, (T, hidden) float32 → (T, hidden)."""
        if index not in self._packed and self.room.free_bytes > 0:
            packed = self._pack(index)
            if packed is not None:
                self._packed[index] = packed
                self.room.free_bytes -= sum(matrix.nbytes for matrix in packed.matrices)
        if index in self._packed:
            return self._packed[index](rows)
        return self.experts.compute(index, rows.to(self.experts.dtype)).float()

    def _pack(self, index: int) -> PackedMLP | None:
        """Pack an expert; None if its matrices are not a file's blocks."""
        experts = self.experts
        stacks = experts.weights.gate_up_proj, experts.weights.down_proj
        if not all(isinstance(stack, BlockStack) for stack in stacks):
            return None
        gate_up, down = (
            stack.pack(index, experts.bias(name, index))
            for stack, name in zip(stacks, ("gate_up_proj", "down_proj"), strict=True)
        )
        alternates = experts.is_transposed and not stacks[0].packs_gate_first
        return PackedMLP(gate_up, down, partial(experts.gate, alternates=alternates))


def pack_mlp(mlp: Any, experts: Experts | None, room: Room) -> PackedMLP | PackedExperts:
    """Pack a layer's MLP; of experts, the one that all tokens share, and the others when used."""
    if experts is None:
        return PackedMLP.of(mlp)
    shared = None if experts.shared is None else PackedSharedExpert.of(experts.shared)
    return PackedExperts(experts, room, shared)
