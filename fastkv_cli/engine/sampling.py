"""Sampling the next token from the logits."""

from __future__ import annotations

from collections import defaultdict, deque

import torch
from torch import Tensor

from ..config import Sampling
from ..system.quick_start import load_meta_kernels

# No run of this many tokens may occur twice in an answer.
_RUN_LENGTH = 12
# An answer loops when at least 60% of its last 48 tokens end a phrase that occurred before.
_PHRASE_LENGTH = 4
_HORIZON = 48
_MAX_REPEATED_SHARE = 0.6


class LoopGuard:
    """Keeps a small model from repeating itself; looks at the answer only, never at the prompt.

    A token that would repeat a long run of the answer is banned for that step, as in no-repeat
    n-gram decoding. Where the answer still consists mostly of phrases that it had before,
    `is_looping` becomes true and the generation should end. One guard serves one answer.
    """

    def __init__(self) -> None:
        self._answer: list[int] = []
        self._followers: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        self._phrases: set[tuple[int, ...]] = set()
        self._repeated: deque[bool] = deque(maxlen=_HORIZON)

    @property
    def is_looping(self) -> bool:
        """Whether the last tokens form a loop, possibly with variations."""
        is_full = len(self._repeated) == _HORIZON
        return is_full and sum(self._repeated) >= _MAX_REPEATED_SHARE * _HORIZON

    def filter(self, logits: Tensor) -> Tensor:
        """Set the logits of tokens that would repeat a run to −∞, (vocabulary,) → (vocabulary,)."""
        banned = self._followers.get(self._last(_RUN_LENGTH - 1))
        if not banned:
            return logits
        indices = torch.tensor(sorted(banned), device=logits.device)
        return logits.index_fill(0, indices, float("-inf"))

    def push(self, token_id: int) -> None:
        """Record the chosen token."""
        if len(self._answer) >= _RUN_LENGTH - 1:
            self._followers[self._last(_RUN_LENGTH - 1)].add(token_id)
        self._answer.append(token_id)
        phrase = self._last(_PHRASE_LENGTH)
        self._repeated.append(phrase in self._phrases)
        self._phrases.add(phrase)

    def _last(self, count: int) -> tuple[int, ...]:
        return tuple(self._answer[-count:])


class Sampler:
    """Chooses the tokens of one answer: greedy at temperature 0, else sampled with a fixed seed."""

    def __init__(self, sampling: Sampling, guard: LoopGuard | None = None) -> None:
        """Sample with these settings; without a guard no token is banned."""
        self._sampling = sampling
        self._guard = guard
        self._generator = seeded_generator(sampling.seed) if sampling.temperature else None
        self._used: set[int] = set()

    @property
    def is_looping(self) -> bool:
        """Whether the guard found that the answer repeats itself."""
        return self._guard is not None and self._guard.is_looping

    @property
    def is_over(self) -> bool:
        """Whether nothing can follow; only a grammar knows that."""
        return False

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
        """Lower the logits of tokens that the answer already contains (CTRL, section 4.1)."""
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


def seeded_generator(seed: int) -> torch.Generator:
    """A random generator on the CPU; torch makes none without its meta kernels."""
    load_meta_kernels()
    return torch.Generator().manual_seed(seed)


def make_plain_sampler(sampling: Sampling, *, guards_loops: bool) -> Sampler:
    """A sampler for one answer, with a loop guard if wanted."""
    return Sampler(sampling, LoopGuard() if guards_loops else None)
