"""How many rows are computed at once; torch is not imported, as memory forecasts need it too."""

from __future__ import annotations

GRAIN = 64
# Maximum query rows per block, and scores per block and KV head. On a CPU the scores then fit its
# cache and one buffer (measured: docs/decisions.md); elsewhere only memory limits them.
_CPU_BLOCK = (256, 2**23)
_BLOCK = (1024, 2**27)
# Rows that pass through a layer at once. This bounds the MLP's activations, however long the prompt
# is; a GPU is fastest with many rows.
_CHUNK_ROWS = {"cuda": 16_384}
DEFAULT_CHUNK_ROWS = 1024
# Rows that pass through a recurrent layer at once: it holds some ten float32 copies of them.
RECURRENT_ROWS = 1024


def round_up(count: int) -> int:
    """The next multiple of GRAIN."""
    return -(-count // GRAIN) * GRAIN


def default_chunk_rows(device_type: str) -> int:
    """The default number of rows that pass through a layer at once."""
    return _CHUNK_ROWS.get(device_type, DEFAULT_CHUNK_ROWS)


def rows_per_block(num_queries: int, num_keys: int, group: int, device_type: str) -> int:
    """Query rows whose scores are in memory at once; `group` query heads share a KV head."""
    most_rows, most_scores = _CPU_BLOCK if device_type == "cpu" else _BLOCK
    fitting = min(most_rows, most_scores // (group * num_keys))
    return max(1, min(num_queries, fitting // GRAIN * GRAIN or fitting))
