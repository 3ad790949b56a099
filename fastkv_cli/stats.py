"""What was measured: frozen values and arithmetic, units in the names.

None stands for what was not measured, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class GenerationStats:
    """The clock and the memory of one answer.

    Attributes:
        prefill_s: seconds in the prefill of the answer's prompt.
        ttft_s: seconds from the start of prefill until the first token was there.
        decode_s: seconds from the first token to the last, or None with fewer than two tokens.
        prompt_tokens: tokens of the prompt.
        output_tokens: tokens generated, an end token counted in.
        peak_memory_bytes: the most memory held since the peak was reset, of the GPU where one is
            used, else of the process; None where the system does not tell.
    """

    prefill_s: float
    ttft_s: float
    decode_s: float | None
    prompt_tokens: int
    output_tokens: int
    peak_memory_bytes: int | None

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Tokens a second behind the first one."""
        if self.decode_s is None or self.decode_s <= 0:
            return None
        return (self.output_tokens - 1) / self.decode_s

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token behind the first one, in milliseconds."""
        speed = self.decode_tokens_per_s
        return None if speed is None else 1000 / speed

    @property
    def end_to_end_s(self) -> float:
        """Seconds from the start of prefill until the last token was there."""
        return self.ttft_s + (self.decode_s or 0.0)


@dataclass(frozen=True, slots=True)
class LayerStats:
    """One layer of the cache right after prefill; kept is of each head, on average."""

    tokens_seen: int
    tokens_kept: int


@dataclass(frozen=True, slots=True)
class KVStats:
    """What the method did to the KV cache of a prompt, or of all prompts of a run.

    Attributes:
        method: the method's name.
        budget: what was asked to be kept, as the user writes it.
        tsp_layer: the layer behind which tokens were left behind; None where none were.
        tsp_rate: the share of the tokens that went on; None where all did.
        full_bytes: predicted bytes of the whole cache.
        kept_bytes: measured bytes of the keys and values held right after prefill.
        full_flops: floating-point operations of a prefill that leaves nothing out, predicted.
        prefill_flops: those of this prefill, without the scoring of tokens.
        layers: per layer, tokens seen and kept.
        note: why less was done than was asked for, if so.
    """

    method: str
    budget: str
    tsp_layer: int | None
    tsp_rate: float | None
    full_bytes: int
    kept_bytes: int
    full_flops: int
    prefill_flops: int
    layers: tuple[LayerStats, ...]
    note: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `asdict` made of one, also by way of JSON."""
        layers = tuple(LayerStats(**layer) for layer in fields["layers"])
        return cls(**{**fields, "layers": layers})

    @property
    def kept_ratio(self) -> float:
        """Kept bytes as a share of the full cache."""
        return self.kept_bytes / self.full_bytes

    @property
    def compute_ratio(self) -> float:
        """Prefill compute as a share of the full one."""
        return self.prefill_flops / self.full_flops


def combine_kv(prompts: Sequence[KVStats]) -> KVStats:
    """The caches of several prompts of one run, added up; they were held one after the other."""
    if len(prompts) == 1:
        return prompts[0]
    compressed = next((kv for kv in prompts if kv.tsp_layer is not None), prompts[0])
    return replace(
        compressed,
        full_bytes=sum(kv.full_bytes for kv in prompts),
        kept_bytes=sum(kv.kept_bytes for kv in prompts),
        full_flops=sum(kv.full_flops for kv in prompts),
        prefill_flops=sum(kv.prefill_flops for kv in prompts),
        layers=tuple(
            LayerStats(
                sum(layer.tokens_seen for layer in layers),
                sum(layer.tokens_kept for layer in layers),
            )
            for layers in zip(*(kv.layers for kv in prompts), strict=True)
        ),
        note=f"budget {compressed.budget}, over {len(prompts)} prompts",
    )


