"""A layer runner for comparisons: it computes what methods share once."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .cache_entries import RecurrentState
from .layers import ActiveTokens, LayerInputs, LayerRunner
from .model.decoder import Decoder
from .model.decoder_layer import DecoderLayer
from .model.recurrent_layer import Layer, RecurrentLayer


@dataclass(slots=True)
class RecordingRunner(LayerRunner):
    """Caches the layers' results for one whole prompt, for the other methods of a comparison.

    Methods differ in what they select from a layer, not in what the layer computes for all tokens.
    Meant for evaluations: it keeps every layer's hidden states, K and V in memory.
    """

    _token_ids: Tensor | None = None
    _entered: list[ActiveTokens] = field(default_factory=list)  # the input tokens of each layer
    _inputs: dict[int, LayerInputs] = field(default_factory=dict)
    _states: dict[int, RecurrentState] = field(default_factory=dict)

    def embed(self, decoder: Decoder, token_ids: Tensor, room: int = 0) -> ActiveTokens:
        """As `LayerRunner.embed`; cached for the first prompt."""
        if self._token_ids is None:
            self._token_ids = token_ids
            self._entered = [LayerRunner.embed(self, decoder, token_ids, room)]
        if torch.equal(token_ids, self._token_ids):
            return self._entered[0]
        return LayerRunner.embed(self, decoder, token_ids, room)

    def project(self, layer: DecoderLayer, tokens: ActiveTokens) -> LayerInputs:
        """As `LayerRunner.project`; for the whole prompt computed once per layer."""
        if not self._is_whole(layer, tokens):
            return LayerRunner.project(self, layer, tokens)
        if layer.index not in self._inputs:
            self._inputs[layer.index] = LayerRunner.project(self, layer, tokens)
        return self._inputs[layer.index]

    def advance(
        self,
        layer: DecoderLayer,
        tokens: ActiveTokens,
        inputs: LayerInputs,
        selected_rows: Tensor | None,
    ) -> ActiveTokens:
        """As `LayerRunner.advance`; computed once per layer while all tokens are propagated."""
        if selected_rows is not None or not self._is_whole(layer, tokens):
            return LayerRunner.advance(self, layer, tokens, inputs, selected_rows)
        if len(self._entered) == layer.index + 1:
            self._entered.append(LayerRunner.advance(self, layer, tokens, inputs, None))
        return self._entered[layer.index + 1]

    def mix(
        self, layer: RecurrentLayer, tokens: ActiveTokens, *, last_only: bool = False
    ) -> tuple[ActiveTokens, RecurrentState]:
        """As `LayerRunner.mix`; for the whole prompt computed once per layer."""
        if last_only or not self._is_whole(layer, tokens):
            return LayerRunner.mix(self, layer, tokens, last_only=last_only)
        if len(self._entered) == layer.index + 1:
            after, self._states[layer.index] = LayerRunner.mix(self, layer, tokens)
            self._entered.append(after)
        return self._entered[layer.index + 1], self._states[layer.index]

    def _is_whole(self, layer: Layer, tokens: ActiveTokens) -> bool:
        return layer.index < len(self._entered) and tokens is self._entered[layer.index]
