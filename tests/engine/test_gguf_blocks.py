"""Blocks of GGUF files: unpacked as the package gguf does, packed within a stated bound."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from block_maker import QUANTIZED, make_blocks
from checks import Checks
from torch import Tensor
from torch.nn import functional

from fastkv_cli.engine.kernels.packed_matrix import Int4Matrix, JoinedMatrix
from fastkv_cli.engine.kernels.packing import can_pack
from fastkv_cli.engine.model.block_modules import (
    BlockEmbedding,
    BlockHead,
    BlockLinear,
    BlockStack,
    Scratch,
)
from fastkv_cli.engine.model.block_tensor import BlockFile, BlockTensor, pack_blocks
from fastkv_cli.engine.model.gguf_blocks import BLOCK_TYPES
from fastkv_cli.engine.model.layer_parts import HeadRows, Matrix
from fastkv_cli.errors import ModelError
from fastkv_cli.models import gguf_sizes

ROWS, COLUMNS = 96, 512
needs_kernels = pytest.mark.skipif(not can_pack(), reason="torch has no packed kernels here")


def expected(kind: str, raw: Tensor) -> Tensor:
    """The weights of blocks as the package gguf unpacks them."""
    data = raw.numpy()
    if kind in {"F32", "F16"}:
        data = data.view({"F32": np.float32, "F16": np.float16}[kind])
    unpacked = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    return torch.from_numpy(unpacked.astype(np.float32))


def in_file(
    folder: Path, kind: str, num_rows: int = ROWS, order: Tensor | None = None
) -> tuple[BlockTensor, Tensor]:
    """A matrix in a file, behind 32 other bytes; and its weights, in float32."""
    raw = make_blocks(kind, num_rows, COLUMNS)
    path = folder / f"{kind}-{num_rows}"
    path.write_bytes(bytes(32) + raw.numpy().tobytes())
    tensor = BlockTensor(BlockFile(path), 32, BLOCK_TYPES[kind], num_rows, COLUMNS, order)
    weight = expected(kind, raw)
    return tensor, weight if order is None else weight[order]


def test_every_type_is_unpacked_exactly() -> None:
    assert BLOCK_TYPES.keys() == gguf_sizes._READABLE, "what headers may name can be unpacked"
    with Checks() as check:
        for kind, blocks in BLOCK_TYPES.items():
            raw = make_blocks(kind, ROWS, COLUMNS)
            weight = expected(kind, raw)
            with check(f"{kind}: sizes"):
                sizes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
                assert (blocks.block_weights, blocks.block_bytes) == sizes
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                with check(f"{kind}: {dtype}"):
                    out = torch.empty(weight.shape, dtype=dtype)
                    blocks.unpack(raw, out)
                    assert torch.equal(out, weight.to(dtype))


@needs_kernels
def test_packing_stays_within_its_bounds(tmp_path: Path) -> None:
    """Types in 4 bits keep their levels; others change by 1/127 of a row's largest weight."""
    inputs = torch.eye(COLUMNS)
    with Checks() as check:
        for kind in QUANTIZED:
            tensor, weight = in_file(tmp_path, kind)
            matrix = pack_blocks([tensor], None)
            found = matrix(inputs).float().t()
            with check(kind):
                assert isinstance(matrix, Int4Matrix) is (kind in {"Q4_0", "Q4_1", "Q4_K"})
                if isinstance(matrix, Int4Matrix):
                    # scale and offset are rounded to bfloat16, and the product once more
                    groups = weight.abs().view(ROWS, -1, 32).amax(-1).repeat_interleave(32, 1)
                    bound = groups * 4 * 2**-8
                else:
                    bound = weight.abs().amax(1, keepdim=True) * (1 / 127 + 2**-8)
                assert ((found - weight).abs() <= bound).all()


@needs_kernels
def test_matrices_of_one_input_are_packed_as_one(tmp_path: Path) -> None:
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    parts = [
        in_file(tmp_path, "Q4_K", 64, order),
        in_file(tmp_path, "Q4_1", 128),
        in_file(tmp_path, "Q6_K", 32),
    ]
    tensors, weights = [part[0] for part in parts], torch.cat([part[1] for part in parts])
    bias, inputs = torch.randn(224), torch.randn(3, COLUMNS)
    for first, last, kind in ((0, 2, Int4Matrix), (0, 3, JoinedMatrix)):
        rows = slice(0, sum(tensor.num_rows for tensor in tensors[first:last]))
        matrix = pack_blocks(tensors[first:last], bias[rows])
        assert isinstance(matrix, kind)
        product = functional.linear(inputs, weights[rows], bias[rows])
        assert torch.dist(matrix(inputs).float(), product) < 0.01 * product.norm()