@dataclass(frozen=True, slots=True)
class StateStats:
    """What was known of the documents, and what is known of them now, for the next question.

    Attributes:
        mode: how states are kept: exact or int8; off is in memory, for this run alone.
        tokens_found: tokens of the documents whose state was known already.
        bytes_found: of their states.
        tokens_kept: tokens of the documents whose state was made and kept now.
        bytes_kept: of their states.
        find_s: seconds to find and check states.
        stage_one_s: seconds in the layers before the TSP layer, of all tokens that had to be read;
            None where states could not be used, and nothing is known of it.
    """

    mode: str = "off"
    tokens_found: int = 0
    bytes_found: int = 0
    tokens_kept: int = 0
    bytes_kept: int = 0
    find_s: float = 0.0
    stage_one_s: float | None = None

    def __add__(self, other: StateStats) -> StateStats:
        """Those of both; of the same mode."""
        times = [each.stage_one_s for each in (self, other) if each.stage_one_s is not None]
        return StateStats(
            mode=self.mode,
            tokens_found=self.tokens_found + other.tokens_found,
            bytes_found=self.bytes_found + other.bytes_found,
            tokens_kept=self.tokens_kept + other.tokens_kept,
            bytes_kept=self.bytes_kept + other.bytes_kept,
            find_s=self.find_s + other.find_s,
            stage_one_s=sum(times) if times else None,
        )


@dataclass(frozen=True, slots=True)
class ReadingForecast:
    """How a text would go through the model.

    Attributes:
        tokens: of the text.
        parts: into how many parts it would be cut; 1 when it fits the window.
        longest_prompt: tokens of the longest prompt.
        way: what would become of the parts; empty where there is one.
    """

    tokens: int
    parts: int
    longest_prompt: int
    way: str = ""


@dataclass(frozen=True, slots=True)
class MemoryForecast:
    """What the longest prompt of a run is going to take, predicted; bytes.

    Attributes:
        weights_bytes: all weights of the model.
        resident_weights_bytes: those that are in memory at once.
        copies_bytes: about what packed copies for decoding take; 0 where there are none.
        full_kv_bytes: the KV cache with nothing left out.
        kept_kv_bytes: the KV cache as the method leaves it.
        working_bytes: what prefill holds beside them.
        program_bytes: the program and its libraries; None where the system does not tell.
        available_bytes: what the machine could give; None where it does not tell.
    """

    weights_bytes: int
    resident_weights_bytes: int
    copies_bytes: int
    full_kv_bytes: int
    kept_kv_bytes: int
    working_bytes: int
    program_bytes: int | None
    available_bytes: int | None

    @property
    def peak_bytes(self) -> int:
        """The most at one time."""
        return self._beside_cache + self.kept_kv_bytes

    @property
    def full_peak_bytes(self) -> int:
        """The same with the method `full`."""
        return self._beside_cache + self.full_kv_bytes

    @property
    def fits(self) -> bool | None:
        """Whether the machine has as much; None where it does not tell."""
        if self.available_bytes is None:
            return None
        return self.peak_bytes - (self.program_bytes or 0) <= self.available_bytes

    @property
    def _beside_cache(self) -> int:
        weights = self.resident_weights_bytes + self.copies_bytes
        return (self.program_bytes or 0) + weights + self.working_bytes


@dataclass(frozen=True, slots=True)
class DecodingWeights:
    """What decoding reads of the weights: packed copies, or the model's own.

    Attributes:
        dtype: the number format of the model's own.
        bits: widths of the packed matrices in the layers, ascending; empty without copies.
        head_bits: width of the packed LM head; 0 without copies.
        copies_bytes: what the copies take.
        problem: why there are none, where they were wanted.
    """

    dtype: str
    bits: tuple[int, ...] = ()
    head_bits: int = 0
    copies_bytes: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ModelStats:
    """What answered; `decode_weights` is what decoding read."""

    name: str
    revision: str
    dtype: str
    device: str
    attention: str
    decode_weights: DecodingWeights


