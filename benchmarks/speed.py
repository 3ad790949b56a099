"""Shared by the speed benchmarks: random models, one measured run, and tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table
from torch import Tensor

from fastkv_cli.engine.cache import CompressedCache
from fastkv_cli.engine.decode import DecodingModel
from fastkv_cli.engine.kernels.cuda_graph import choose_step
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.measure import now, peak_memory_bytes, reset_peak_memory
from fastkv_cli.engine.methods import Method
from fastkv_cli.engine.model.decoder import Decoder
from fastkv_cli.engine.prefill import prefill


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The dimensions of a Llama; `max_tokens` includes the answer."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocabulary: int
    max_tokens: int
    rope_theta: float = 500_000.0


def random_llama(geometry: Geometry, device: torch.device, dtype: torch.dtype) -> Any:
    """A transformers LlamaForCausalLM with seeded random weights, created on its device."""
    config = transformers.LlamaConfig(
        vocab_size=geometry.vocabulary,
        hidden_size=geometry.hidden,
        intermediate_size=geometry.mlp,
        num_hidden_layers=geometry.layers,
        num_attention_heads=geometry.heads,
        num_key_value_heads=geometry.kv_heads,
        head_dim=geometry.head_dim,
        max_position_embeddings=geometry.max_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": geometry.rope_theta},
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    model = model.to(dtype).to_empty(device=device).requires_grad_(False)
    rotary = model.model.rotary_emb  # its frequencies are not weights, so they are computed again
    model.model.rotary_emb = type(rotary)(config).to(device)
    generator = torch.Generator(device).manual_seed(0)
    for weight in model.parameters():
        if weight.dim() == 1:
            weight.fill_(1)  # norms
        else:
            weight.normal_(0, 0.02, generator=generator)
    return model


def random_prompt(count: int, vocabulary: int, device: torch.device) -> Tensor:
    """Seeded random token ids, (count,)."""
    generator = torch.Generator(device).manual_seed(count)
    return torch.randint(vocabulary, (count,), device=device, generator=generator)


class Clock:
    """Marks points in a run: by events on a GPU, else by the clock."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._times: list[float] = []
        self._events: list[torch.cuda.Event] = []
        now(device)  # excludes work queued on the device before

    def mark(self) -> None:
        """Mark this point."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events.append(event)
        else:
            self._times.append(now(self._device))

    def seconds(self) -> list[float]:
        """The seconds between consecutive marks."""
        if self._device.type == "cuda":
            now(self._device)
            ends = zip(self._events, self._events[1:], strict=False)
            return [start.elapsed_time(end) / 1000 for start, end in ends]
        return [end - start for start, end in zip(self._times, self._times[1:], strict=False)]


@dataclass(frozen=True, slots=True)
class Run:
    """The cost of one prompt and its answer.

    Attributes:
        ttft_s: from the start of prefill to the first token.
        tpot_s: of a token after the first, the median.
        tokens_per_s: over all tokens after the first.
        peak_bytes: of the GPU, else of the process, including weights.
        added_bytes: the peak above the memory in use before.
        kept_bytes: keys and values after prefill.
        prefill_flops: of the layers, as counted by the cost model.
    """

    ttft_s: float
    tpot_s: float
    tokens_per_s: float
    peak_bytes: int | None
    added_bytes: int | None
    kept_bytes: int
    prefill_flops: int


def measure_run(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    runner: LayerRunner,
    *,
    steps: int,
    question: slice | None = None,
    reader: DecodingModel | None = None,
) -> Run:
    """Prefill a prompt, and decode greedily for `steps` steps, ignoring end tokens.

    `reader` is the model that decodes, by default the decoder itself.
    """
    reader = reader or decoder
    reset_peak_memory(decoder.device)
    before = peak_memory_bytes(decoder.device)
    clock = Clock(decoder.device)
    clock.mark()
    plan = method.plan(decoder.shape(prompt_ids.shape[0], question))
    read = prefill(decoder, prompt_ids, method, runner, plan, room=steps)
    token_id = int(read.logits.argmax())
    clock.mark()
    (ttft_s,) = clock.seconds()
    steps_s = decode_seconds(reader, read.cache, token_id, steps, decoder.device)
    peak = peak_memory_bytes(decoder.device)
    return Run(
        ttft_s=ttft_s,
        tpot_s=median(steps_s),
        tokens_per_s=steps / sum(steps_s),
        peak_bytes=peak,
        added_bytes=None if peak is None or before is None else peak - before,
        kept_bytes=read.kept_bytes,
        prefill_flops=read.flops,
    )


def decode_seconds(
    reader: DecodingModel, cache: CompressedCache, token_id: int, steps: int, device: torch.device
) -> list[float]:
    """The seconds of each of some steps of greedy decoding behind a token, ignoring end tokens."""
    step = choose_step(reader, cache)
    clock = Clock(device)
    clock.mark()
    for _ in range(steps):
        token_id = int(step(token_id).argmax())
        clock.mark()
    return clock.seconds()


def medians(runs: Sequence[Run]) -> dict[str, Any]:
    """The median of each figure over some runs; None if there is none."""
    figures: dict[str, Any] = {}
    for field in fields(Run):
        values = [getattr(run, field.name) for run in runs]
        figures[field.name] = None if not values or None in values else median(values)
    return figures


def median_seconds(work: Callable[[], object], device: torch.device, repetitions: int) -> float:
    """The median seconds of some work, after a few warm-up calls."""
    for _ in range(3):
        work()
    clock = Clock(device)
    for _ in range(repetitions):
        clock.mark()
        work()
    clock.mark()
    return median(clock.seconds())


Columns = Mapping[str, tuple[str, Callable[[Any], str]]]


def gigabytes(count: float) -> str:
    """Bytes as GB."""
    return f"{count / 1e9:.2f}"


def show(title: str, columns: Columns, rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a table; a column has a heading, a row's key, and a format function."""
    table = Table(title=title, title_justify="left")
    for heading, (_, write) in columns.items():
        table.add_column(heading, justify="left" if write is str else "right")
    for row in rows:
        cells = [(row[key], write) for key, write in columns.values()]
        table.add_row(*("–" if value is None else write(value) for value, write in cells))
    Console(width=120).print(table)


def library_versions() -> dict[str, str]:
    """The versions of the libraries that compute."""
    return {"torch": torch.__version__, "transformers": transformers.__version__}


def seconds_left(deadline: float) -> float:
    """The seconds until a deadline on the monotonic clock."""
    return deadline - time.monotonic()
