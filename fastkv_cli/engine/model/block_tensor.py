"""Tensors that stay in a model's file: their rows are read and unpacked on demand.

The file is GGUF, or safetensors with experts in MXFP4 (gpt-oss).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import ModelError
from ..kernels.packed_matrix import JoinedMatrix, PackedMatrix, SingleMatrix
from ..kernels.packing import Int4Builder, Int8Builder, fits_int4
from .gguf_blocks import BlockType

# Weights read at once. Reading into a small buffer, rather than mapping the file, keeps its pages
# out of the process's memory, and a file that shrinks meanwhile gives an error, not a signal.
_CHUNK_WEIGHTS = 2**22
_PACKED_ROWS = 64  # of the 4-bit kernel; only the last rows of a matrix may be fewer


class BlockFile:
    """An open file of weights, or one of several that a model is split into."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OSError: when it cannot be opened.
        """
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()

    def read(self, offset: int, out: Tensor) -> None:
        """Read bytes from an offset on into a contiguous uint8 tensor.

        Raises:
            ModelError: when the file has become shorter.
        """
        view = out.numpy().data.cast("B")
        with self._lock:
            self._file.seek(offset)
            done = 0
            while done < len(view):
                count = self._file.readinto(view[done:])
                if not count:
                    raise ModelError(f"{self.path.name} was cut off meanwhile", "fetch it again")
                done += count


@dataclass(frozen=True)
class BlockTensor:
    """A matrix in a file of weights.

    Attributes:
        file: the file that holds it.
        offset: its first byte.
        kind: type of its blocks.
        num_rows: N.
        num_columns: K.
        order: (N,) int64, the rows to take, in order; None takes all as they are stored.
    """

    file: BlockFile
    offset: int
    kind: BlockType
    num_rows: int
    num_columns: int
    order: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """N, K."""
        return self.num_rows, self.num_columns

    @property
    def num_weights(self) -> int:
        """N · K."""
        return self.num_rows * self.num_columns

    @property
    def packed_bytes(self) -> int:
        """Bytes of the matrix packed for decoding."""
        return self.num_weights * 5 // 8 if self.is_4_bits else self.num_weights

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.num_rows * self.row_bytes

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of a row in the file."""
        return self.kind.row_bytes(self.num_columns)

    def unpack(self, out: Tensor) -> None:
        """Unpack the whole matrix into `out`, (N, K)."""
        for rows, raw in self.chunks():
            self.kind.unpack(raw, out[rows])

    def unpack_rows(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Unpack chosen rows: indices (T,) → (T, K)."""
        wanted, inverse = (
            torch.from_numpy(each) for each in np.unique(rows.numpy(), return_inverse=True)
        )
        raw = torch.empty(len(wanted), self.row_bytes, dtype=torch.uint8)
        stored = wanted if self.order is None else self.order[wanted]
        for index, row in enumerate(stored.tolist()):
            self.file.read(self.offset + row * self.row_bytes, raw[index])
        out = torch.empty(len(wanted), self.num_columns, dtype=dtype)
        self.kind.unpack(raw, out)
        return out[inverse]

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """The rows in chunks of about 4 million weights: range and bytes, (rows, row bytes).

        A chunk is overwritten by the next one.
        """
        if self.order is not None:  # Q and K of a Llama, Qwen3.5's in_proj_qkv: small matrices
            raw = torch.empty(self.num_rows, self.row_bytes, dtype=torch.uint8)
            self._read_rows(0, raw)
            yield slice(0, self.num_rows), raw[self.order]
            return
        rows = max(64, _CHUNK_WEIGHTS // self.num_columns // 64 * 64)
        buffer = torch.empty(min(rows, self.num_rows), self.row_bytes, dtype=torch.uint8)
        for start in range(0, self.num_rows, rows):
            stop = min(start + rows, self.num_rows)
            raw = buffer[: stop - start]
            self._read_rows(start, raw)
            yield slice(start, stop), raw

    def _read_rows(self, start: int, raw: Tensor) -> None:
        """Read consecutive rows into `raw`, (rows, row bytes)."""
        self.file.read(self.offset + start * self.row_bytes, raw)

    def part(self, first: int, count: int) -> BlockTensor:
        """A view of consecutive rows, of a matrix whose rows are in the file's order."""
        assert self.order is None
        offset = self.offset + first * self.row_bytes
        return replace(self, offset=offset, num_rows=count)

    @property
    def is_4_bits(self) -> bool:
        """Whether the 4-bit kernel takes this matrix without loss."""
        return self.kind.is_4_bits and fits_int4(self.num_rows, self.num_columns)


@dataclass(frozen=True, kw_only=True)
class ScaledBlockTensor(BlockTensor):
    """A matrix whose blocks and scales, a byte for each block, are in two places.

    Attributes:
        scales_file: the file that holds the scales.
        scales_offset: their first byte.
    """

    scales_file: BlockFile
    scales_offset: int

    @property
    def _num_groups(self) -> int:
        """Blocks of a row."""
        return self.num_columns // self.kind.block_weights

    def part(self, first: int, count: int) -> ScaledBlockTensor:
        """See `BlockTensor`."""
        rows = first * self._num_groups
        offset = self.offset + rows * (self.kind.block_bytes - 1)
        return replace(self, offset=offset, scales_offset=self.scales_offset + rows, num_rows=count)

    def _read_rows(self, start: int, raw: Tensor) -> None:
        size = self.kind.block_bytes
        joined = raw.view(len(raw), self._num_groups, size)
        whole = self.part(start, len(raw))
        scales = torch.empty(joined.shape[:2], dtype=torch.uint8)
        blocks = torch.empty(*joined.shape[:2], size - 1, dtype=torch.uint8)
        self.scales_file.read(whole.scales_offset, scales)
        self.file.read(whole.offset, blocks)
        joined[..., 0], joined[..., 1:] = scales, blocks


def pack_blocks(tensors: list[BlockTensor], bias: Tensor | None) -> PackedMatrix:
    """Pack matrices of the same input as one: those in 4 bits as they are, others in 8.

    Args:
        tensors: their rows follow each other in the result.
        bias: (rows of all,); None for no bias.
    """
    runs: list[list[BlockTensor]] = []
    for tensor in tensors:
        last = runs[-1][-1] if runs else None
        if (
            last
            and last.is_4_bits == tensor.is_4_bits
            and not (last.is_4_bits and last.num_rows % _PACKED_ROWS)
        ):
            runs[-1].append(tensor)
        else:
            runs.append([tensor])
    parts: list[SingleMatrix] = []
    first = 0
    for run in runs:
        count = sum(tensor.num_rows for tensor in run)
        part_bias = None if bias is None else bias[first : first + count]
        parts.append((_pack_4_bits if run[0].is_4_bits else _pack_8_bits)(run, part_bias))
        first += count
    return parts[0] if len(parts) == 1 else JoinedMatrix(tuple(parts))


def _pack_4_bits(tensors: list[BlockTensor], bias: Tensor | None) -> SingleMatrix:
    builder = Int4Builder(sum(tensor.num_rows for tensor in tensors), tensors[0].num_columns)
    for tensor in tensors:
        for _, raw in tensor.chunks():
            levels, scales, offsets = tensor.kind.levels(raw)
            assert offsets is not None  # all types in 4 bits have them
            builder.add(*(each.view(raw.shape[0], -1) for each in (levels, scales, offsets)))
    return builder.finish(bias)


def _pack_8_bits(tensors: list[BlockTensor], bias: Tensor | None) -> SingleMatrix:
    builder = Int8Builder(sum(tensor.num_rows for tensor in tensors), tensors[0].num_columns)
    for tensor in tensors:
        for _, raw in tensor.chunks():
            if tensor.kind.dtype is not None:
                builder.add(raw.view(tensor.kind.dtype).float())
                continue
            levels, scales, offsets = tensor.kind.levels(raw)
            rows = raw.shape[0], -1
            largest = tensor.kind.largest(scales, offsets).view(rows).amax(1, keepdim=True)
            builder.add_levels(
                levels.view(*rows, levels.shape[1]),
                scales.view(rows),
                None if offsets is None else offsets.view(rows),
                largest,
            )
    return builder.finish(bias)
