"""Block-sparse causal attention on a CPU: blocks of queries over the blocks of keys they need.

Which blocks a block of queries needs is found for each KV head from every 32nd of its queries: its
exact attention weights, summed over blocks of 64 keys. The blocks that hold most of it (top-p) are
copied together and attended to, beside the first block, which takes surplus attention, and the
nearest ones. XAttention (arXiv 2503.16428) ranks blocks by sums of q·k along
antidiagonals instead; at the same density that loses four times as much of the output in some
layers of the embedded model (docs/decisions.md).

The choice depends on no query outside the block, so a document's results do not depend on the
question behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import UsageError
from .row_blocks import GRAIN, round_up

QUERY_ROWS = 256  # of a block of queries
_STRIDE = 32  # of the queries that choose its blocks of keys, its last one among them
_LOCAL = 2  # blocks of keys before the block of queries that it always attends to
_FEW = 6  # with no more blocks to choose from, all are taken
FIRST_SPARSE_ROW = (_FEW + _LOCAL + 1) * GRAIN  # queries before it have no more than these blocks
# Blocks are taken in multiples of this number: oneDNN compiles a kernel for every size, in 1 ms.
_MULTIPLE = 2
_LOG2_E = 1.4426950408889634
_SAFE = 100  # of exponents, which end at 127 in bfloat16 and float32; a row's values are summed


@dataclass(frozen=True, slots=True)
class BlockSparsity:
    """How much attention block-sparse attention computes.

    Attributes:
        coverage: share of the attention that the chosen blocks of keys hold (top-p).
        least: blocks that are chosen at least, beside the first and the nearest.
        most: blocks that are chosen at most, where attention is spread evenly over a long text.
    """

    coverage: float = 0.85
    least: int = 4
    most: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.coverage <= 1:
            raise UsageError(
                f"coverage {self.coverage:g} is out of range", "it is above 0 and at most 1"
            )
        if not 0 <= self.least <= self.most:
            raise UsageError(
                f"least {self.least} is out of range", f"it is 0 to the most, {self.most}"
            )

    def expected_cost(self, num_tokens: int) -> float:
        """Time as a share of dense attention's, as on real text; to forecast with."""
        return min(0.1 + 1500 / num_tokens, 1.0)

    def __str__(self) -> str:
        return f"top-p {self.coverage:g}, {self.least} to {self.most} blocks"


class SparselyAttended(NamedTuple):
    """Attention's output (1, H, T, D), and the pairs of a query and a key that were left out."""

    attended: Tensor
    skipped_pairs: int


