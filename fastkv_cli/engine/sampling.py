"""How the next token is chosen from the logits."""

from __future__ import annotations

from collections import defaultdict, deque

import torch
from torch import Tensor

from ..config import Sampling

# A run of this many tokens must not come twice in an answer.
_RUN_LENGTH = 12
# An answer is a loop when most of its last tokens end a short run that it had before.
_PHRASE_LENGTH = 4
_HORIZON = 48
_MAX_REPEATED_SHARE = 0.6


class LoopGuard:
    """Keeps a small model from going round in circles; only the answer counts, never the prompt.

    A token that would repeat a long run of the answer is banned for that step, as in no-repeat
    n-gram decoding. Where the answer still is little but phrases that it had before, `is_looping`
    turns true and the generation should end.
    """

    def __init__(self) -> None:
        """Set up for one answer."""
        self._answer: list[int] = []
        self._followers: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        self._phrases: set[tuple[int, ...]] = set()
        self._repeated: deque[bool] = deque(maxlen=_HORIZON)

    @property
    def is_looping(self) -> bool:
        """Whether the last tokens are a loop, be it with variations."""
        is_full = len(self._repeated) == _HORIZON
        return is_full and sum(self._repeated) >= _MAX_REPEATED_SHARE * _HORIZON

    def filter(self, logits: Tensor) -> Tensor:
        """Ban the tokens that would repeat a run, (vocabulary,) → (vocabulary,)."""
        banned = self._followers.get(self._last(_RUN_LENGTH - 1))
        if not banned:
            return logits
        indices = torch.tensor(sorted(banned), device=logits.device)
        return logits.index_fill(0, indices, float("-inf"))

    def push(self, token_id: int) -> None:
        """Take note of the token chosen."""
        if len(self._answer) >= _RUN_LENGTH - 1:
            self._followers[self._last(_RUN_LENGTH - 1)].add(token_id)
        self._answer.append(token_id)
        phrase = self._last(_PHRASE_LENGTH)
        self._repeated.append(phrase in self._phrases)
        self._phrases.add(phrase)

    def _last(self, count: int) -> tuple[int, ...]:
        return tuple(self._answer[-count:])


class Sampler:
    """Chooses tokens: greedy at temperature 0, else at random from the seeded distribution."""

    def __init__(self, sampling: Sampling, guard: LoopGuard | None = None) -> None:
        """Set up for one answer; without a guard the model's own choices stand."""
        self._sampling = sampling
        self._guard = guard
        self._generator = torch.Generator().manual_seed(sampling.seed)
        self._used: set[int] = set()

    @property
    def is_looping(self) -> bool:
        """Whether the guard found that the answer goes round in circles."""
        return self._guard is not None and self._guard.is_looping

    def choose(self, logits: Tensor) -> int:
        """The next token id from logits (vocabulary,)."""
        logits = self._penalized(logits)
        if self._guard is not None:
            logits = self._guard.filter(logits)
        token_id = self._draw(logits)
        self._used.add(token_id)
        if self._guard is not None:
            self._guard.push(token_id)
        return token_id

    def _penalized(self, logits: Tensor) -> Tensor:
        """Make the tokens that the answer has already less likely (CTRL, section 4.1)."""
        penalty = self._sampling.repetition_penalty
        if penalty == 1 or not self._used:
            return logits
        indices = torch.tensor(sorted(self._used), device=logits.device)
        used = logits[indices]
        return logits.index_copy(0, indices, torch.where(used > 0, used / penalty, used * penalty))

    def _draw(self, logits: Tensor) -> int:
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        weights = (logits.float().cpu() / self._sampling.temperature).softmax(dim=-1)
        return int(torch.multinomial(weights, 1, generator=self._generator))
