"""One prompt, read once, answered by many methods: for evaluations.

Methods choose differently from layers that compute the same, so the whole prompt is computed once
and each method adds only what it computes otherwise. Greedy answers are checked against the full
model's: as far as a method would say the same words, reading them at once tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .cache import CompressedCache
from .decode import extend
from .generate import Engine
from .layers import RecordingRunner
from .methods import Full, Method
from .prefill import PrefillResult, prefill


@dataclass(frozen=True, slots=True)
class Compared:
    """What a method made of a prompt, beside the full model.

    Attributes:
        token_ids: the greedy answer.
        text: the same as text.
        agrees: whether it is the full model's answer, token for token.
        kl: the divergence KL(full ‖ method) of the first token's distribution, in nats.
        hidden_distance: mean squared distance of the last position's final hidden state to the
            full model's (FastKV, eq. 3).
        kept_ratio: bytes of the KV cache as a share of the full one.
        compute_ratio: prefill FLOPs as a share of the full ones.
    """

    token_ids: list[int]
    text: str
    agrees: bool
    kl: float
    hidden_distance: float
    kept_ratio: float
    compute_ratio: float


class Comparison:
    """A prompt that the full model has read and answered."""

    def __init__(
        self, engine: Engine, prompt_ids: Sequence[int], question: slice, max_tokens: int
    ) -> None:
        """Read and answer the prompt in full.

        Args:
            engine: the loaded model.
            prompt_ids: the prompt; with the answer it fits the window.
            question: where in it the question stands.
            max_tokens: the most tokens of an answer.
        """
        self._engine, self._question, self._max_tokens = engine, question, max_tokens
        self._ids = torch.tensor(prompt_ids, device=engine.decoder.device)
        self._runner = RecordingRunner(engine.kernel)
        self._full = self._read(Full())
        self._answer = self._continue(self._full.cache, self._full.logits, [])

    def full(self) -> Compared:
        """The full model, beside itself."""
        return self._compared(self._full, self._answer)

    @property
    def hidden_square(self) -> float:
        """Mean square of the full model's final hidden state: what distances are measured by."""
        return float(self._full.hidden.float().square().mean())

    def compare(self, method: Method) -> Compared:
        """Read and answer the prompt with a method."""
        read = self._read(method)
        return self._compared(read, self._answer_along(read))

    def _read(self, method: Method) -> PrefillResult:
        decoder = self._engine.decoder
        plan = method.plan(decoder.shape(self._ids.shape[0], self._question))
        return prefill(decoder, self._ids, method, self._runner, plan, room=self._max_tokens)

    def _compared(self, read: PrefillResult, token_ids: list[int]) -> Compared:
        decoder, num_tokens = self._engine.decoder, self._ids.shape[0]
        full, ours = self._full.logits.log_softmax(-1), read.logits.log_softmax(-1)
        distance = (read.hidden.float() - self._full.hidden.float()).square().mean()
        return Compared(
            token_ids=token_ids,
            text=self._engine.tokenizer.decode(token_ids, skip_special_tokens=True),
            agrees=token_ids == self._answer,
            kl=float((full.exp() * (full - ours)).sum()),
            hidden_distance=float(distance),
            kept_ratio=read.kept_bytes / decoder.kv_bytes(num_tokens),
            compute_ratio=read.flops / decoder.prefill_flops(num_tokens),
        )

    def _answer_along(self, read: PrefillResult) -> list[int]:
        """The method's greedy answer: the full model's words as far as they are its own, too."""
        draft = self._answer
        logits = read.logits.unsqueeze(0)
        if len(draft) > 1:
            later = extend(self._engine.decoding_model, read.cache, draft[:-1])
            logits = torch.cat((logits, later))
        own: list[int] = logits.argmax(dim=-1).tolist()
        same = next((at for at, (a, b) in enumerate(zip(own, draft, strict=True)) if a != b), None)
        if same is None:
            return draft
        read.cache.drop_last(len(draft) - 1 - same)
        return self._continue(read.cache, logits[same], draft[:same])

    def _continue(self, cache: CompressedCache, logits: Tensor, said: list[int]) -> list[int]:
        """Say on what was begun, greedily, to an end token or the limit."""
        said = list(said)
        while True:
            said.append(int(logits.argmax()))
            if said[-1] in self._engine.loaded.eos_ids or len(said) == self._max_tokens:
                return said
            logits = extend(self._engine.decoding_model, cache, said[-1:])[-1]