def attend_sparsely(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    first_row: int,
    dense_from: int,
    scaling: float,
    sparsity: BlockSparsity,
) -> SparselyAttended:
    """Causal attention of T neighbouring rows of a text, on a CPU.

    Args:
        query: (1, H, T, D), of the rows from `first_row` on; T is 32 or more.
        key: (1, H_kv, S, D), from the first row on, contiguous; S is a multiple of 64.
        value: as `key`. Rows behind the queries' get no weight, but must be finite.
        first_row: the row of the first query.
        dense_from: blocks of queries with this row or one behind it attend to everything.
        scaling: factor applied to q·k.
        sparsity: which blocks of keys are chosen.
    """
    arguments = query, key, value, first_row, dense_from, scaling, sparsity
    attended, totals, skipped = _attend(*arguments, _exponentiate)
    # A softmax without its maximum takes 0.6 of the time in 16 bits, half in float32, but ends
    # where exponents do.
    if not 2.0**-_SAFE < float(totals.amin()) <= float(totals.amax()) < 2.0**_SAFE:
        attended, _, skipped = _attend(*arguments, _softmax)
    return SparselyAttended(attended, skipped)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    first_row: int,
    dense_from: int,
    scaling: float,
    sparsity: BlockSparsity,
    normalize: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor, int]:
    """As `attend_sparsely`; the output is finite if the totals of all weights are.

    `normalize` turns scores into weights, in place; the output is divided by their totals.

    Returns:
        The output (1, H, T, D), the totals (H, T), and the pairs left out.
    """
    num_rows, num_kv_heads = query.shape[2], key.shape[1]
    group, head_dim = query.shape[1] // num_kv_heads, query.shape[3]
    num_keys = round_up(first_row + num_rows)
    # a token's heads contiguous in memory, as the output projection needs them
    attended = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    attended = attended.transpose(1, 2)
    totals = query.new_empty(query.shape[1], num_rows)
    scratch = query.new_empty(group * min(QUERY_ROWS, num_rows) * num_keys)
    queries = (query[0] * (scaling * _LOG2_E)).reshape(num_kv_heads, group, num_rows, head_dim)
    sampled_rows = torch.arange(_STRIDE - 1, num_rows, _STRIDE)
    sampled_bias = _causal_bias(sampled_rows, num_keys - first_row, query.dtype)
    bias = _causal_bias(torch.arange(QUERY_ROWS), QUERY_ROWS + GRAIN, query.dtype)
    skipped = 0
    for head in range(num_kv_heads):
        keys, values, heads = key[0, head], value[0, head], slice(head * group, (head + 1) * group)
        sampled = queries[head][:, sampled_rows]
        held = _sample(normalize(_score(sampled, keys[:num_keys], sampled_bias, scratch)), group)
        for start in range(0, num_rows, QUERY_ROWS):
            stop = min(start + QUERY_ROWS, num_rows)
            row, num_blocks = first_row + start, round_up(first_row + stop) // GRAIN
            nearest = max(row // GRAIN - _LOCAL, 1)
            if nearest <= _FEW or first_row + stop > dense_from:
                near_keys, near_values = (each[: num_blocks * GRAIN] for each in (keys, values))
            else:
                shares = held[start // _STRIDE : stop // _STRIDE, :num_blocks].sum(dim=0)
                blocks = _choose(shares.tolist(), nearest, sparsity)
                near_keys, near_values = _take(keys, blocks), _take(values, blocks)
                skipped += group * (stop - start) * GRAIN * (num_blocks - len(blocks))
            own = bias[: stop - start, : num_blocks * GRAIN - row]
            weights = normalize(_score(queries[head, :, start:stop], near_keys, own, scratch))
            total = weights.sum(dim=-1, keepdim=True)
            block = torch.mm(weights, near_values).div_(total)
            totals[heads, start:stop] = total.view(group, -1)
            attended[0, heads, start:stop] = block.view(group, -1, head_dim)
    return attended, totals, skipped


def _causal_bias(rows: Tensor, num_keys: int, dtype: torch.dtype) -> Tensor:
    """What is added to the scores of keys counted from the same row: −∞ behind the query."""
    behind = torch.arange(num_keys) > rows.unsqueeze(1)
    return torch.zeros(behind.shape, dtype=dtype).masked_fill_(behind, float("-inf"))


def _score(query: Tensor, keys: Tensor, bias: Tensor, scratch: Tensor) -> Tensor:
    """Products of (group, rows, D) queries and (S, D) keys, (group · rows, S), in one buffer.

    `bias` (rows, c) is added to the last c columns.
    """
    group, num_rows, head_dim = query.shape
    scores = scratch[: group * num_rows * keys.shape[0]].view(-1, keys.shape[0])
    torch.mm(query.reshape(-1, head_dim), keys.t(), out=scores)
    scores.view(group, num_rows, -1)[..., -bias.shape[1] :] += bias
    return scores


def _exponentiate(scores: Tensor) -> Tensor:
    """2^scores, in place."""
    return torch.exp2(scores, out=scores)


def _softmax(scores: Tensor) -> Tensor:
    """Softmax of scores to the base of 2, in place."""
    return torch.softmax(scores.mul_(1 / _LOG2_E), dim=-1, out=scores)


def _sample(weights: Tensor, group: int) -> Tensor:
    """Attention that each block of keys receives, (rows, blocks); weights are (group · rows, S)."""
    by_block = weights.view(len(weights), -1, GRAIN).sum(dim=2, dtype=torch.float32)
    by_block /= by_block.sum(dim=1, keepdim=True)
    return by_block.view(group, -1, by_block.shape[1]).sum(dim=0)


def _choose(shares: Sequence[float], nearest: int, sparsity: BlockSparsity) -> Tensor:
    """The blocks of keys that a block of queries attends to, ascending.

    Args:
        shares: the attention that each block of keys receives.
        nearest: the first of the blocks that are always taken.
        sparsity: how many others are.
    """
    ranked = sorted(range(1, nearest), key=shares.__getitem__, reverse=True)
    wanted = sparsity.coverage * sum(shares) - shares[0] - sum(shares[nearest:])
    sums = accumulate(shares[block] for block in ranked)
    count = next((at for at, held in enumerate(sums, 1) if held >= wanted), nearest)
    count = min(max(count, sparsity.least), sparsity.most)
    count += -(1 + count + len(shares) - nearest) % _MULTIPLE
    return torch.tensor([0, *sorted(ranked[:count]), *range(nearest, len(shares))])


def _take(rows: Tensor, blocks: Tensor) -> Tensor:
    """Copy blocks of rows (S, D) together."""
    return rows.view(-1, GRAIN * rows.shape[1]).index_select(0, blocks).view(-1, rows.shape[1])
