"""Measures in about a second how fast this machine computes a decoder's layers; cached on disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import torch

from ..config import cache_dir
from .cache import CompressedCache
from .decode import DecodingModel, extend
from .kernels.attention import Causality, Kernel, attend
from .kernels.packed import PackedDecoder
from .layers import LayerRunner
from .model.decoder import Decoder
from .model.decoder_opening import open_decoder
from .model.gguf_blocks import BLOCK_TYPES
from .model.hardware import describe_hardware
from .model.plain import PlainLlama
from .sampling import seeded_generator

_SCHEMA = "fastkv-speed/2"
_MAX_AGE_S = 7 * 24 * 3600.0
# Where other programs took a part of this thread's time, the speed is soon another one.
_UNDISTURBED, _MAX_BUSY_AGE_S = 0.85, 600.0
_BUDGET_S, _MOST_ROUNDS = 0.8, 50  # of the measurements, which are repeated within it
_SLOW_S = 0.4  # a run that would take longer is timed on fewer rows
# Layers of the shapes of a small and a large model: (hidden, intermediate, heads, KV heads).
_NARROW, _WIDE = (576, 1536, 9, 3), (2048, 5632, 32, 8)
_HEAD_DIM = 64
_ROWS = 512  # of a prompt whose matrix products are timed
_LONG = 2048  # tokens of a prompt whose attention is timed
_GROWTH = 48  # pairs of the last half of such a prompt, as a multiple of those timed first


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """Measured rates of one device, number format and kernel.

    Attributes:
        narrow_flops_per_s: matrix products of prefill in layers with a hidden size of 576.
        wide_flops_per_s: the same with a hidden size of 2,048.
        attention_flops_per_s: attention of prefill, counted as causal.
        decode_bytes_per_s: weights, keys and values that decoding reads.
        decode_layer_s: seconds of a layer for one token, beside that.
        decode_token_s: seconds of one token outside the layers.
        unpack_weights_per_s: weights of a GGUF file that are unpacked, once for each prompt.
    """

    narrow_flops_per_s: float
    wide_flops_per_s: float
    attention_flops_per_s: float
    decode_bytes_per_s: float
    decode_layer_s: float
    decode_token_s: float
    unpack_weights_per_s: float

    def __post_init__(self) -> None:
        figures = asdict(self)
        if not all(isinstance(each, float) and 0 <= each < math.inf for each in figures.values()):
            raise ValueError("a rate is no finite number")
        if not all(value for name, value in figures.items() if name.endswith("_per_s")):
            raise ValueError("a rate is zero")

    def matrix_flops_per_s(self, hidden_size: int) -> float:
        """The rate of matrix products at a hidden size, between the two that were measured."""
        low, high = math.log(_NARROW[0]), math.log(_WIDE[0])
        share = min(max((math.log(hidden_size) - low) / (high - low), 0.0), 1.0)
        low, high = math.log(self.narrow_flops_per_s), math.log(self.wide_flops_per_s)
        return math.exp(low + share * (high - low))


def machine_speed(dtype: torch.dtype, kernel: Kernel, decode_bits: int) -> MachineSpeed:
    """The speed of this machine's CPU: from the cache, else measured.

    Args:
        dtype: number format of the weights.
        kernel: of prefill's attention.
        decode_bits: 4 or 8, of packed weights to decode from; 0 for the model's own.
    """
    machine = describe_hardware(torch.device("cpu"))
    key = {
        "cpu": machine["cpu"],
        "threads": machine["threads"],
        "torch": torch.__version__,
        "dtype": str(dtype),
        "kernel": str(kernel),
        "decode_bits": decode_bits,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / "speed" / f"{digest}.json"
    found = _read(path, key)
    if found is None:
        started, started_cpu = time.perf_counter(), time.thread_time()
        found = measure_speed(dtype, kernel, decode_bits)
        used = (time.thread_time() - started_cpu) / (time.perf_counter() - started)
        _write(path, key, found, is_busy=used < _UNDISTURBED)
    return found


@torch.inference_mode()
def measure_speed(dtype: torch.dtype, kernel: Kernel, decode_bits: int) -> MachineSpeed:
    """Time layers of a small and of a large model on the CPU; takes the arguments above.

    Everything is timed in turns, so that other work on the machine slows all of it alike.
    """
    narrow, wide = _synthetic(_NARROW, dtype), _synthetic(_WIDE, dtype)
    several = replace(narrow, layers=tuple(replace(narrow.layers[0], index=at) for at in range(4)))
    layer = narrow.attention_layers[0]
    attend_rows, pairs = _attention(narrow, kernel)
    prefills = [_prefill(each, kernel) for each in (narrow, wide)]
    steps = [_decode_step(each, decode_bits) for each in (narrow, several, wide)]
    blocks = BLOCK_TYPES["Q4_K"]
    weights = torch.empty(512, _WIDE[0], dtype=dtype)
    raw = torch.zeros(512, blocks.row_bytes(_WIDE[0]), dtype=torch.uint8)
    unpack_s, attention_s, *others = _interleave(
        [
            partial(blocks.unpack, raw, weights),
            attend_rows,
            *(run for run, _ in prefills),
            *(run for run, _ in steps),
        ]
    )
    attention_per_s = 4 * layer.num_heads * layer.head_dim * pairs / attention_s
    matrices = (
        _matrix_rate(decoder, rows, seconds, attention_per_s)
        for decoder, (_, rows), seconds in zip((narrow, wide), prefills, others[:2], strict=True)
    )
    narrow_per_s, wide_per_s = matrices
    rates = _decode_rates(others[2:], [nbytes for _, nbytes in steps])
    unpack_per_s = weights.numel() / unpack_s
    return MachineSpeed(narrow_per_s, wide_per_s, attention_per_s, *rates, unpack_per_s)


def _synthetic(shape: tuple[int, int, int, int], dtype: torch.dtype) -> Decoder:
    """One layer of a Llama, with random weights, as a decoder with a tiny vocabulary."""
    hidden, intermediate, heads, kv_heads = shape
    config = SimpleNamespace(
        model_type="llama",
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        num_hidden_layers=1,
        head_dim=_HEAD_DIM,
        max_position_embeddings=2 * _LONG,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        vocab_size=64,
    )
    model = PlainLlama(config).to(dtype).to_empty(device="cpu").eval().requires_grad_(False)
    generator = seeded_generator(0)
    for weight in model.parameters():
        weight.uniform_(-0.05, 0.05, generator=generator)
    return open_decoder(model)


def _attention(decoder: Decoder, kernel: Kernel) -> tuple[Callable[[], object], float]:
    """Causal attention of the last rows of a prompt, and its pairs of a query and a key."""
    layer = decoder.attention_layers[0]
    rows, num_keys = 64, _LONG // 4

    def prepare() -> Callable[[], object]:
        shape = (1, layer.num_kv_heads, num_keys, layer.head_dim)
        key = torch.rand(shape, dtype=decoder.dtype)
        query = torch.rand(1, layer.num_heads, rows, layer.head_dim, dtype=decoder.dtype)
        causality = Causality(torch.arange(num_keys))
        return partial(attend, query, key, key, causality, layer.scaling, kernel)

    run = prepare()
    if _seconds(run) * _GROWTH < _SLOW_S:  # not on a machine that is slow in this format
        rows, num_keys = _LONG // 2, _LONG
        run = prepare()
    return run, rows * (num_keys - (rows - 1) / 2)


def _prefill(decoder: Decoder, kernel: Kernel) -> tuple[Callable[[], object], int]:
    """Prefill of a layer, and the rows of its prompt."""
    runner, layer = LayerRunner(kernel), decoder.attention_layers[0]

    def prepare(rows: int) -> Callable[[], object]:
        tokens = runner.embed(decoder, torch.zeros(rows, dtype=torch.long))
        return lambda: runner.advance(layer, tokens, runner.project(layer, tokens), None)

    few = prepare(64)
    if _seconds(few) * _ROWS / 64 < _SLOW_S:
        return prepare(_ROWS), _ROWS
    return few, 64


def _decode_step(decoder: Decoder, decode_bits: int) -> tuple[Callable[[], object], int]:
    """A step of decoding, and the bytes of the weights that it reads."""
    model: DecodingModel = decoder
    nbytes = decoder.num_weights * decoder.dtype.itemsize
    if decode_bits:
        if decode_bits == 4:
            for layer in decoder.layers:
                for weight in layer.module.parameters():
                    weight.copy_(weight.sign() * 0.05)  # two values, which are packed in 4 bits
        model = packed = PackedDecoder.pack(decoder)
        nbytes = packed.weights.copies_bytes
    cache = CompressedCache(_MOST_ROUNDS, text_length=_LONG)
    before = torch.zeros(
        1, decoder.attention_layers[0].num_kv_heads, 64, _HEAD_DIM, dtype=decoder.dtype
    )
    for _ in decoder.layers:
        cache.store(before, before, torch.arange(64), None)
    cache.next_position = 64
    return lambda: extend(model, cache, [0]), nbytes


def _seconds(run: Callable[[], object]) -> float:
    """Seconds of a run after a first one, which compiles and allocates."""
    run()
    return _interleave([run], warm=True)[0]


def _interleave(runs: Sequence[Callable[[], object]], *, warm: bool = False) -> list[float]:
    """Median seconds of each run, over as many rounds of all of them as the time allows.

    With `warm`, of one round, of runs that were run before.
    """
    if not warm:
        for run in runs:
            run()
    measured: list[list[float]] = [[] for _ in runs]
    started = time.perf_counter()
    for _ in range(1 if warm else _MOST_ROUNDS - 1):
        for run, seconds in zip(runs, measured, strict=True):
            before = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - before)
        if time.perf_counter() - started >= _BUDGET_S:
            break
    return [median(seconds) for seconds in measured]


def _matrix_rate(decoder: Decoder, rows: int, seconds: float, attention_per_s: float) -> float:
    """Matrix products of a layer in FLOP/s, with all that is done to each row beside them."""
    layer = decoder.attention_layers[0]
    attention = 2 * layer.num_heads * layer.head_dim * rows * (rows + 1)
    matrices_s = max(seconds - attention / attention_per_s, seconds / 4)
    return (layer.flops(rows, None) - attention) / matrices_s


def _decode_rates(seconds: Sequence[float], num_bytes: Sequence[int]) -> tuple[float, float, float]:
    """Bytes per second, seconds of a layer, and seconds of a token outside the layers.

    A step takes something, each layer takes something, and so does each byte: steps of one and of
    four small layers, and of a large one, in this order, give the three.
    """
    (one_s, several_s, wide_s), (few_bytes, _, many_bytes) = seconds, num_bytes
    layer_s = max((several_s - one_s) / 3, 0.0)
    per_byte = max(wide_s - one_s, wide_s / 100) / (many_bytes - few_bytes)
    return 1 / per_byte, max(layer_s - per_byte * few_bytes, 0.0), max(one_s - layer_s, 0.0)


def _read(path: Path, key: dict[str, object]) -> MachineSpeed | None:
    """The cached speed; None if there is none, or it is too old, of another machine, or damaged."""
    try:
        cached = json.loads(path.read_text(encoding="utf-8"))
        age_s = time.time() - float(cached["measured_at"])
        max_age_s = _MAX_BUSY_AGE_S if cached["is_busy"] else _MAX_AGE_S
        if cached["schema"] != _SCHEMA or cached["key"] != key or not 0 <= age_s < max_age_s:
            return None
        return MachineSpeed(**cached["speed"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write(path: Path, key: dict[str, object], speed: MachineSpeed, *, is_busy: bool) -> None:
    """Cache a speed in one step; a folder that cannot be written costs a second next time."""
    cached = {
        "schema": _SCHEMA,
        "key": key,
        "measured_at": time.time(),
        "is_busy": is_busy,
        "speed": asdict(speed),
    }
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(cached, indent=1), encoding="utf-8")
        fresh.replace(path)