def test_modules_compute_from_the_file(tmp_path: Path) -> None:
    """More rows than are read at once, in another order than the file's."""
    order = torch.randperm(4096, generator=torch.Generator().manual_seed(2))
    tensor, weight = in_file(tmp_path, "Q4_K", 4096, order)
    other, other_weight = in_file(tmp_path, "Q5_K", 4096)
    scratch, hidden = Scratch(torch.float32), torch.randn(1, 3, COLUMNS)
    first, second = (BlockLinear(each, None, "q_proj", scratch) for each in (tensor, other))
    with Checks() as check:
        for turn in range(2):  # the second layer's matrix replaces that of the first
            with check(f"linear layers, {turn}"):
                assert torch.equal(first(hidden), functional.linear(hidden, weight))
                assert torch.equal(second(hidden), functional.linear(hidden, other_weight))
        with check("one buffer for a name"):
            assert scratch.nbytes == weight.nbytes
        with check("the head, in chunks"):
            found = BlockHead(other, torch.float32)(hidden)
            torch.testing.assert_close(found, functional.linear(hidden, other_weight))
        ids = torch.tensor([[7, 4095, 7, 0]])
        for each, table in ((tensor, weight), (other, other_weight)):
            with check("embeddings"):
                assert torch.equal(
                    BlockEmbedding(each, torch.bfloat16, 3.0)(ids), table[ids].bfloat16() * 3
                )


def test_experts_are_unpacked_one_by_one(tmp_path: Path) -> None:
    """Gate and up of three experts, one behind the other or in turn, as they are or transposed."""
    (gate, gates), (up, ups) = in_file(tmp_path, "Q4_K"), in_file(tmp_path, "Q6_K")
    half = ROWS // 3
    with Checks() as check:
        for name, parts in {
            "one after the other": (slice(0, half), slice(half, None)),
            "in turn": (slice(0, None, 2), slice(1, None, 2)),
        }.items():
            for transposed in (False, True):
                tensors = list(zip((gate, up), parts, strict=True))
                scratch = Scratch(torch.float32)
                stack = BlockStack(tensors, 3, "gate_up", scratch, transposed=transposed)
                for expert in (2, 0, 1):
                    wanted = torch.empty(2 * half, COLUMNS)
                    wanted[parts[0]], wanted[parts[1]] = (
                        gates.view(3, half, -1)[expert],
                        ups.view(3, half, -1)[expert],
                    )
                    with check(f"{name}, {transposed}, {expert}"):
                        assert torch.equal(stack[expert], wanted.t() if transposed else wanted)
                        assert stack.shape[1:] == stack[expert].shape


def test_a_file_that_shrinks_meanwhile_is_one_line(tmp_path: Path) -> None:
    tensor, _ = in_file(tmp_path, "Q8_0")
    with tensor.file.path.open("r+b") as file:
        file.truncate(tensor.offset + tensor.nbytes // 2)
    with pytest.raises(ModelError, match="was cut off meanwhile"):
        tensor.unpack(torch.empty(tensor.shape))


@needs_kernels
def test_rows_of_heads_that_alternate_with_gates_are_packed_apart(tmp_path: Path) -> None:
    """Of heads of 32, which the 4-bit kernel takes no two of at once, and of 64."""
    inputs = torch.randn(3, COLUMNS, generator=torch.Generator().manual_seed(0))
    for head_dim in (32, 64):
        tensor, weight = in_file(tmp_path, "Q4_0", 3 * 2 * head_dim)
        layer = BlockLinear(tensor, None, "q_proj", Scratch(torch.float32))
        for part in (0, 1):
            rows = HeadRows(layer, num_heads=3, head_dim=head_dim, part=part)
            wanted = inputs @ weight.view(3, 2, head_dim, -1)[:, part].flatten(0, 1).t()
            torch.testing.assert_close(rows(inputs), wanted, atol=1e-4, rtol=1e-4)
            packed = Matrix.of(rows).pack()
            assert packed.bits == 4
            assert isinstance(packed, JoinedMatrix) is (head_dim == 32)
            assert torch.dist(packed(inputs).float(), wanted) < 0.01 * wanted.norm()
