"""Finding what is known of a document, and keeping what is computed: on disk, or in memory."""

from __future__ import annotations

import hashlib
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ...config import LOCAL_REVISION, StoreMode, store_limit_bytes
from ...stats import StateStats
from ...store import StateSpec, StateStore, StateWriter, default_store_dir
from ...store.fingerprint import fingerprint_tokens
from ...version import __version__
from ..layers import LayerRunner
from ..methods import Plan
from ..model.decoder import Decoder
from ..model.loader import LoadedModel
from .document_runner import DocumentRunner
from .state import DocumentState, Recorder, StateShape, pack_tensor

# Without a store, so much is kept for as long as the program runs.
_MEMORY_BYTES = 2**30
_MIN_SHARED = 256  # tokens


class States(Protocol):
    """Where states are."""

    @property
    def mode(self) -> StoreMode:
        """How states are kept."""

    def find(self, spec: StateSpec, shape: StateShape) -> DocumentState | None:
        """A state that is known."""

    def record(self, spec: StateSpec, shape: StateShape) -> Recorder | None:
        """Begin to keep one; None where it cannot be kept."""


class DiskStates:
    """States in files, mapped where they are found; the last one found stays open."""

    def __init__(self, store: StateStore, mode: StoreMode) -> None:
        """Keep in a store, exactly or in 8 bits."""
        self._store, self.mode = store, mode
        self._last: tuple[str, DocumentState] | None = None

    def find(self, spec: StateSpec, shape: StateShape) -> DocumentState | None:
        """A state whose file is sound."""
        if self._last is not None and self._last[0] == spec.digest:
            return self._last[1]
        self._last = None  # before the next one is mapped
        path = self._store.find(spec)
        if path is None:
            return None
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = DocumentState(shape, load_file(path))
        except (OSError, SafetensorError):  # somebody removed it just now
            return None
        self._last = spec.digest, state
        return state

    def record(self, spec: StateSpec, shape: StateShape) -> Recorder | None:
        """Begin to write a file."""
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
    """States that the program holds, the least recently used going first."""

    mode = StoreMode.OFF

    def __init__(self, limit_bytes: int = _MEMORY_BYTES) -> None:
        """Hold so many bytes at most."""
        self._limit, self._held = limit_bytes, OrderedDict[str, DocumentState]()

    def find(self, spec: StateSpec, shape: StateShape) -> DocumentState | None:
        """A state that is held."""
        state = self._held.get(spec.digest)
        if state is None or state.shape != shape:
            return None
        self._held.move_to_end(spec.digest)
        return state

    def record(self, spec: StateSpec, shape: StateShape) -> Recorder | None:
        """Begin to hold one, where the limit allows."""
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
    """What a run knows of its documents, and how much that saved it.

    Attributes:
        states: where states are.
        layer: ℓ, the first layer that states leave to the question.
        documents: their names, for people who look into the store.
        budget_bytes: what states of a text may take: those of one that is longer than that are kept
            from its start on, where each new one would else drive out one that is needed next.
        warnings: what was told since `start` of states that are damaged, or cannot be kept.
        stats: what was found and kept since `start`; None where nothing could be.
        spare: takes the place of `states` once they fail to keep one.
    """

    states: States
    layer: int
    documents: tuple[str, ...] = ()
    budget_bytes: int = sys.maxsize
    warnings: list[str] = field(default_factory=list)
    stats: StateStats | None = None
    spare: MemoryStates | None = None
    _left_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Count anew, for another question."""
        self.stats, self._left_bytes = None, self.budget_bytes
        self.warnings.clear()

    def serves(self, plan: Plan, num_shared: int, num_tokens: int) -> bool:
        """Whether a state can stand for the shared tokens of a prompt.

        All that is looked at before the state's layer has to be the prompt's own tokens, and the
        text long enough to be worth a file.
        """
        tsp = plan.tsp
        return (
            tsp is not None
            and not tsp.restart
            and 0 < self.layer <= tsp.layer
            and _MIN_SHARED <= num_shared <= num_tokens - plan.window
        )

    @contextmanager
    def lend(
        self,
        runner: DocumentRunner,
        loaded: LoadedModel,
        decoder: Decoder,
        token_ids: Sequence[int],
        text_length: int,
    ) -> Iterator[None]:
        """Let a runner begin behind the document, or keep what it computes of it.

        Args:
            runner: of this layer; it is given the state, or what takes one.
            loaded: the model.
            decoder: a view over it.
            token_ids: of the template before the document, and the document.
            text_length: tokens that prompt and answer may come to.
        """
        int8 = self.states.mode is StoreMode.INT8
        shape = StateShape.of(decoder, len(token_ids), self.layer, int8=int8)
        started = time.perf_counter()
        rope = decoder.name_rope(text_length)
        spec = state_spec(loaded, runner, token_ids, shape, self.documents, rope)
        runner.state = state = self.states.find(spec, shape)
        find_s = time.perf_counter() - started
        to_be_kept = state is None and shape.nbytes <= self._left_bytes
        runner.recorder = recorder = self.states.record(spec, shape) if to_be_kept else None
        with recorder or nullcontext():
            yield
        found, kept = state is not None, recorder is not None and recorder.is_kept
        self._left_bytes -= shape.nbytes * (found or kept)
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
        if to_be_kept and not kept and self.spare is not None:
            self.states, self.spare, self.budget_bytes = self.spare, None, _MEMORY_BYTES


def make_reuse(
    mode: StoreMode,
    warn: Callable[[str], None],
    plans: Sequence[Plan],
    documents: tuple[str, ...],
    *,
    asks_again: bool = True,
) -> Reuse | None:
    """What a run may know of its documents; None where there is nothing to know, or to gain by it.

    Args:
        mode: how states are kept; off, or a limit of nothing, is in memory, for this run alone.
        warn: told, in a line, of states that are damaged and of those that cannot be kept.
        plans: for long prompts, of all methods that read the documents: a state serves them all, so
            it ends before the first TSP layer.
        documents: their names.
        asks_again: whether the run may read the documents again, so that holding what is known of
            them is of use without a store.
    """
    layers = [plan.tsp.layer for plan in plans if plan.tsp is not None and not plan.tsp.restart]
    if len(layers) < len(plans) or not min(layers):
        return None
    limit = 0 if mode is StoreMode.OFF else store_limit_bytes()
    if limit:
        warnings: list[str] = []

        def tell(text: str) -> None:
            warnings.append(text)
            warn(text)

        states = DiskStates(StateStore(default_store_dir(), limit, tell), mode)
        spare = MemoryStates() if asks_again else None
        return Reuse(states, min(layers), documents, limit, warnings, spare=spare)
    if asks_again:
        return Reuse(MemoryStates(), min(layers), documents, _MEMORY_BYTES)
    return None


def state_spec(
    loaded: LoadedModel,
    runner: LayerRunner,
    token_ids: Sequence[int],
    shape: StateShape,
    documents: tuple[str, ...],
    rope: str = "",
) -> StateSpec:
    """What a document's state depends on.

    Args:
        loaded: the model.
        runner: what is to read.
        token_ids: of the template before the document, and the document: with the model they stand
            for the text and the template.
        shape: of the state.
        documents: their names.
        rope: which rotary embeddings the tokens have, in models that have several.
    """
    identity: dict[str, str | int] = {
        "text": fingerprint_tokens(token_ids),
        "model": loaded.name,
        "revision": loaded.revision,
        "dtype": loaded.dtype_name,
        "device": loaded.device.type,
        "attention": str(runner.kernel),
        "chunk_rows": runner.chunk_rows,
        "layer": shape.layer,
        "kept as": "int8" if shape.int8 else "exact",
    }
    if rope:
        identity["rope"] = rope
    return StateSpec(
        identity=identity,
        tensors=shape.tensors(),
        documents=documents,
        num_tokens=shape.num_tokens,
        made_with=_made_with(loaded),
    )


def _made_with(loaded: LoadedModel) -> Mapping[str, str]:
    made_with = {"fastkv": __version__, "torch": torch.__version__}
    if loaded.revision == LOCAL_REVISION:  # nothing else tells when its files are others
        seen = repr(loaded.stamp_files()).encode()
        made_with["the model"] = hashlib.sha256(seen).hexdigest()[:16]
    return made_with
