"""Constrained decoding: only tokens that continue a text of a grammar are sampled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..config import Sampling
from ..errors import FastKVError
from .sampling import Sampler, make_plain_sampler

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from .model.loader import LoadedModel

Grammar = str
"""A grammar in llguidance's variant of Lark's syntax."""


def grammar_tokenizer(loaded: LoadedModel) -> LLTokenizer:
    """The vocabulary of a model, as grammars need it; takes 0.3 s for 49,152 tokens.

    Raises:
        FastKVError: when the tokenizer cannot be used with grammars.
    """
    from llguidance import LLTokenizer

    try:
        backend = loaded.tokenizer.backend_tokenizer
        ends = sorted(loaded.eos_ids)
        return LLTokenizer(backend.to_str(), n_vocab=len(backend.get_vocab()), eos_token=ends)
    except (AttributeError, ValueError, RuntimeError) as error:
        raise FastKVError(
            f"the tokenizer of {loaded.name} cannot be constrained ({error})", "use another model"
        ) from error


class ConstrainedSampler:
    """Samples an answer that is a text of a grammar, whatever the model would say."""

    def __init__(self, sampler: Sampler, tokenizer: LLTokenizer, grammar: Grammar) -> None:
        """Constrain a sampler.

        Args:
            sampler: chooses among the allowed tokens.
            tokenizer: of the model, from `grammar_tokenizer`.
            grammar: what may be said.

        Raises:
            FastKVError: when the grammar cannot be used.
        """
        from llguidance import LLMatcher

        self._sampler = sampler
        self._matcher: LLMatcher = LLMatcher(tokenizer, grammar)
        self._check()

    @property
    def is_looping(self) -> bool:
        """Whether the answer repeats itself; never, as the grammar ends it."""
        return False

    @property
    def is_over(self) -> bool:
        """Whether the answer is complete, so that nothing but an end token could follow."""
        return self._matcher.is_stopped()

    def choose(self, logits: Tensor) -> int:
        """The next token id from logits (vocabulary,)."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, count=None, bitorder="little").astype(bool)
        mask = torch.zeros(logits.shape[0], dtype=torch.bool)
        count = min(len(allowed), len(mask))
        mask[:count] = torch.from_numpy(allowed[:count])
        self._check()
        token_id = self._sampler.choose(logits.masked_fill(~mask.to(logits.device), -torch.inf))
        self._matcher.consume_token(token_id)
        self._check()
        return token_id

    def _check(self) -> None:
        if self._matcher.is_error():
            lines = self._matcher.get_error().strip().splitlines() or [""]
            raise FastKVError(
                f"the grammar of the answer fails ({lines[0]})", "simplify the schema"
            )


Samplers = tuple[Callable[[], Sampler], Callable[[], Sampler | ConstrainedSampler]]
"""Make the sampler of the thoughts, and that of the answer."""


def constrain(
    sampling: Sampling, tokenizer: LLTokenizer, grammar: Grammar
) -> Callable[[], ConstrainedSampler]:
    """Makes samplers of a grammar's texts; loops are not guarded against, as the grammar ends."""
    free = make_plain_sampler(sampling, guards_loops=False)
    return partial(ConstrainedSampler, free, tokenizer, grammar)
