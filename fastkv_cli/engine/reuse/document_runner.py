"""Layer runner that reuses a document's prefix state, or records one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..cache_entries import RecurrentState
from ..layers import ActiveTokens, LayerInputs, LayerRunner
from ..measure import now
from ..model.decoder import Decoder
from ..model.decoder_layer import DecoderLayer
from ..model.recurrent_layer import Layer, RecurrentLayer
from .state import DocumentState, Recorder, key_of, name_snapshot, value_of


@dataclass(slots=True)
class DocumentRunner(LayerRunner):
    """Computes of the document only what its prefix state lacks; everything else is unchanged.

    In the layers of the state only the tokens after the document are active, and attend to the
    document's K and V; at the next layer the document's hidden states join them. With or without a
    state, each token passes through matrix products of the same sizes (see
    `ActiveTokens.boundary`), so the answer is the same.

    Attributes:
        layer: the first layer that is not in the state, at most the TSP layer.
        state: the document's prefix state; None where it has to be computed.
        recorder: records the state that is computed.
        stage_one_s: seconds in the layers before `layer`, once they are done.
    """

    layer: int = 0
    state: DocumentState | None = None
    recorder: Recorder | None = None
    stage_one_s: float | None = None
    _started: float = field(default=0.0)

    def embed(self, decoder: Decoder, token_ids: Tensor, room: int = 0) -> ActiveTokens:
        """Embed token ids (T,), only those after the state's."""
        self._started = now(decoder.device)
        if self.state is None:
            return LayerRunner.embed(self, decoder, token_ids, room)
        positions = torch.arange(token_ids.shape[0], device=decoder.device)
        hidden = decoder.embed(token_ids[self.boundary :])
        ropes = decoder.ropes(positions, len(positions) + room)
        return ActiveTokens(hidden, positions, ropes, first=self.boundary, boundary=self.boundary)

    def project(self, layer: DecoderLayer, tokens: ActiveTokens) -> LayerInputs:
        """As `LayerRunner.project`.

        In the layers of the state, the document's K and V are loaded from it, or recorded.
        """
        inputs = LayerRunner.project(self, layer, tokens)
        key, value = (each[:, :, : self.boundary] for each in (inputs.key, inputs.value))
        if layer.index < self.layer and self.state is not None:
            self.state.fill(layer.index, key, value)
        elif layer.index < self.layer and self.recorder is not None:
            first = self.boundary - layer.entries(self.boundary)
            self.recorder.add(key_of(layer.index), key[0, :, first:])
            self.recorder.add(value_of(layer.index), value[0, :, first:])
        return inputs

    def advance(
        self,
        layer: DecoderLayer,
        tokens: ActiveTokens,
        inputs: LayerInputs,
        selected_rows: Tensor | None,
    ) -> ActiveTokens:
        """As `LayerRunner.advance`.

        After the last layer of the state, the document's hidden states are added from it, or
        recorded.
        """
        return self._join(layer, LayerRunner.advance(self, layer, tokens, inputs, selected_rows))

    def mix(
        self, layer: RecurrentLayer, tokens: ActiveTokens, *, last_only: bool = False
    ) -> tuple[ActiveTokens, RecurrentState]:
        """As `LayerRunner.mix`; see `advance`."""
        after, state = LayerRunner.mix(self, layer, tokens, last_only=last_only)
        return self._join(layer, after), state

    def _start(self, layer: RecurrentLayer, tokens: ActiveTokens) -> RecurrentState:
        """As `LayerRunner._start`; in the layers of the state, that after the document."""
        if self.state is None or layer.index >= self.layer:
            return layer.start()
        return self.state.snapshot(layer.index, tokens.hidden.device)

    def _record(self, layer: RecurrentLayer, state: RecurrentState) -> None:
        """As `LayerRunner._record`, in the layers of the state."""
        if layer.index < self.layer and self.recorder is not None:
            for name, tensor in name_snapshot(layer, state):
                self.recorder.add(name, tensor)

    def _join(self, layer: Layer, after: ActiveTokens) -> ActiveTokens:
        """After the last layer of the state, add or record the document's hidden states."""
        if layer.index != self.layer - 1:
            return after
        if self.state is not None:
            stored = self.state.hidden.to(after.hidden.device)
            after = replace(after, hidden=torch.cat((stored, after.hidden), dim=1), first=0)
        elif self.recorder is not None:
            self.recorder.add("hidden", after.hidden[0, : self.boundary])
            self.recorder.commit()
        self.stage_one_s = now(after.hidden.device) - self._started
        return after
