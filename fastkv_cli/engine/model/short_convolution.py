"""Short causal convolutions along the text, alone (LFM2) or before a recurrence (Qwen3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cache_entries import RecurrentState
from .layer_parts import Matrix


@dataclass(frozen=True, slots=True)
class ShortConvolution:
    """LFM2's gated convolution over a few tokens: C · conv(B · x), where B, C, x are projections.

    Attributes:
        module: the model's own module.
    """

    module: Any

    def start(self) -> RecurrentState:
        """See `Mixer`; its inputs are (1, hidden, K − 1) for a kernel of K tokens."""
        return RecurrentState(no_inputs(self.module.conv))

    @property
    def inputs(self) -> Matrix:
        """See `Mixer`."""
        return Matrix.of(self.module.in_proj)

    def mix(
        self, projected: Tensor, state: RecurrentState, num_tokens: int
    ) -> tuple[Tensor, RecurrentState]:
        """See `Mixer`."""
        gate_in, gate_out, values = projected.chunk(3, dim=-1)
        convolved, inputs = convolve(gate_in * values, state.inputs, self.module.conv, num_tokens)
        return gate_out * convolved, RecurrentState(inputs)

    @property
    def output(self) -> nn.Linear:
        """See `Mixer`."""
        projection: nn.Linear = self.module.out_proj
        return projection

    @property
    def flops_per_token(self) -> int:
        """See `Mixer`."""
        return 2 * int(self.module.conv.weight.numel())

    @property
    def working_bytes_per_token(self) -> int:
        """See `Mixer`: three projections, and as many versions of the convolution's channels."""
        weight = self.module.conv.weight
        return int(6 * weight.shape[0] * weight.element_size())


def no_inputs(convolution: nn.Conv1d) -> Tensor:
    """The inputs before the first token: zeros, (1, channels, K − 1)."""
    weight = convolution.weight
    return weight.new_zeros(1, weight.shape[0], weight.shape[2] - 1)


def convolve(
    inputs: Tensor, earlier: Tensor, convolution: nn.Conv1d, num_tokens: int
) -> tuple[Tensor, Tensor]:
    """Causal depthwise convolution along the text.

    Args:
        inputs: (1, T, channels); rows after the first `num_tokens` are padding.
        earlier: (1, channels, K − 1), the inputs of the tokens before.
        convolution: the model's module, whose weight is (channels, 1, K).
        num_tokens: the tokens whose inputs later tokens may need.

    Returns:
        (1, T, channels), and the inputs before the next token.
    """
    whole = torch.cat((earlier, inputs.transpose(1, 2)), dim=-1)
    weight, bias = convolution.weight, convolution.bias
    convolved = functional.conv1d(whole, weight, bias, groups=weight.shape[0])
    # cloned: a view would keep all T inputs in memory
    return convolved.transpose(1, 2), whole.narrow(2, num_tokens, earlier.shape[2]).clone()
