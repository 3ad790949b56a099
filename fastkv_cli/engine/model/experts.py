"""Mixture of experts: a router sends each token through a few of a layer's many MLPs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class SharedExpert:
    """An MLP that every token passes through besides its experts, by a share of its own.

    Attributes:
        mlp: the model's own module.
        gate: hidden → 1, whose sigmoid is the share.
    """

    mlp: Any
    gate: nn.Linear

    def __call__(self, hidden: Tensor) -> Tensor:
        """(T, hidden) → (T, hidden)."""
        output: Tensor = self.mlp(hidden)
        return self.share(hidden) * output

    def share(self, hidden: Tensor) -> Tensor:
        """(T, hidden) → (T, 1)."""
        return torch.sigmoid(self.gate(hidden))


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of a layer, over the model's own modules.

    Attributes:
        router: the model's own router: (T, hidden) → its logits, weights and experts of each token,
            (T, k) each.
        weights: the module that holds the experts' matrices, `gate_up_proj` (E, 2·I, hidden) and
            `down_proj` (E, hidden, I).
        combine: gate and up of T tokens, (T, I) each → the input of down.
        is_transposed: the matrices are (E, hidden, 2·I) and (E, I, hidden), with biases
            `gate_up_proj_bias` and `down_proj_bias`, and gate and up alternate (gpt-oss).
        shared: an MLP for all tokens; None if there is none.
    """

    router: Any
    weights: Any
    combine: Callable[[Tensor, Tensor], Tensor]
    num_experts: int
    num_routed: int
    is_transposed: bool = False
    shared: SharedExpert | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The number format that router and experts compute in."""
        dtype: torch.dtype = next(self.router.parameters()).dtype
        return dtype

    @property
    def intermediate_size(self) -> int:
        """Activations inside the MLPs that one token passes through."""
        each = int(self.weights.down_proj.shape[1 if self.is_transposed else 2])
        shared = 0 if self.shared is None else int(self.shared.mlp.down_proj.in_features)
        return self.num_routed * each + shared

    @property
    def num_idle_weights(self) -> int:
        """Number of weights that a token does not pass through."""
        shapes = self.weights.gate_up_proj.shape, self.weights.down_proj.shape
        each: int = sum(math.prod(shape[1:]) for shape in shapes)
        return each * (self.num_experts - self.num_routed)

    def __call__(self, hidden: Tensor) -> Tensor:
        """(T, hidden) → (T, hidden), one expert after the other over the tokens routed to it.

        Experts without tokens are not read.
        """
        mixed = self.mix(hidden, hidden, self.compute)
        return mixed if self.shared is None else mixed + self.shared(hidden)

    def mix(self, hidden: Tensor, rows: Tensor, compute: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Route tokens by `hidden`, (T, hidden) in the model's dtype, and sum experts' outputs.

        Args:
            hidden: the router's input.
            rows: the same rows in the number format to compute in.
            compute: an expert's index and its rows → its output, (rows, hidden) each.
        """
        _, shares, chosen = self.router(hidden)
        pairs = chosen.flatten()
        order = pairs.argsort(stable=True)
        total, start = torch.zeros_like(rows), 0
        for index, count in enumerate(pairs.bincount(minlength=self.num_experts).tolist()):
            if count:
                mine = order[start : start + count]
                tokens = mine // self.num_routed
                output = compute(index, rows[tokens]) * shares.flatten()[mine].unsqueeze(1)
                total.index_add_(0, tokens, output.to(total.dtype))
                start += count
        return total

    def compute(self, index: int, rows: Tensor) -> Tensor:
        """The output of an expert, (T, hidden) → (T, hidden)."""
        count = rows.shape[0]
        padded = functional.pad(rows, (0, 0, 0, _round_up(count) - count))
        gated = self.gate(self._project(padded, "gate_up_proj", index), self.is_transposed)
        return self._project(gated, "down_proj", index)[:count]

    def gate(self, gate_up: Tensor, alternates: bool) -> Tensor:
        """The input of down (T, I) from gate and up, which alternate or follow each other."""
        if alternates:
            return self.combine(gate_up[:, ::2], gate_up[:, 1::2])
        return self.combine(*gate_up.chunk(2, dim=1))

    def bias(self, name: str, index: int) -> Tensor | None:
        """The bias of an expert's `gate_up_proj` or `down_proj`, in the parameter's order."""
        if not self.is_transposed:
            return None
        biases: Tensor = getattr(self.weights, f"{name}_bias")
        return biases[index]

    def _project(self, rows: Tensor, name: str, index: int) -> Tensor:
        matrix = getattr(self.weights, name)[index]
        matrix = matrix.t() if self.is_transposed else matrix
        return functional.linear(rows, matrix, self.bias(name, index))


def open_experts(mlp: Any) -> Experts | None:
    """View a layer's MLP as `Experts`; None if it is an ordinary MLP."""
    weights = getattr(mlp, "experts", None)
    if weights is None:
        return None
    is_oss = hasattr(mlp, "router")
    router = mlp.router if is_oss else mlp.gate
    return Experts(
        router=router,
        weights=weights,
        combine=partial(_combine_clamped, alpha=weights.alpha, limit=weights.limit)
        if is_oss
        else partial(_combine, activation=weights.act_fn),
        num_experts=weights.num_experts,
        num_routed=router.top_k,
        is_transposed=is_oss,
        shared=SharedExpert(mlp.shared_expert, mlp.shared_expert_gate)
        if hasattr(mlp, "shared_expert")
        else None,
    )


def gate_halves(gate_up: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """activation(gate) · up, where up follows gate."""
    gate, up = gate_up.chunk(2, dim=1)
    return _combine(gate, up, activation)


def _combine(gate: Tensor, up: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    return activation(gate) * up


def _combine_clamped(gate: Tensor, up: Tensor, alpha: float, limit: float) -> Tensor:
    """gpt-oss: gate · σ(α · gate) · (up + 1) of clamped values."""
    gate = gate.clamp(max=limit)
    up = up.clamp(min=-limit, max=limit)
    return (up + 1) * (gate * torch.sigmoid(gate * alpha))


def _round_up(count: int) -> int:
    """The next of four sizes for each power of two.

    The CPU's matrix library compiles and caches a kernel for every matrix size that it meets, and
    an expert gets any number of tokens.
    """
    step = 1 << max(count.bit_length() - 3, 0)
    return -(-count // step) * step
