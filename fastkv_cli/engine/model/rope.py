"""Rotary position embeddings (RoFormer, arXiv 2104.09864), of positions that may have gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary embeddings of some positions: cos and sin (1, 1, T, R), R ≤ D the rotated part.

    The first half of sin is negated, as the rotation needs it.

    `query_scale` (1, 1, T, 1) multiplies the queries in families that ask for it.
    """

    cos: Tensor
    sin: Tensor
    query_scale: Tensor | None = None

    def fits(self, head_dim: int) -> bool:
        """Whether heads of D dimensions can be rotated by these, which are numbers."""
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
            turned = self.rotate(heads[..., :rotary_dim])
            return torch.cat((turned, heads[..., rotary_dim:]), dim=-1)
        # the halves of a head change places, the new first one turned round: so sin has its sign
        return torch.addcmul(heads * self.cos, heads.roll(rotary_dim // 2, dims=-1), self.sin)


@dataclass(frozen=True, slots=True)
class RopeTable:
    """The rotary embeddings of some positions, for each kind of layer that the model has."""

    by_kind: Mapping[str, Rope]

    def __getitem__(self, kind: str) -> Rope:
        return self.by_kind[kind]

    def at(self, rows: Tensor | slice) -> RopeTable:
        """Those of some rows."""
        return RopeTable({kind: rope.at(rows) for kind, rope in self.by_kind.items()})
