"""SnapKV (arXiv 2404.14469): each head keeps the entries that the prompt's end attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .window import HeadwiseMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapKV(HeadwiseMethod):
    """FastKV's scores and cache selection in every layer, with the same budget; no propagation."""

    name: ClassVar[str] = "snapkv"
