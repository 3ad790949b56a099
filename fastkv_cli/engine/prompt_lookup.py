"""Prompt-lookup decoding: drafts the next tokens where the answer copies the text.

The tokens that followed when the last ones stood in the text before are a draft of what comes next
(Saxena, "Prompt Lookup Decoding", 2023). One pass of the model verifies all of them: each token is
chosen from the model's own logits, and a draft only decides how many are computed at once, as in
speculative decoding (Leviathan et al. 2023, arXiv 2211.17192, section 2). So the answer is the same
as token by token, greedy, sampled or constrained, up to the rounding of a pass with several tokens:
in 16 bits, where two tokens are nearly as likely, the other one may win.

How many tokens are drafted follows from how often such drafts were right so far, and from what a
pass with several tokens costs. Whether a draft would have been right is known without verifying it,
as soon as the next token is chosen: where nothing is copied, almost nothing is tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..weight_formats import DecodingWeights
from .kernels.packing import repeats_8_bits

# The longest run of tokens that is compared.
_MAX_MATCH = 8
# How often the token that followed the same 1 to 8 tokens before comes next: expected at the start
# of an answer, with the weight of 8 tokens. In 29 answers and summaries of the embedded model it
# was 23% after one token, 55% after two, 73% after three and 82% after more; a little less here
# costs nothing where texts are copied, and saves passes where they are not.
_USUAL_SHARES = (0.15, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.8)
_USUAL_WEIGHT = 8.0


def _between(points: dict[int, float]) -> tuple[float, ...]:
    """Values at 1 to the last of some points, on straight lines between them."""
    values = np.interp(range(1, max(points) + 1), list(points), list(points.values()))
    return tuple(values.tolist())


# Time of a pass with 1, 2, … 16 tokens, by that of one token. The kernel for 4 bits computes four
# rows at once, and unpacks the weights for each four anew; that for 8 bits and products in 16 bits
# wait for the weights. One token alone is fused.
_COSTS_4_BITS = _between({1: 1.0, 2: 1.25, 3: 1.4, 4: 1.6, 5: 2.2, 8: 2.8, 16: 5.0})
_COSTS = _between({1: 1.0, 2: 1.1, 16: 1.8})


def pass_costs(weights: DecodingWeights) -> tuple[float, ...]:
    """Time of a pass with 1, 2, … tokens from these weights, by that of one."""
    is_steep = 4 in weights.bits or weights.dtype == "float32"
    is_steep = is_steep or (8 in weights.bits and repeats_8_bits())
    return _COSTS_4_BITS if is_steep else _COSTS


class PromptLookup:
    """The tokens of a prompt and its growing answer, and drafts of what comes next.

    Attributes:
        num_passes: passes of the model so far, with a draft or without one.
    """

    def __init__(
        self, prompt_ids: Sequence[int], max_new_tokens: int, costs: Sequence[float]
    ) -> None:
        """Look up in a prompt, and in its answer of at most `max_new_tokens` tokens.

        Args:
            prompt_ids: all tokens of the prompt, those too that the cache no longer holds.
            max_new_tokens: of the answer.
            costs: time of a pass with 1, 2, … tokens; a draft has one less than the last.
        """
        self.num_passes = 0
        self._ids = np.empty(len(prompt_ids) + max_new_tokens, np.int32)
        self._ids[: len(prompt_ids)] = prompt_ids
        self._length = len(prompt_ids)
        self._costs = costs
        self._tried = [_USUAL_WEIGHT] * _MAX_MATCH
        self._right = [_USUAL_WEIGHT * share for share in _USUAL_SHARES]
        self._next, self._matched = 0, 0  # where the text may go on, and the tokens that say so

    def push(self, token_id: int) -> None:
        """Add a token of the answer."""
        if self._matched:
            is_right = bool(self._ids[self._next] == token_id)
            self._tried[self._matched - 1] += 1
            self._right[self._matched - 1] += is_right
            self._next += 1
            self._matched = min(self._matched + 1, _MAX_MATCH) if is_right else 0
        self._ids[self._length] = token_id
        self._length += 1

    def draft(self) -> list[int]:
        """The tokens to verify in the next pass, which counts; empty where that would not pay.

        They follow the longest run of up to 8 tokens that also ends the text; of several, the last.
        """
        self.num_passes += 1
        self._find()
        if not self._matched:
            return []
        room = len(self._ids) - self._length - 1  # a pass gives one more token than its draft
        most = min(room, self._length - self._next, len(self._costs) - 1)
        chance = tokens = 1.0
        count, best = 0, 1.0 / self._costs[0]
        for number in range(1, most + 1):
            row = min(self._matched + number - 1, _MAX_MATCH) - 1
            chance *= self._right[row] / self._tried[row]
            tokens += chance
            if tokens / self._costs[number] > best:
                count, best = number, tokens / self._costs[number]
        drafted: list[int] = self._ids[self._next : self._next + count].tolist()
        return drafted

    def _find(self) -> None:
        """Find where the text may go on, and how many of the last tokens say so."""
        ids, length = self._ids, self._length
        starts = np.flatnonzero(ids[: length - 1] == ids[length - 1]) + 1
        matched = 1 if len(starts) else 0
        while matched and matched < _MAX_MATCH:
            long_enough = starts[starts > matched]
            longer = long_enough[ids[long_enough - 1 - matched] == ids[length - 1 - matched]]
            if not len(longer):
                break
            starts, matched = longer, matched + 1
        self._matched = matched
        self._next = int(starts[-1]) if matched else 0
