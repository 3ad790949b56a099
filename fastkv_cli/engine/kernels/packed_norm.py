"""Norms of the float32 hidden states of decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.layer_parts import RMSNorm


@dataclass(frozen=True, slots=True)
class PackedNorm:
    """An RMSNorm of float32 rows in four calls: x · gain / √(|x|² + n·ε), where gain is √n · w."""

    gain: Tensor
    floor: Tensor  # √(n·ε)

    @classmethod
    def of(cls, norm: RMSNorm) -> PackedNorm:
        """Convert a norm."""
        size = norm.gain.shape[0]
        floor = math.sqrt(size * norm.epsilon)
        return cls(norm.gain.float() * math.sqrt(size), torch.tensor(floor))

    def __call__(self, hidden: Tensor) -> Tensor:
        """(T, hidden) → (T, hidden), float32."""
        hidden = hidden.float()
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        return (hidden * self.gain).div_(torch.hypot(length, self.floor))
