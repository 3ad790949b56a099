"""A layer's modules under Llama's names, for families that name them differently.

It owns nothing: the modules and their weights are the model's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

from torch import Tensor, nn

_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")
_MLP = ("gate_proj", "up_proj", "down_proj")


class RenamedLayer(nn.Module):
    """Attention, where the layer has one, and MLP of a layer, as `DecoderLayer` uses them."""

    def __init__(self, module: nn.Module, names: Mapping[str, str]) -> None:
        """View a layer; `names` maps Llama's names to the family's, relative to the layer."""
        super().__init__()
        if hasattr(module, "self_attn"):
            self.self_attn = _renamed(nn.Module(), module, names, "self_attn", _ATTENTION)
        self.mlp = _renamed(_GatedMLP(), module, names, "mlp", _MLP)


class _GatedMLP(nn.Module):
    """down(silu(gate(x)) · up(x))."""

    gate_proj: nn.Linear
    up_proj: nn.Linear
    down_proj: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self.act_fn = nn.SiLU()

    def forward(self, hidden: Tensor) -> Tensor:
        gated: Tensor = self.act_fn(self.gate_proj(hidden)) * self.up_proj(hidden)
        projected: Tensor = self.down_proj(gated)
        return projected


def _renamed(
    view: nn.Module,
    module: nn.Module,
    names: Mapping[str, str],
    block: str,
    parts: tuple[str, ...],
) -> nn.Module:
    for part in parts:
        name = f"{block}.{part}"
        setattr(view, part, attrgetter(names.get(name, name))(module))
    return view
