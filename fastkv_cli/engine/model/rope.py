"""Rotary position embeddings (RoFormer, arXiv 2104.09864) for positions that may have gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary embeddings of T positions: cos and sin (1, 1, T, R) for the first R ≤ D dimensions.

    The first half of sin is negated, as the rotation needs it.

    `query_scale` (1, 1, T, 1) multiplies the queries in families that scale them.
    """

    cos: Tensor
    sin: Tensor
    query_scale: Tensor | None = None

    def fits(self, head_dim: int) -> bool:
        """Whether the embeddings are finite and can rotate heads of D dimensions."""
        scale = () if self.query_scale is None else (self.query_scale,)
        is_finite = all(each.isfinite().all() for each in (self.cos, self.sin, *scale))
        return 0 < self.cos.shape[-1] <= head_dim and is_finite

    def at(self, rows: Tensor | slice) -> Rope:
        """The embeddings of some rows, (1, 1, len(rows), R)."""
        scale = None if self.query_scale is None else self.query_scale[:, :, rows]
        return Rope(self.cos[:, :, rows], self.sin[:, :, rows], scale)

    def rotate(self, heads: Tensor) -> Tensor:
        """Rotate (1, H, T, D); dimensions beyond R pass through."""
        rotary_dim = self.cos.shape[-1]
        if rotary_dim < heads.shape[-1]:
            rotated = self.rotate(heads[..., :rotary_dim])
            return torch.cat((rotated, heads[..., rotary_dim:]), dim=-1)
        # the halves of a head are swapped; the new first half is negated by the sign in sin
        return torch.addcmul(heads * self.cos, heads.roll(rotary_dim // 2, dims=-1), self.sin)


@dataclass(frozen=True, slots=True)
class RopeTable:
    """Rotary embeddings of T positions, for each kind of layer in the model."""

    by_kind: Mapping[str, Rope]

    def __getitem__(self, kind: str) -> Rope:
        return self.by_kind[kind]

    def at(self, rows: Tensor | slice) -> RopeTable:
        """The embeddings of some rows, for each kind."""
        return RopeTable({kind: rope.at(rows) for kind, rope in self.by_kind.items()})
