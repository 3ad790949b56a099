"""Stage one that begins behind what is known of a document, or keeps what it computes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..layers import ActiveTokens, LayerInputs, LayerRunner
from ..measure import now
from ..model.decoder import Decoder, DecoderLayer
from .state import DocumentState, Recorder, key_of, value_of


@dataclass(slots=True)
class DocumentRunner(LayerRunner):
    """Computes of the document only what no state holds; the rest is as ever.

    Up to the state's layer only the tokens behind the document are on their way, with the
    document's K and V beside them; there its hidden states join them. Either way each token passes
    through the same products of the same sizes (see `ActiveTokens.boundary`), so the answer is the
    same.

    Attributes:
        layer: the first layer that is not in the state, at most the TSP layer.
        state: what is known of the document; None where it has to be read.
        recorder: keeps what is computed of it.
        stage_one_s: seconds in the layers before, once they are done.
    """

    layer: int = 0
    state: DocumentState | None = None
    recorder: Recorder | None = None
    stage_one_s: float | None = None
    _started: float = field(default=0.0)

    def enter(self, decoder: Decoder, token_ids: Tensor, room: int = 0) -> ActiveTokens:
        """Token ids (T,); only those that no state holds are embedded."""
        self._started = now(decoder.device)
        if self.state is None:
            return LayerRunner.enter(self, decoder, token_ids, room)
        positions = torch.arange(token_ids.shape[0], device=decoder.device)
        own = decoder.embed(token_ids[self.boundary :])
        ropes = decoder.ropes(positions, len(positions) + room)
        return ActiveTokens(own, positions, ropes, first=self.boundary, boundary=self.boundary)

    def project(self, layer: DecoderLayer, tokens: ActiveTokens) -> LayerInputs:
        """As ever, with the document's K and V from its state, or put into it."""
        inputs = LayerRunner.project(self, layer, tokens)
        key, value = (each[:, :, : self.boundary] for each in (inputs.key, inputs.value))
        if layer.index < self.layer and self.state is not None:
            self.state.fill(layer.index, key, value)
        elif layer.index < self.layer and self.recorder is not None:
            self.recorder.add(key_of(layer.index), key[0])
            self.recorder.add(value_of(layer.index), value[0])
        return inputs

    def advance(
        self,
        layer: DecoderLayer,
        tokens: ActiveTokens,
        inputs: LayerInputs,
        selected_rows: Tensor | None,
    ) -> ActiveTokens:
        """As ever; behind the last layer of the state, the document's hidden states are there."""
        after = LayerRunner.advance(self, layer, tokens, inputs, selected_rows)
        if layer.index != self.layer - 1:
            return after
        if self.state is not None:
            known = self.state.hidden.to(after.hidden.device)
            after = replace(after, hidden=torch.cat((known, after.hidden), dim=1), first=0)
        elif self.recorder is not None:
            self.recorder.add("hidden", after.hidden[0, : self.boundary])
            self.recorder.commit()
        self.stage_one_s = now(after.hidden.device) - self._started
        return after
