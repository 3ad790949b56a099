"""Comparing compression methods with the full model on one prompt, for evaluations.

Methods select differently from layers that compute the same, so the full prompt is computed once
and each method computes only where it departs from that. A method's greedy answer is found by
verifying the full model's answer as a draft: one pass over the draft shows how far the two agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .cache import CompressedCache
from .decode import extend
from .generate import Engine
from .kernels.sparse_attention import BlockSparsity
from .methods import Full, Method
from .prefill import PrefillResult, prefill
from .recording_runner import RecordingRunner


@dataclass(frozen=True, slots=True)
class Compared:
    """A method's answer to a prompt, compared with the full model's.

    Attributes:
        token_ids: the greedy answer.
        text: the answer decoded.
        agrees: whether it is the full model's answer, token for token.
        kl: the divergence KL(full ‖ method) of the first token's distribution, in nats.
        hidden_distance: mean squared distance of the last position's final hidden state to the
            full model's (FastKV, eq. 3).
        kept_ratio: bytes of the KV cache as a share of the full cache.
        compute_ratio: prefill FLOPs as a share of the full model's.
    """

    token_ids: list[int]
    text: str
    agrees: bool
    kl: float
    hidden_distance: float
    kept_ratio: float
    compute_ratio: float


class Comparison:
    """A prompt that the full model has answered, and that methods are compared on."""

    def __init__(
        self, engine: Engine, prompt_ids: Sequence[int], question: slice, max_tokens: int
    ) -> None:
        """Answer the prompt with the full model.

        Args:
            engine: the loaded model.
            prompt_ids: the prompt; prompt and answer fit the model's window.
            question: the question's rows in the prompt.
            max_tokens: the most tokens of an answer.
        """
        self._engine, self._question, self._max_tokens = engine, question, max_tokens
        # a base model would go on behind its answer with questions of its own
        self._ends_at_line = engine.tokenizer.chat_template is None
        self._ids = torch.tensor(prompt_ids, device=engine.decoder.device)
        # by the attention of stage one, and the format of the weights
        self._runners: dict[tuple[BlockSparsity | None, str], RecordingRunner] = {}
        self._full = self._prefill(Full())
        self._answer = self._decode(self._full.cache, self._full.logits, [])

    def full(self) -> Compared:
        """The full model, compared with itself."""
        return self._compared(self._full, self._answer)

    @property
    def hidden_square(self) -> float:
        """Mean square of the full model's final hidden state: the unit of the distances."""
        return float(self._full.hidden.float().square().mean())

    def compare(self, method: Method) -> Compared:
        """Answer the prompt with a method."""
        prefilled = self._prefill(method)
        return self._compared(prefilled, self._answer_from_draft(prefilled))

    def _prefill(self, method: Method) -> PrefillResult:
        decoder = self._engine.prefill_models.choose(method, self._ids.shape[0])
        plan = method.plan(decoder.shape(self._ids.shape[0], self._question))
        key = plan.sparsity, decoder.weights_format
        if key not in self._runners:
            self._runners[key] = RecordingRunner(self._engine.kernel, sparsity=plan.sparsity)
        runner = self._runners[key]
        return prefill(
            *(decoder, self._ids, method, runner, plan),
            room=self._max_tokens,
            kv_dtype=self._engine.kv_dtype,
        )

    def _compared(self, prefilled: PrefillResult, token_ids: list[int]) -> Compared:
        decoder, num_tokens = self._engine.decoder, self._ids.shape[0]
        full, ours = self._full.logits.log_softmax(-1), prefilled.logits.log_softmax(-1)
        distance = (prefilled.hidden.float() - self._full.hidden.float()).square().mean()
        return Compared(
            token_ids=token_ids,
            text=self._text(token_ids),
            agrees=token_ids == self._answer,
            kl=float((full.exp() * (full - ours)).sum()),
            hidden_distance=float(distance),
            kept_ratio=prefilled.kept_bytes / decoder.kv_bytes(num_tokens),
            compute_ratio=prefilled.flops / decoder.prefill_flops(num_tokens),
        )

    def _text(self, token_ids: list[int]) -> str:
        text: str = self._engine.tokenizer.decode(token_ids, skip_special_tokens=True)
        return text

    def _answer_from_draft(self, prefilled: PrefillResult) -> list[int]:
        """The method's greedy answer, with the full model's answer verified as a draft.

        A rejected draft cannot be removed from recurrent states: there the answer is decoded.
        """
        if not prefilled.cache.can_drop:
            return self._decode(prefilled.cache, prefilled.logits, [])
        draft = self._answer
        logits = prefilled.logits.unsqueeze(0)
        if len(draft) > 1:
            later = extend(self._engine.decoding_model, prefilled.cache, draft[:-1])
            logits = torch.cat((logits, later))
        own: list[int] = logits.argmax(dim=-1).tolist()
        same = next((at for at, (a, b) in enumerate(zip(own, draft, strict=True)) if a != b), None)
        if same is None:
            return draft
        prefilled.cache.drop_last(len(draft) - 1 - same)
        return self._decode(prefilled.cache, logits[same], draft[:same])

    def _decode(self, cache: CompressedCache, logits: Tensor, start: list[int]) -> list[int]:
        """Continue an answer greedily to an end token, a base model's line break or the limit."""
        answer = list(start)
        while True:
            answer.append(int(logits.argmax()))
            is_over = self._ends_at_line and "\n" in self._text(answer).lstrip()
            if (
                is_over
                or answer[-1] in self._engine.loaded.eos_ids
                or len(answer) == self._max_tokens
            ):
                return answer
            logits = extend(self._engine.decoding_model, cache, answer[-1:])[-1]
