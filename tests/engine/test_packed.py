"""Packed weights: a second reader, held to the decoder that it was packed from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from cases import load_tiny, make_prompt, name_of, read_prompt
from checks import Checks
from torch import Tensor

from fastkv_cli import Engine, FastKV, Full, HeadKV, SnapKV
from fastkv_cli.config import DecodeWeights
from fastkv_cli.engine.decode import DecodingModel, extend
from fastkv_cli.engine.kernels import fused, packed, packing
from fastkv_cli.engine.kernels.packed import PackedDecoder, PackedLayer, choose_decoding_model
from fastkv_cli.engine.kernels.packed_matrix import (
    Int4Matrix,
    Int8LevelsMatrix,
    Int8Matrix,
    Int8RowsMatrix,
)
from fastkv_cli.engine.kernels.packing import can_pack, pack
from fastkv_cli.engine.methods import Method
from fastkv_cli.engine.model.decoder_layer import DecoderLayer
from fastkv_cli.engine.model.layer_parts import Matrix, mlp_matrices
from fastkv_cli.errors import UsageError
from fastkv_cli.output.render.report_json import describe_weights

pytestmark = pytest.mark.skipif(not can_pack(), reason="torch has no packed kernels here")

MODELS = [
    *("llama", "mistral", "mistral-sliding", "ministral", "ministral3", "nemo"),
    *("qwen2", "qwen3", "phi3", "phi3-partial", "phi3-longrope", "llama3-rope", "granite"),
    *("smollm3", "glm4", "gemma3", "olmo3", "lfm2", "qwen3_5"),
]
# Where 8-bit products overflow (AVX2), another kernel is taken, whose results are in bfloat16.
ROUNDS_RESULTS = isinstance(pack(torch.randn(3, 32)), Int8RowsMatrix)
METHODS: list[Method] = [
    Full(),
    FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.3),
    SnapKV(retention_rate=0.3, per_query_head=True),
    HeadKV(retention_rate=0.3, head_scores=((0.1, 0.2, 0.3, 0.4),) * 4),
]


def on_4_bits(num_rows: int, num_columns: int, seed: int = 0) -> Tensor:
    """A matrix as a GGUF file of Q4_1 gives it, in bfloat16: 16 levels in each 32 weights."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 16, (num_rows, num_columns // 32, 32), generator=generator)
    levels[..., 0], levels[..., 1] = 0, 15
    step = 0.01 + torch.rand(num_rows, num_columns // 32, 1, generator=generator) / 10
    return ((levels - 7.3) * step).view(num_rows, num_columns).bfloat16()


def on_8_bits(weight: Tensor) -> Tensor:
    """The same matrix, on levels that 8 bits hold exactly."""
    step = weight.abs().amax(dim=1, keepdim=True).clamp_(min=1e-30) / 127  # padding's row is 0
    return (weight / step).round() * step


def make_inputs(num_tokens: int, width: int) -> Tensor:
    return torch.randn(num_tokens, width, generator=torch.Generator().manual_seed(1))


def error(found: Tensor, expected: Tensor) -> float:
    return float(torch.dist(found.float(), expected) / expected.norm())


@pytest.mark.parametrize("shape", [(64, 64), (96, 32), (960, 576), (576, 1536)])
def test_what_was_in_4_bits_goes_back_into_4(shape: tuple[int, int]) -> None:
    weight = on_4_bits(*shape)
    matrix = pack(weight)
    assert isinstance(matrix, Int4Matrix)
    with Checks() as check:
        with check("bytes"):  # 4 bits, and 32 bits for each 32 weights
            assert matrix.nbytes == weight.numel() * 5 // 8
        for num_tokens in (1, 2, 7):
            with check(f"{num_tokens} tokens"):
                inputs = make_inputs(num_tokens, shape[1])
                expected = inputs @ weight.float().t()
                assert error(matrix(inputs), expected) < 0.006  # 16-bit rounding, 3 times


@pytest.mark.parametrize("shape", [(64, 64), (50, 48), (960, 576), (3, 1536)])
def test_other_weights_go_into_8_bits(shape: tuple[int, int]) -> None:
    weight = on_8_bits(torch.randn(shape, generator=torch.Generator().manual_seed(2)))
    matrix = pack(weight)
    assert isinstance(matrix, (Int8LevelsMatrix, Int8Matrix, Int8RowsMatrix))
    with Checks() as check:
        for num_tokens in (1, 2, 7):
            with check(f"{num_tokens} tokens"):
                inputs = make_inputs(num_tokens, shape[1])
                expected = inputs @ weight.t()
                rounds = isinstance(matrix, Int8RowsMatrix)
                assert error(matrix(inputs), expected) < (0.006 if rounds else 1e-4)


def test_wide_matrices_keep_their_order_and_heads_their_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without AMX."""
    monkeypatch.setattr(packing, "_has_matrix_unit", lambda: False)
    monkeypatch.setattr(packing, "_HEAD_ROWS", 100)
    packing._int8_kernel.cache_clear()
    shapes = (99, 1024), (99, 1023), (100, 1024)
    kinds = [type(pack(on_8_bits(torch.randn(shape)))) for shape in shapes]
    packing._int8_kernel.cache_clear()
    assert kinds[0] is Int8RowsMatrix
    # where oneDNN's product overflows, all are
    assert kinds[1] is kinds[2]


def test_kernels_in_8_bits_multiply_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are correct here, also with AMX, and oneDNN's with a matrix in four parts."""
    weight = on_8_bits(torch.randn(200, 96, generator=torch.Generator().manual_seed(2)))
    inputs, bias = make_inputs(3, 96), torch.randn(200)
    expected = inputs @ weight.t() + bias
    best, kernels = type(pack(weight)), packing._int8_kernels(is_wide=False)
    monkeypatch.setattr(packing, "_PART_BYTES", 64 * 96)
    monkeypatch.setattr(packing, "_has_matrix_unit", lambda: True)
    kernels += packing._int8_kernels(is_wide=False)
    found = []
    for kernel in filter(packing._is_right_in_8_bits, kernels):
        builder = packing.Int8Builder(200, 96, kernel)
        builder.add(weight.clone())
        matrix = builder.finish(bias)
        tolerance = 0.006 if isinstance(matrix, Int8RowsMatrix) else 1e-4
        assert error(matrix(inputs), expected) < tolerance
        found.append(matrix)
    for matrix in found:
        if isinstance(matrix, Int8Matrix):
            assert len(matrix.packed) in (1, 4)
            assert matrix.nbytes == 200 * (96 + 8)
    assert type(found[0]) is best


def test_one_great_input_does_not_drown_the_others() -> None:
    """8 bits for the activations would: what the coarse row leaves over is in the fine one."""
    weight = on_8_bits(torch.randn(64, 256, generator=torch.Generator().manual_seed(3)))
    inputs = torch.randn(1, 256, generator=torch.Generator().manual_seed(4))
    inputs[0, 17] = 500.0
    weight[:, 17] = 0.0
    assert error(pack(weight)(inputs), inputs @ weight.t()) < 0.02
    eight_bits = (inputs / (500 / 127)).round() * (500 / 127)
    assert error(eight_bits @ weight.t(), inputs @ weight.t()) > 0.5


def test_rows_of_very_different_sizes_keep_their_precision() -> None:
    weight = on_8_bits(torch.randn(32, 64, generator=torch.Generator().manual_seed(5)))
    weight *= torch.logspace(-4, 4, 32).unsqueeze(1)
    inputs = torch.randn(3, 64) * torch.tensor([[1e-3], [1.0], [1e3]])
    found, expected = pack(weight)(inputs), inputs @ weight.t()
    for row in range(3):
        for column in (0, 31):
            assert found[row, column] == pytest.approx(float(expected[row, column]), rel=0.02)


def test_zeros_stay_zeros() -> None:
    matrix = pack(torch.zeros(32, 64))
    assert torch.equal(matrix(torch.randn(2, 64)).float(), torch.zeros(2, 32))
    ones = pack(torch.randn(32, 64))
    assert torch.equal(ones(torch.zeros(1, 64)).float(), torch.zeros(1, 32))


def test_a_bias_is_added() -> None:
    bias, inputs = torch.randn(64), torch.randn(2, 64)
    for weight in (on_4_bits(64, 64), torch.randn(64, 64)):
        with_bias, without = pack(weight, bias), pack(weight)
        torch.testing.assert_close(with_bias(inputs).float(), without(inputs).float() + bias)


def put_on(engine: Engine, bits: int) -> None:
    """Give a model weights that lose nothing when packed."""
    for seed, module in enumerate(engine.loaded.model.modules()):
        if isinstance(module, torch.nn.Linear):
            shape = module.weight.shape
            weight = on_4_bits(shape[0], shape[1], seed) if bits == 4 else on_8_bits(module.weight)
            module.weight.data.copy_(weight)


def read_along(
    reader: DecodingModel, engine: Engine, method: Method, groups: list[list[int]]
) -> Tensor:
    cache = read_prompt(engine, make_prompt(120), method).cache
    return torch.cat([extend(reader, cache, token_ids) for token_ids in groups])


def check_against_decoder(engine: Engine, reader: PackedDecoder, bits: int) -> None:
    """It reads on as the decoder does."""
    found_bits = {matrix.bits for layer in reader.layers for matrix in layer.matrices}
    # the joined projections of the tiny DeltaNet have no multiple of 32 rows
    assert found_bits == {bits} or (engine.decoder.has_recurrent_layers and found_bits == {4, 8})
    groups = [make_prompt(1, seed=1), make_prompt(1, seed=2), make_prompt(4, seed=3)]
    for method in METHODS:
        found = read_along(reader, engine, method, groups)
        expected = read_along(engine.decoder, engine, method, groups)
        # 8-bit weights see the activations in 16 bits and round nothing else
        rounds = bits == 4 or ROUNDS_RESULTS
        assert error(found, expected) < (0.1 if rounds else 0.005), name_of(method)


def check_in_one_call(engine: Engine, reader: PackedDecoder, method: Method) -> None:
    """A layer in one call is the layer step by step, bit for bit.

    Who wants to look at each layer gets the steps.
    """
    ids = make_prompt(120)
    at_once, by_steps = (read_prompt(engine, ids, method).cache for _ in range(2))
    for token_id in make_prompt(40, seed=5):
        found = extend(reader, at_once, [token_id])
        expected = extend(reader, by_steps, [token_id], on_layer=lambda *_: None)
        assert torch.equal(found, expected)
    assert at_once.lengths == by_steps.lengths
    for layer in range(4):
        for one, other in zip(at_once.positions(layer), by_steps.positions(layer), strict=True):
            assert torch.equal(one, other)


def attention_layers(reader: PackedDecoder) -> list[PackedLayer]:
    return [layer for layer in reader.layers if isinstance(layer, PackedLayer)]


def check_matrices(engine: Engine) -> None:
    """No matrix of a layer is forgotten: the packed ones hold as many weights as the model's."""
    for layer in engine.decoder.layers:
        if isinstance(layer, DecoderLayer):
            gate = [] if layer.gate_rows is None else [Matrix.of(layer.gate_rows)]
            matrices = [*layer.attention_matrices(), *gate, *layer.mlp_matrices()]
        else:
            output = Matrix.of(layer.mixer.output)
            matrices = [layer.mixer.inputs, output, *mlp_matrices(layer.mlp)]
        held = sum(matrix.weight.numel() for matrix in matrices)
        assert held == sum(p.numel() for p in layer.module.parameters() if p.dim() == 2)


@pytest.mark.parametrize("family", MODELS)
def test_every_family(tiny_models: dict[str, Path], family: str) -> None:
    engine = load_tiny(tiny_models[family])
    with Checks() as check:
        with check("every matrix"):
            check_matrices(engine)
        put_on(engine, 8)
        with check("8 bits"):
            check_against_decoder(engine, PackedDecoder.pack(engine.decoder), 8)
        put_on(engine, 4)
        reader = PackedDecoder.pack(engine.decoder)
        with check("4 bits"):
            check_against_decoder(engine, reader, 4)
        with check("fused or not"):
            layers = attention_layers(reader)
            assert isinstance(layers[0].qkv, Int4Matrix)
            has_bias = layers[0].qkv.bias is not None
            departs = {"qwen3", "ministral3", "granite", "glm4", "gemma3", "olmo3"}
            is_fused = family not in departs | {"lfm2", "qwen3_5"} and not has_bias
            assert all((layer.fused is not None) is is_fused for layer in layers)
        for method in METHODS:
            with check(f"layers in one call, {name_of(method)}"):
                check_in_one_call(engine, reader, method)


@pytest.mark.parametrize("kv_dtype", [None, torch.int8, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_layer_in_one_call_keeps_the_formats_of_model_and_cache(
    tiny_models: dict[str, Path], dtype: str, kv_dtype: torch.dtype | None
) -> None:
    """The kernel of 4-bit weights gives bfloat16, and the cache holds what the model has, or not."""
    engine = Engine.load(
        str(tiny_models["llama"]), device="cpu", dtype=dtype, decode_weights="full"
    )
    put_on(engine, 4)
    reader = PackedDecoder.pack(engine.decoder)
    assert attention_layers(reader)[0].fused is not None
    at_once, by_steps = (
        read_prompt(engine, make_prompt(120), METHODS[1], kv_dtype=kv_dtype).cache for _ in range(2)
    )
    for token_id in make_prompt(5, seed=5):
        found = extend(reader, at_once, [token_id])
        expected = extend(reader, by_steps, [token_id], on_layer=lambda *_: None)
        assert torch.equal(found, expected)


def test_without_torchscript_the_call_is_python(tiny_models: dict[str, Path]) -> None:
    engine = load_tiny(tiny_models["llama"])
    put_on(engine, 4)
    reader = PackedDecoder.pack(engine.decoder)
    asked = []

    def not_scripted(function: object) -> None:
        asked.append(function)
        raise RuntimeError("TorchScript is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.jit, "script", not_scripted)
        spec = importlib.util.spec_from_file_location(
            "fastkv_cli.engine.kernels.unscripted", fused.__file__
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    assert module.fused_step in asked
    logits = []
    for fused_step in (fused.fused_step, module.fused_step):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packed, "fused_step", fused_step)
            logits.append(read_along(reader, engine, Full(), [[5], [6]]))
    assert torch.equal(*logits)


def test_all_families_are_tried() -> None:
    from conftest import tiny_settings

    # experts in memory are not
    not_packed = {"qwen3-moe", "gpt-oss", "qwen3_5-moe", "qwen3-next"}
    assert set(MODELS) == set(tiny_settings()) - not_packed


def test_what_is_said_of_it(tiny_models: dict[str, Path]) -> None:
    engine = load_tiny(tiny_models["llama"])
    put_on(engine, 4)
    assert describe_weights(PackedDecoder.pack(engine.decoder).weights).startswith(
        "4-bit weights, "
    )


@pytest.fixture
def sixteen_bits(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), device="cpu", dtype="bfloat16")


def test_in_16_bits_decoding_is_packed(sixteen_bits: Engine) -> None:
    assert isinstance(sixteen_bits.decoding_model, PackedDecoder)
    assert describe_weights(sixteen_bits.decode_weights).startswith("8-bit weights, 8-bit head (")
    assert sixteen_bits.load_s > sixteen_bits.loaded.load_s


def test_the_models_own_weights_on_demand(tiny_models: dict[str, Path]) -> None:
    engine = Engine.load(
        str(tiny_models["llama"]), device="cpu", dtype="bfloat16", decode_weights="full"
    )
    assert engine.decoding_model is engine.decoder
    assert describe_weights(engine.decode_weights) == "bfloat16"


def test_float32_stays_exact(tiny_models: dict[str, Path]) -> None:
    engine = Engine.load(str(tiny_models["llama"]), device="cpu", dtype="float32")
    assert engine.decoding_model is engine.decoder
    assert describe_weights(engine.decode_weights) == "float32 (in float32 nothing is rounded)"
    with pytest.raises(UsageError, match="packed is not available: in float32") as caught:
        choose_decoding_model(engine.decoder, DecodeWeights.PACKED)
    assert caught.value.hint


def test_short_memory_is_kept_free(sixteen_bits: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "available_memory_bytes", lambda: sixteen_bits.decoder.num_weights)
    reader, weights = choose_decoding_model(sixteen_bits.decoder, DecodeWeights.AUTO)
    assert reader is sixteen_bits.decoder
    assert describe_weights(weights).startswith("bfloat16 (packing takes up to ")
    monkeypatch.setattr(packed, "available_memory_bytes", lambda: None)
    assert (
        choose_decoding_model(sixteen_bits.decoder, DecodeWeights.AUTO)[0]
        is not sixteen_bits.decoder
    )


def test_without_the_kernels_the_models_own_weights_are_read(
    sixteen_bits: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(packing, "_pack_int4", absent)
    can_pack.cache_clear()
    try:
        reader, weights = choose_decoding_model(sixteen_bits.decoder, DecodeWeights.AUTO)
    finally:
        can_pack.cache_clear()
    assert reader is sixteen_bits.decoder
    assert (
        describe_weights(weights)
        == "bfloat16 (this build of torch has no kernels for packed weights)"
    )


def test_the_embedded_model_was_in_4_bits(embedded_dir: Path) -> None:
    """Its file holds 4 bits a weight, and packing finds them again: what it says stays the same."""
    engine = Engine.load("smollm2-135m", device="cpu", dtype="bfloat16", offline=True)
    assert isinstance(engine.decoding_model, PackedDecoder)
    assert {matrix.bits for layer in engine.decoding_model.layers for matrix in layer.matrices} == {
        4
    }
    assert engine.decoding_model.head.bits == 8
    ids = engine.tokenizer("The siege of Vicksburg was a campaign of the American Civil War. " * 9)
    prompt = torch.tensor(ids["input_ids"])
    rest = prompt[-16:].tolist()
    logits = []
    for reader in (engine.decoder, engine.decoding_model):
        cache = read_prompt(engine, prompt[:-16].tolist(), SnapKV(retention_rate=0.5)).cache
        logits.append(torch.cat([extend(reader, cache, [token_id]) for token_id in rest]))
    own, ours = (each.log_softmax(dim=-1) for each in logits)
    divergences = (own.exp() * (own - ours)).sum(dim=-1)
    same = int((own.argmax(dim=-1) == ours.argmax(dim=-1)).sum())
    assert divergences.mean() < 0.01
    assert same >= 15
