"""Measurements as frozen values with simple arithmetic; names include the unit.

None means not measured, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from .field_values import FilledSchema
from .propagation import StepStats
from .thinking_mode import ThinkingStats
from .weight_formats import DecodingWeights, PrefillFormat

MAX_QUOTES = 3  # of an answer


@dataclass(frozen=True, slots=True)
class GenerationStats:
    """Time and memory of one answer.

    Attributes:
        prefill_s: seconds in the prefill of the answer's prompt.
        ttft_s: seconds from the start of prefill to the first token.
        decode_s: seconds from the first token to the last; None with fewer than two tokens.
        prompt_tokens: tokens of the prompt.
        output_tokens: tokens generated, including thinking and an end token.
        peak_memory_bytes: since the last reset, of the GPU or else the process; None if unknown.
        decode_passes: passes of the model after the first token; fewer than tokens where prompt
            lookup drafted several right ones.
    """

    prefill_s: float
    ttft_s: float
    decode_s: float | None
    prompt_tokens: int
    output_tokens: int
    peak_memory_bytes: int | None
    decode_passes: int = 0

    @property
    def tokens_per_pass(self) -> float | None:
        """Tokens after the first one that a pass gave, on average."""
        return (self.output_tokens - 1) / self.decode_passes if self.decode_passes else None

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Tokens per second after the first token."""
        if self.decode_s is None or self.decode_s <= 0:
            return None
        return (self.output_tokens - 1) / self.decode_s

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token after the first one, in milliseconds."""
        speed = self.decode_tokens_per_s
        return None if speed is None else 1000 / speed

    @property
    def end_to_end_s(self) -> float:
        """Seconds from the start of prefill to the last token."""
        return self.ttft_s + (self.decode_s or 0.0)


@dataclass(frozen=True, slots=True)
class LayerStats:
    """One layer of the cache right after prefill; `kept` is the average over heads."""

    tokens_seen: int
    tokens_kept: int


@dataclass(frozen=True, slots=True)
class KVStats:
    """The effect of a method on the KV cache of a prompt, or of all prompts of a run.

    Attributes:
        method: the method's name.
        budget: the KV budget, as the user writes it.
        tsp_layer: the first layer after which only selected tokens are propagated; None if all are.
        tsp_rate: the share of the tokens propagated there; None if all are.
        full_bytes: predicted bytes of the full cache.
        kept_bytes: measured bytes of the keys and values held right after prefill.
        full_flops: predicted floating-point operations of a full prefill.
        prefill_flops: those of this prefill, without the scoring of tokens.
        layers: for each layer, the tokens seen and kept.
        note: why less was compressed than asked for, if so.
        global_layers: number of layers that attend to all tokens, to which the budget applies; the
            others hold their sliding window. None if all layers are scored and compressed.
        steps: of token-selective propagation, by layer.
        dtype: number format of the entries; empty if none were kept.
        attention_ratio: share of the pairs of query and key attended to in layers with block-sparse
            attention; None if prefill attention was dense.
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
    global_layers: int | None = None
    steps: tuple[StepStats, ...] = ()
    dtype: str = ""
    attention_ratio: float | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Restore an instance from the dict of `asdict`, also after a JSON round trip."""
        layers = tuple(LayerStats(**layer) for layer in fields["layers"])
        steps = tuple(StepStats(**step) for step in fields["steps"])
        return cls(**{**fields, "layers": layers, "steps": steps})

    @property
    def kept_ratio(self) -> float:
        """Kept bytes as a share of the full cache."""
        return self.kept_bytes / self.full_bytes

    @property
    def compute_ratio(self) -> float:
        """Prefill compute as a share of full prefill."""
        return self.prefill_flops / self.full_flops


def combine_kv(prompts: Sequence[KVStats]) -> KVStats:
    """Add up the caches of several prompts of one run, which were held one after the other."""
    if len(prompts) == 1:
        return prompts[0]
    compressed = next((kv for kv in prompts if kv.tsp_layer is not None), prompts[0])
    return replace(
        compressed,
        full_bytes=sum(kv.full_bytes for kv in prompts),
        kept_bytes=sum(kv.kept_bytes for kv in prompts),
        dtype=next((kv.dtype for kv in prompts if kv.dtype), ""),
        full_flops=sum(kv.full_flops for kv in prompts),
        prefill_flops=sum(kv.prefill_flops for kv in prompts),
        layers=tuple(
            LayerStats(
                sum(layer.tokens_seen for layer in layers),
                sum(layer.tokens_kept for layer in layers),
            )
            for layers in zip(*(kv.layers for kv in prompts), strict=True)
        ),
        steps=tuple(
            StepStats.add(each) for each in zip(*(kv.steps for kv in prompts), strict=False)
        ),
        note=compressed.note or f"budget {compressed.budget}, over {len(prompts)} prompts",
    )


@dataclass(frozen=True, slots=True)
class StateStats:
    """The document states found at the start of a run, and those added by it.

    Attributes:
        mode: how states are stored: exact or int8; off means in memory, for this run only.
        tokens_found: tokens of the documents whose state was found.
        bytes_found: of these states.
        tokens_kept: tokens of the documents whose state was computed and stored now.
        bytes_kept: of these states.
        find_s: seconds to find and check states.
        stage_one_s: seconds before the TSP layer, of tokens without a state; None if not measured.
    """

    mode: str = "off"
    tokens_found: int = 0
    bytes_found: int = 0
    tokens_kept: int = 0
    bytes_kept: int = 0
    find_s: float = 0.0
    stage_one_s: float | None = None

    def __add__(self, other: StateStats) -> StateStats:
        """Add two of the same mode."""
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
class ModelStats:
    """The model; `prefill_weights` and `decode_weights` are those that were multiplied with."""

    name: str
    revision: str
    dtype: str
    device: str
    attention: str
    decode_weights: DecodingWeights
    prefill_weights: PrefillFormat


@dataclass(frozen=True, slots=True)
class DocumentStats:
    """One document.

    Attributes:
        path: as the user typed it.
        pages: number of pages with text; None if the format has none.
        characters: of the text.
        tokens: of the text.
        kind: the format's display name.
        num_pages: pages in the file; None if the format has none.
        pages_empty: those without text.
        pages_failed: those that could not be read.
        pages_left_out: those left out because of a limit or a crash.
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
    """How a text was processed.

    Attributes:
        parts: number of parts the text was split into; 1 if it fits the window.
        tokens_read: tokens of the text that passed at least the early layers.
        tokens_used: tokens of the text in the prompt that was answered from, or, for a summary of
            parts, in all parts.
        parts_s: seconds spent on the parts before the answer's own prompt; None with one part.
        parts_resumed: parts taken from an earlier run.
        state: the states used and added; None if there could be none.
        looks: prompts that were answered from; 2 if no passage said what the first answer said.
    """

    parts: int
    tokens_read: int
    tokens_used: int
    parts_s: float | None = None
    parts_resumed: int = 0
    state: StateStats | None = None
    looks: int = 1

    @property
    def tokens_left_out(self) -> int:
        """Tokens that were read to choose passages, but not answered from."""
        return self.tokens_read - self.tokens_used


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in a document that supports an answer.

    Attributes:
        document: its path.
        page: 1-based; None if the document has no pages.
        line: 1-based, as `Document.line_at` counts; None if there are pages.
        score: how much of the answer it supports, 0 to 1.
        snippet: its best supporting text, on one line.
    """

    document: str
    page: int | None
    line: int | None
    score: float
    snippet: str


@dataclass(frozen=True, slots=True)
class Quote:
    """A verbatim extract of a document that is likely to answer a question.

    Attributes:
        document: its path.
        page: 1-based; None if the document has no pages.
        page_label: what is printed on the page, as "iv", where that is not its number; else None.
        line: of its first character, as `Document.line_at` counts; None if there are pages.
        start, end: its span, in characters, in what `fastkv extract` prints of the document alone.
        text: whole sentences, table rows or list items; 400 characters at most.
        score: how much of what the question names it holds, weighted by rarity, 0 to 1.
    """

    document: str
    page: int | None
    page_label: str | None
    line: int | None
    start: int
    end: int
    text: str
    score: float


class Verdict(StrEnum):
    """What documents say of an answer.

    SUPPORTED: its words stand in the quotes. UNSUPPORTED: they do not. NOT_FOUND: nothing in the
    documents is about the question.
    """

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of checking an answer against the documents.

    Attributes:
        citations: the places that support it, best first.
        not_in_document: its claims that are in no document; None if not checked.
        verdict: what they say of it; None for a summary, and if it was not judged.
        found: whether the documents are about the question; None for a summary, and if not checked.
        reason: why they do not.
        guess: the model's answer if they do not.
        quotes: what in the documents is likely to answer the question, best first.
    """

    citations: tuple[Citation, ...] = ()
    not_in_document: tuple[str, ...] | None = None
    verdict: Verdict | None = None
    found: bool | None = None
    reason: str = ""
    guess: str = ""
    quotes: tuple[Quote, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether a refusal stands in the answer's place."""
        return bool(self.reason)


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run of a command: the answer and all measurements.

    Attributes:
        command: "summarize", "ask" or "chat".
        extract_s: seconds to read the documents from disk.
        load_s: seconds to load the model, without imports, downloads and conversion.
        ttft_s: seconds from the start of the first prefill to the answer's first token.
        settings: the source of the method's settings; empty if it has none.
        evidence: the result of checking the answer against the documents.
        question: the user's question; empty for a summary.
        turns_left_out: the oldest turns of a conversation, which no longer fit the window.
        thinking: what the model thought before the answer; None if it did not think.
        filled: the object and its fields; None without a schema.
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
    thinking: ThinkingStats | None = None
    filled: FilledSchema | None = None

    @property
    def paths(self) -> list[str]:
        return [document.path for document in self.documents]

    @property
    def ttft_s(self) -> float:
        """The time of the parts, then of the answer's own prefill and first token."""
        return (self.reading.parts_s or 0.0) + self.generation.ttft_s

    @property
    def prefill_s(self) -> float:
        """All prefills: of the parts, and of the answer's prompt."""
        return (self.reading.parts_s or 0.0) + self.generation.prefill_s
