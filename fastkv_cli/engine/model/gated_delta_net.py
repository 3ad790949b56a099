"""Gated DeltaNet (arXiv 2412.06464), the recurrence of Qwen3-Next and Qwen3.5."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cache_entries import RecurrentState
from .layer_parts import Matrix
from .short_convolution import convolve, no_inputs

_NUM_PROJECTIONS = 4  # QKV, Z, B and A, where each has a matrix of its own
_CHUNK = 64  # tokens of the rule's chunks: three matrices of that size squared are held


@dataclass(frozen=True, slots=True)
class GatedDeltaNet:
    """A recurrence over a matrix for each head, behind a short convolution; see `Mixer`.

    The rule itself is transformers' own, in chunks of 64 tokens for a text and step by step for a
    single token.

    Attributes:
        module: the model's own module.
    """

    module: Any

    def start(self) -> RecurrentState:
        """See `Mixer`; the matrix is (1, H_value, D_key, D_value)."""
        module = self.module
        shape = 1, module.num_v_heads, module.head_k_dim, module.head_v_dim
        matrix = module.A_log.new_zeros(shape, dtype=torch.float32)
        return RecurrentState(no_inputs(module.conv1d), matrix)

    @property
    def inputs(self) -> Matrix:
        """See `Mixer`."""
        module = self.module
        if hasattr(module, "in_proj_qkvz"):  # Qwen3-Next has pairs in one, ordered by key heads
            return Matrix.of(module.in_proj_qkvz, module.in_proj_ba)
        return Matrix.of(module.in_proj_qkv, module.in_proj_z, module.in_proj_b, module.in_proj_a)

    def mix(
        self, projected: Tensor, state: RecurrentState, num_tokens: int
    ) -> tuple[Tensor, RecurrentState]:
        """See `Mixer`."""
        module, count = self.module, projected.shape[1]
        inputs, gate, beta, step = self._split(projected)
        convolved, inputs = convolve(inputs, state.inputs, module.conv1d, num_tokens)
        sizes: list[int] = [module.key_dim, module.key_dim, module.value_dim]
        query, key, value = torch.split(functional.silu(convolved), sizes, dim=-1)
        beta = beta.sigmoid()
        # in float16 the exponential would overflow
        decay = -module.A_log.float().exp() * functional.softplus(step.float() + module.dt_bias)
        beta[:, num_tokens:], decay[:, num_tokens:] = 0, 0  # padding changes nothing
        source = sys.modules[type(module).__module__]
        rule = (
            source.torch_recurrent_gated_delta_rule
            if count == 1
            else source.torch_chunk_gated_delta_rule
        )
        read, matrix = rule(
            query.reshape(1, count, -1, module.head_k_dim),
            key.reshape(1, count, -1, module.head_k_dim),
            value.reshape(1, count, -1, module.head_v_dim),
            g=decay,
            beta=beta,
            initial_state=state.matrix,
            output_final_state=True,
            use_qk_l2norm_in_kernel=True,
        )
        rows = (each.reshape(-1, module.head_v_dim) for each in (read, gate))
        return module.norm(*rows).view(1, count, -1), RecurrentState(inputs, matrix)

    @property
    def output(self) -> nn.Linear:
        """See `Mixer`."""
        projection: nn.Linear = self.module.out_proj
        return projection

    @property
    def flops_per_token(self) -> int:
        """See `Mixer`; a matrix is read twice and written once."""
        module = self.module
        matrix = module.num_v_heads * module.head_k_dim * module.head_v_dim
        return 2 * int(module.conv1d.weight.numel() + 3 * matrix)

    @property
    def working_bytes_per_token(self) -> int:
        """See `Mixer`.

        Of every value head in float32, the rule holds six versions of queries and keys, four of
        values, and three rows of attention within a chunk. Beside them are the projections, and
        two versions of the convolution's channels.
        """
        module, channels = self.module, self.module.conv1d.weight
        head = 6 * module.head_k_dim + 4 * module.head_v_dim + 3 * _CHUNK
        projected = sum(each.out_features for each in self.inputs.modules)
        others = channels.element_size() * (projected + 2 * channels.shape[0])
        return int(4 * module.num_v_heads * head + others)

    def _split(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs of the convolution (1, T, channels), gate, and β and step before activation."""
        sizes: list[int] = [module.out_features for module in self.inputs.modules]
        parts = torch.split(projected, sizes, dim=-1)
        if len(parts) == _NUM_PROJECTIONS:
            inputs, gate, beta, step = parts
            return inputs, gate, beta, step
        *qkv, gate, beta, step = self.module.fix_query_key_value_ordering(*parts)
        return torch.cat([each.flatten(2) for each in qkv], dim=-1), gate, beta, step
