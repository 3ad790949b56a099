"""Finding and keeping prefix states of documents, on disk or in memory."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ...config import StoreMode
from ...settings import store_limit_bytes
from ...stats import StateStats
from ...store import StateSpec, StateStore, StateWriter, default_store_dir
from ..methods import Plan
from ..model.decoder import Decoder
from ..model.loader import LoadedModel
from .document_runner import DocumentRunner
from .state import DocumentState, Recorder, StateShape, pack_tensor
from .state_identity import state_spec

# Without a store, states of up to this size in total are kept in memory while the program runs.
_MEMORY_BYTES = 2**30
_MIN_SHARED = 256  # tokens


class States(Protocol):
    """A place where states are kept."""

    @property
    def mode(self) -> StoreMode:
        """Off, exact or in 8 bits."""

    def find(self, spec: StateSpec, shape: StateShape) -> DocumentState | None:
        """Find a state; None if there is none."""

    def holds(self, spec: StateSpec) -> bool:
        """Whether there is a state, damaged or not."""

    def record(self, spec: StateSpec, shape: StateShape) -> Recorder | None:
        """Start to record a state; None if it cannot be kept."""


class DiskStates:
    """States in a store's files, mapped into memory; the last one found stays mapped."""

    def __init__(self, store: StateStore, mode: StoreMode) -> None:
        """Keep states in a store, exactly or in 8 bits."""
        self._store, self.mode = store, mode
        self._last: tuple[str, DocumentState] | None = None

    def find(self, spec: StateSpec, shape: StateShape) -> DocumentState | None:
        """Find a state whose file is intact."""
        if self._last is not None and self._last[0] == spec.digest:
            return self._last[1]
        self._last = None  # unmapped before the next one is mapped
        path = self._store.find(spec)
        if path is None:
            return None
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = DocumentState(shape, load_file(path))
        except (OSError, SafetensorError):  # removed by another process in the meantime
            return None
        self._last = spec.digest, state
        return state

    def holds(self, spec: StateSpec) -> bool:
        """Whether the state has a file."""
        return self._store.holds(spec)

    def record(self, spec: StateSpec, shape: StateShape) -> Recorder | None:
        """Start to write a file."""
        writer = self._store.record(spec)
        return None if writer is None else _FileRecorder(writer, shape)


class _FileRecorder(ExitStack):
    def __init__(self, writer: StateWriter, shape: StateShape) -> None:
        super().__init__()
        self.enter_context(writer)
        self._writer, self._shape, self.is_kept = writer, shape, False

    def add(self, name: str, tensor: Tensor) -> None:
        for part, packed in pack_tensor(self._shape, name, tensor):
            self._writer.add(part, packed.view(torch.uint8).numpy().data)

    def commit(self) -> None:
        self.is_kept = self._writer.commit()


class MemoryStates:
    """States in memory; the least recently used are evicted first."""

    mode = StoreMode.OFF

    def __init__(self, limit_bytes: int = _MEMORY_BYTES) -> None:
        """Keep at most this many bytes."""
        self._limit, self._held = limit_bytes, OrderedDict[str, DocumentState]()

    def find(self, spec: StateSpec, shape: StateShape) -> DocumentState | None:
        """Find a state in memory."""
        state = self._held.get(spec.digest)
        if state is None or state.shape != shape:
            return None
        self._held.move_to_end(spec.digest)
        return state

    def holds(self, spec: StateSpec) -> bool:
        """Whether the state is in memory."""
        return spec.digest in self._held

    def record(self, spec: StateSpec, shape: StateShape) -> Recorder | None:
        """Start to record a state, unless it is larger than the limit."""
        if shape.nbytes > self._limit:
            return None
        return _MemoryRecorder(shape, lambda state: self._hold(spec.digest, state))

    def _hold(self, digest: str, state: DocumentState) -> None:
        self._held[digest] = state
        while sum(each.shape.nbytes for each in self._held.values()) > self._limit:
            self._held.popitem(last=False)


class _MemoryRecorder(ExitStack):
    def __init__(self, shape: StateShape, hold: Callable[[DocumentState], None]) -> None:
        super().__init__()
        self._shape, self._hold, self.is_kept = shape, hold, False
        self._tensors: dict[str, Tensor] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        self._tensors[name] = tensor.clone(memory_format=torch.contiguous_format)

    def commit(self) -> None:
        self._hold(DocumentState(self._shape, self._tensors))
        self.is_kept = True


