"""Rotary position embeddings (RoFormer, arXiv 2104.09864) for positions that may have gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Key in a `RopeTable` of layers whose heads are not rotated (NoPE).
NO_ROPE = "none"


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary embeddings of T positions: cos and sin (1, 1, T, R) for the first R ≤ D dimensions.

    A rotation turns pairs of dimensions: i and i + R/2, or 2i and 2i + 1 where `interleaved`. sin
    is negated for the first of each pair, as the rotation needs it.

    `query_scale` (1, 1, T, 1) multiplies the queries in families that scale them.
    """

    cos: Tensor
    sin: Tensor
    query_scale: Tensor | None = None
    interleaved: bool = False

    @classmethod
    def of(cls, cos: Tensor, sin: Tensor, query_scale: Tensor | None, *, interleaved: bool) -> Rope:
        """From a model's own cos and sin (1, T, R), whose halves are equal."""
        half = cos.shape[-1] // 2
        if interleaved:
            cos, sin = (each[..., :half].repeat_interleave(2, dim=-1) for each in (cos, sin))
        negated = slice(0, None, 2) if interleaved else slice(0, half)
        sin = sin.clone()
        sin[..., negated].neg_()
        return cls(cos.unsqueeze(1), sin.unsqueeze(1), query_scale, interleaved)

    def fits(self, head_dim: int) -> bool:
        """Whether the embeddings are finite and can rotate heads of D dimensions."""
        scale = () if self.query_scale is None else (self.query_scale,)
        is_finite = all(each.isfinite().all() for each in (self.cos, self.sin, *scale))
        return 0 < self.cos.shape[-1] <= head_dim and is_finite

    def at(self, rows: Tensor | slice) -> Rope:
        """The embeddings of some rows, (1, 1, len(rows), R)."""
        scale = None if self.query_scale is None else self.query_scale[:, :, rows]
        return Rope(self.cos[:, :, rows], self.sin[:, :, rows], scale, self.interleaved)

    def rotate(self, heads: Tensor) -> Tensor:
        """Rotate (1, H, T, D); dimensions beyond R pass through."""
        rotary_dim = self.cos.shape[-1]
        if rotary_dim == 0:
            return heads
        if rotary_dim < heads.shape[-1]:
            rotated = self.rotate(heads[..., :rotary_dim])
            return torch.cat((rotated, heads[..., rotary_dim:]), dim=-1)
        # the dimensions of each pair are swapped; the new first one is negated by the sign in sin
        if self.interleaved:
            swapped = heads.reshape(*heads.shape[:-1], -1, 2).flip(-1).flatten(-2)
        else:
            swapped = heads.roll(rotary_dim // 2, dims=-1)
        return torch.addcmul(heads * self.cos, swapped, self.sin)


@dataclass(frozen=True, slots=True)
class RopeTable:
    """Rotary embeddings of T positions, for each kind of layer in the model."""

    by_kind: Mapping[str, Rope]

    def __getitem__(self, kind: str) -> Rope:
        return self.by_kind[kind]

    def at(self, rows: Tensor | slice) -> RopeTable:
        """The embeddings of some rows, for each kind."""
        return RopeTable({kind: rope.at(rows) for kind, rope in self.by_kind.items()})
