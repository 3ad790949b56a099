"""SnapKV (arXiv 2404.14469): each head keeps what the end of the prompt looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .window import HeadwiseMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapKV(HeadwiseMethod):
    """FastKV's scores and its choice for the cache, the same in every layer; no propagation."""

    name: ClassVar[str] = "snapkv"
