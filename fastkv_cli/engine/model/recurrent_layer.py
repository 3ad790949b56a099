"""Layers that mix tokens by a convolution or a recurrence instead of attention.

Such a layer keeps no keys and values: its state has the same size however long the text is. It
wraps the model's own module, as a `DecoderLayer` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor, nn

from ..cache_entries import RecurrentState
from .decoder_layer import DecoderLayer
from .experts import Experts
from .layer_parts import Matrix, RMSNorm, count_matrix_weights


class Mixer(Protocol):
    """The part of a recurrent layer that mixes tokens."""

    def start(self) -> RecurrentState:
        """The state before the first token."""

    @property
    def inputs(self) -> Matrix:
        """The projections of the layer's normalized input, as one: (1, T, hidden) → (1, T, N)."""

    def mix(
        self, projected: Tensor, state: RecurrentState, num_tokens: int
    ) -> tuple[Tensor, RecurrentState]:
        """Mix T tokens with those before them.

        Args:
            projected: (1, T, N), the output of `inputs`; rows after the first `num_tokens` are
                padding.
            state: the state before these tokens; it is left unchanged.
            num_tokens: the tokens that enter the next state.

        Returns:
            The input of the output projection, (1, T, inner), and the state after the tokens.
        """

    @property
    def output(self) -> nn.Linear:
        """The output projection."""

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations of the mixing itself, without the projections."""

    @property
    def working_bytes_per_token(self) -> int:
        """Bytes that mixing a text holds for each token of the rows that it computes at once."""


@dataclass(frozen=True, slots=True)
class RecurrentLayer:
    """A layer with a state of fixed size in place of keys and values.

    Attributes:
        index: 0-based.
        module: the model's own layer module.
        mixer: mixes the tokens.
        mlp: the MLP.
        input_norm: the norm before the mixer.
        mlp_norm: the norm before the MLP.
        experts: None where the layer has an ordinary MLP.
    """

    index: int
    module: Any
    mixer: Mixer
    mlp: nn.Module
    input_norm: RMSNorm
    mlp_norm: RMSNorm
    experts: Experts | None = None

    is_recurrent: ClassVar[Literal[True]] = True

    @property
    def hidden_size(self) -> int:
        """Size of a token's hidden state."""
        return self.input_norm.gain.shape[0]

    @property
    def num_weights(self) -> int:
        """Weights of the matrices."""
        return count_matrix_weights(self.module)

    @property
    def num_active_weights(self) -> int:
        """Weights that one token passes through."""
        return self.num_weights - self._num_idle_weights

    @property
    def _num_idle_weights(self) -> int:
        return 0 if self.experts is None else self.experts.num_idle_weights

    def start(self) -> RecurrentState:
        """The state before the first token."""
        return self.mixer.start()

    def mix(
        self, hidden: Tensor, state: RecurrentState, num_tokens: int
    ) -> tuple[Tensor, RecurrentState]:
        """Mix T tokens with those before them.

        Args:
            hidden: (1, T, hidden), the layer's input; rows after the first `num_tokens` are
                padding.
            state: the state before these tokens; it is left unchanged.
            num_tokens: the tokens that enter the next state.

        Returns:
            (1, T, inner), the input of `finish`, and the state after the tokens.
        """
        projected = self.mixer.inputs.linear(self.input_norm(hidden))
        return self.mixer.mix(projected, state, num_tokens)

    def finish(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        """Apply output projection, MLP and both residuals.

        Args:
            hidden: (1, T, hidden), the layer's input.
            mixed: (1, T, inner), as `mix` returns it.

        Returns:
            (1, T, hidden), the layer's output.
        """
        hidden = hidden + self.mixer.output(mixed)
        normalized = self.mlp_norm(hidden)
        if self.experts is not None:
            return hidden + self.experts(normalized[0]).unsqueeze(0)
        after: Tensor = hidden + self.mlp(normalized)
        return after

    def extend(self, hidden: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Run the whole layer for T further tokens, (1, T, hidden)."""
        mixed, state = self.mix(hidden, state, hidden.shape[1])
        return self.finish(hidden, mixed), state

    def flops(self, num_tokens: int, selected_rows: Tensor | None, first: int = 0) -> int:
        """Floating-point operations: mixing of all tokens, the rest for the selected rows.

        See `DecoderLayer.flops`.
        """
        output = self.mixer.output
        finishing = count_matrix_weights(self.mlp) - self._num_idle_weights
        finishing += output.in_features * output.out_features
        mixed = num_tokens - first
        rows = mixed if selected_rows is None else selected_rows.shape[0]
        mixing = 2 * (self.num_active_weights - finishing) + self.mixer.flops_per_token
        return mixing * mixed + 2 * finishing * rows


Layer = DecoderLayer | RecurrentLayer
