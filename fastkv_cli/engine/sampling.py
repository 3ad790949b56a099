"""How the next token is chosen from the logits."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from ..config import Sampling


class LoopGuard:
    """Keeps a small model from going round in circles, without touching anything else.

    A token that would repeat a run of `run_length` tokens of the answer is banned for that step, as
    in no-repeat n-gram decoding; only the answer counts, so quoting the document stays possible.
    Where bans come so thick that the answer is nothing but a loop with variations, `is_looping`
    turns true and the generation ends.
    """

    def __init__(self, run_length: int = 12, patience: int = 6, horizon: int = 64) -> None:
        """Set up for one answer.

        Args:
            run_length: tokens in a run that must not come twice.
            patience: bans among the last `horizon` tokens after which the answer is a loop.
            horizon: tokens that a ban is remembered for.
        """
        self._run_length, self._patience, self._horizon = run_length, patience, horizon
        self._answer: list[int] = []
        self._followers: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        self._bans: list[int] = []

    @property
    def is_looping(self) -> bool:
        """Whether the last tokens are a loop with variations."""
        recent = [at for at in self._bans if at > len(self._answer) - self._horizon]
        return len(recent) >= self._patience

    def filter(self, logits: Tensor) -> Tensor:
        """Ban the tokens that would repeat a run, (vocabulary,) → (vocabulary,)."""
        banned = self._followers.get(self._recent())
        if not banned:
            return logits
        indices = torch.tensor(sorted(banned), device=logits.device)
        return logits.index_fill(0, indices, float("-inf"))

    def push(self, token_id: int, preferred: int) -> None:
        """Take note of the token chosen, and of the one that the model would have preferred."""
        if token_id != preferred:
            self._bans.append(len(self._answer))
        self._followers[self._recent()].add(token_id)
        self._answer.append(token_id)

    def _recent(self) -> tuple[int, ...]:
        return tuple(self._answer[-(self._run_length - 1) :])


class Sampler:
    """Chooses tokens: greedy at temperature 0, else at random from the seeded distribution."""

    def __init__(self, sampling: Sampling, guard: LoopGuard | None = None) -> None:
        """Set up for one answer; without a guard the model's own choices stand."""
        self._sampling = sampling
        self._guard = guard
        self._generator = torch.Generator().manual_seed(sampling.seed)

    @property
    def is_looping(self) -> bool:
        """Whether the guard found that the answer goes round in circles."""
        return self._guard is not None and self._guard.is_looping

    def choose(self, logits: Tensor) -> int:
        """The next token id from logits (vocabulary,)."""
        if self._guard is None:
            return self._draw(logits)
        allowed = self._guard.filter(logits)
        token_id = self._draw(allowed)
        preferred = token_id if allowed is logits else int(logits.argmax())
        self._guard.push(token_id, preferred)
        return token_id

    def _draw(self, logits: Tensor) -> int:
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        weights = (logits.float().cpu() / self._sampling.temperature).softmax(dim=-1)
        return int(torch.multinomial(weights, 1, generator=self._generator))