@dataclass(frozen=True, slots=True)
class DocumentStats:
    """One document.

    Attributes:
        path: as the user typed it.
        pages: those that were read and hold text; None where the format has none.
        characters: of the text.
        tokens: of the text.
        kind: the format, as people call it.
        num_pages: pages in the file; None where the format has none.
        pages_empty: those that were read and hold no text.
        pages_failed: those that could not be read.
        pages_left_out: those that a limit or a breakdown left out.
    """

    path: str
    pages: int | None
    characters: int
    tokens: int
    kind: str = "text"
    num_pages: int | None = None
    pages_empty: int = 0
    pages_failed: int = 0
    pages_left_out: int = 0


@dataclass(frozen=True, slots=True)
class ReadingStats:
    """How a text went through the model.

    Attributes:
        parts: into how many parts the text was cut; 1 when it fits the window.
        tokens_read: tokens of the text that at least the early layers read.
        tokens_used: tokens of the text in the prompt that was answered from, or, for a summary of
            parts, in all parts.
        parts_s: seconds spent on the parts before the answer's own prompt; None with one part.
        parts_resumed: parts that were not read again, because an earlier run had kept them.
        state: what was known of the text; None where nothing could be.
    """

    parts: int
    tokens_read: int
    tokens_used: int
    parts_s: float | None = None
    parts_resumed: int = 0
    state: StateStats | None = None

    @property
    def tokens_left_out(self) -> int:
        """Tokens that were read to choose the best text, but not answered from."""
        return self.tokens_read - self.tokens_used


@dataclass(frozen=True, slots=True)
class Citation:
    """A place that carried an answer.

    Attributes:
        document: its path.
        page: 1-based; None where the document has no pages.
        line: 1-based, of the text as it was read; None where there are pages.
        score: how much of the answer it carries, 0 to 1.
        snippet: what of the place supports the answer best, on one line.
    """

    document: str
    page: int | None
    line: int | None
    score: float
    snippet: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the documents say of an answer.

    Attributes:
        citations: the places that carried it, best first.
        not_in_document: what it says that stands in no document; None where that was not checked.
        found: whether the documents answer the question; None for a summary, and where that was
            not checked.
        reason: why they do not.
        guess: what the model said where they do not.
    """

    citations: tuple[Citation, ...] = ()
    not_in_document: tuple[str, ...] | None = None
    found: bool | None = None
    reason: str = ""
    guess: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run of a command: the answer and all that was measured.

    Attributes:
        command: "summarize", "ask" or "chat".
        answer: the text on stdout.
        extract_s: seconds to read the documents from disk.
        load_s: seconds to load the model, without imports, downloads and conversion.
        ttft_s: seconds from the start of the first prefill until the answer's first token.
        settings: where the method's settings come from; empty where it has none.
        warnings: one line each.
        evidence: what the documents say of the answer.
        question: what was asked; empty for a summary.
        turns_left_out: turns of a conversation that no longer fit the window, the oldest.
    """

    command: str
    answer: str
    model: ModelStats
    documents: tuple[DocumentStats, ...]
    reading: ReadingStats
    generation: GenerationStats
    kv: KVStats
    extract_s: float
    load_s: float
    settings: str
    warnings: tuple[str, ...]
    evidence: Evidence = Evidence()
    question: str = ""
    turns_left_out: int = 0

    @property
    def paths(self) -> list[str]:
        """Those of the documents, in order."""
        return [document.path for document in self.documents]

    @property
    def ttft_s(self) -> float:
        """The parts, then the answer's own prefill and first token."""
        return (self.reading.parts_s or 0.0) + self.generation.ttft_s

    @property
    def prefill_s(self) -> float:
        """All prefills: of the parts, and of the answer's prompt."""
        return (self.reading.parts_s or 0.0) + self.generation.prefill_s
