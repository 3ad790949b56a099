"""One run of the tool, and how it is shown: what the options of a command add up to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config import (
    GREEDY,
    MAX_TOKENS,
    Attention,
    DecodeWeights,
    DType,
    MethodSettings,
    ReadOptions,
    Sampling,
    StatsLevel,
    StoreMode,
)
from ..errors import UsageError


@dataclass(frozen=True, slots=True)
class Request:
    """One run of the tool, checked.

    Attributes:
        sources: paths, or "-" for stdin, in the order given.
        read: how documents are read.
        model: the model's name.
        method: the compression method's settings.
        max_tokens: the most tokens to answer with; None is the task's default.
        sampling: how tokens are chosen.
        dtype: number format.
        device: where to run.
        attention: kernels to prefill with.
        decode_weights: what decoding reads its weights from.
        offline: open no socket.
        store: how the state of the documents is kept on disk.
        resume: go on from the parts that an interrupted run kept.
        check: look up in the text what the answer says.
    """

    sources: tuple[str, ...]
    read: ReadOptions
    model: str
    method: MethodSettings
    max_tokens: int | None = None
    sampling: Sampling = GREEDY
    dtype: DType = DType.AUTO
    device: str = "auto"
    attention: Attention = Attention.AUTO
    decode_weights: DecodeWeights = DecodeWeights.AUTO
    offline: bool = False
    store: StoreMode = StoreMode.EXACT
    resume: bool = False
    check: bool = True

    def __post_init__(self) -> None:
        if self.max_tokens is not None and not 1 <= self.max_tokens <= MAX_TOKENS:
            raise UsageError(
                f"--max-tokens {self.max_tokens} is out of range",
                f"it is 1 or more, at most {MAX_TOKENS:,}",
            )


@dataclass(frozen=True, slots=True)
class Display:
    """How a run is shown.

    Attributes:
        json: one JSON object on stdout in place of the streamed answer.
        stats: how much of the statistics to print; None is brief, and off with json.
        quiet: nothing on stderr but errors.
        output: a file in place of stdout.
        force: replace a file that exists.
        cite: name the pages that carried the answer behind it.
        debug: show the traceback of an error that does not end the run.
    """

    json: bool = False
    stats: StatsLevel | None = None
    quiet: bool = False
    output: Path | None = None
    force: bool = False
    cite: bool = False
    debug: bool = False

    @property
    def stats_level(self) -> StatsLevel:
        """How much of the statistics to print."""
        if self.stats is not None:
            return self.stats
        return StatsLevel.OFF if self.json else StatsLevel.BRIEF