@dataclass(slots=True)
class Reuse:
    """Reuse of documents' prefix states in a run, with its statistics.

    Attributes:
        states: where states are kept.
        layer: ℓ, the first layer that is not in the states.
        documents: the documents' names, shown when the store is listed.
        budget_bytes: the most bytes of one text's states. Of a longer text only the first states
            are kept, as each further one would evict one that is needed next.
        warnings: warnings since `start`, of states that are damaged or cannot be kept.
        stats: states found and kept since `start`; None if states applied to no prompt.
        fallback: replaces `states` once they fail to keep one.
    """

    states: States
    layer: int
    documents: tuple[str, ...] = ()
    budget_bytes: int = sys.maxsize
    warnings: list[str] = field(default_factory=list)
    stats: StateStats | None = None
    fallback: MemoryStates | None = None
    _remaining_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Reset statistics, warnings and budget, for another question."""
        self.stats, self._remaining_bytes = None, self.budget_bytes
        self.warnings.clear()

    def applies(self, plan: Plan, num_shared: int, num_tokens: int) -> bool:
        """Whether a state can replace computing the early layers for a prompt's shared tokens.

        The observation window must lie behind the shared tokens, so that only the prompt's own
        queries are needed before the state's layer; the state must end at or before the TSP layer;
        and the text must be long enough to be worth a file.
        """
        tsp = plan.tsp
        return (
            tsp is not None
            and not tsp.restart
            and 0 < self.layer <= tsp.layer
            and _MIN_SHARED <= num_shared <= num_tokens - plan.window
        )

    @property
    def is_int8(self) -> bool:
        """Whether states are kept in 8 bits."""
        return self.states.mode is StoreMode.INT8

    @contextmanager
    def attach(
        self,
        runner: DocumentRunner,
        loaded: LoadedModel,
        decoder: Decoder,
        token_ids: Sequence[int],
        text_length: int,
    ) -> Iterator[None]:
        """Give a runner the document's state, or a recorder for it where there is none.

        Args:
            runner: a runner with this layer.
            loaded: the model.
            decoder: a view over it.
            token_ids: the tokens of the template before the document, and of the document.
            text_length: the most tokens of prompt and answer.
        """
        shape = StateShape.of(decoder, len(token_ids), self.layer, int8=self.is_int8)
        started = time.perf_counter()
        rope = decoder.rope_variant(text_length)
        of = rope, decoder.weights_format
        spec = state_spec(loaded, runner, token_ids, shape, self.documents, *of)
        runner.state = state = self.states.find(spec, shape)
        find_s = time.perf_counter() - started
        records = state is None and shape.nbytes <= self._remaining_bytes
        runner.recorder = recorder = self.states.record(spec, shape) if records else None
        with recorder or nullcontext():
            yield
        found, kept = state is not None, recorder is not None and recorder.is_kept
        self._remaining_bytes -= shape.nbytes * (found or kept)
        stats = StateStats(
            mode=self.states.mode,
            tokens_found=shape.num_tokens * found,
            bytes_found=shape.nbytes * found,
            tokens_kept=shape.num_tokens * kept,
            bytes_kept=shape.nbytes * kept,
            find_s=find_s,
            stage_one_s=runner.stage_one_s,
        )
        self.stats = stats if self.stats is None else self.stats + stats
        if records and not kept and self.fallback is not None:
            self.states, self.fallback, self.budget_bytes = self.fallback, None, _MEMORY_BYTES


def make_reuse(
    mode: StoreMode,
    warn: Callable[[str], None],
    plans: Sequence[Plan],
    documents: tuple[str, ...],
    *,
    asks_again: bool = True,
) -> Reuse | None:
    """Set up the reuse of states in a run; None where there is nothing to reuse or to gain.

    Args:
        mode: how states are kept; when off, or with a limit of 0, in memory for this run only.
        warn: called with one line for each state that is damaged or cannot be kept.
        plans: plans for long prompts, of all methods that prefill the documents: one state serves
            all that have a TSP layer, so it ends before the first of these.
        documents: the documents' names.
        asks_again: whether the run may prefill the documents again, which makes states in memory
            useful without a store.
    """
    layers = [plan.tsp.layer for plan in plans if plan.tsp is not None and not plan.tsp.restart]
    if not layers or not min(layers):
        return None
    limit = 0 if mode is StoreMode.OFF else store_limit_bytes()
    if limit:
        warnings: list[str] = []

        def record_warning(text: str) -> None:
            warnings.append(text)
            warn(text)

        states = DiskStates(StateStore(default_store_dir(), limit, record_warning), mode)
        fallback = MemoryStates() if asks_again else None
        return Reuse(states, min(layers), documents, limit, warnings, fallback=fallback)
    if asks_again:
        return Reuse(MemoryStates(), min(layers), documents, _MEMORY_BYTES)
    return None
