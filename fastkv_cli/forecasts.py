"""What a run would take, foreseen without running it: parts, prompts, memory and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class PromptUse(StrEnum):
    """What becomes of a prompt: scored up to the TSP layer, or answered.

    An excerpt is answered without compression.
    """

    SCORED = "scored"
    EXCERPT = "excerpt"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class PromptForecast:
    """A prompt of a run.

    Attributes:
        use: what becomes of it.
        num_tokens: of the prompt.
        window: tokens of the observation window of a prompt that is scored.
        question: rows of the question in a prompt that is answered; None where unknown.
        shared_ids: its leading tokens, of which a prefix state may be stored; empty if none is
            looked for.
    """

    use: PromptUse
    num_tokens: int
    window: int = 0
    question: slice | None = None
    shared_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class ReadingForecast:
    """How a text would be processed.

    Attributes:
        tokens: of the text.
        parts: number of parts it would be split into; 1 if it fits the window.
        longest_prompt: tokens of the longest prompt.
        strategy: what would be done with the parts; empty if there is one.
        note: why the method would not compress the prompt that is answered from; empty if it would.
        fits_window: whether the whole text fits the window.
        prompts: in order; the last one is answered, unless all are only scored.
    """

    tokens: int
    parts: int
    longest_prompt: int
    strategy: str = ""
    note: str = ""
    fits_window: bool = True
    prompts: Sequence[PromptForecast] = ()


@dataclass(frozen=True, slots=True)
class TimeForecast:
    """The predicted seconds of a run, without loading the model.

    Attributes:
        first_token_s: until the first token is there; None where the machine's speed is not known.
        answer_s: until the longest answer is complete.
        output_tokens: of the longest answer; 0 if the answer is quoted.
        tokens_found: of the text, whose prefix states are stored.
    """

    first_token_s: float | None
    answer_s: float | None
    output_tokens: int
    tokens_found: int


@dataclass(frozen=True, slots=True)
class MemoryForecast:
    """The predicted memory of the longest prompt of a run, in bytes.

    Attributes:
        weights_bytes: all weights of the model.
        resident_weights_bytes: the weights that are in memory at once.
        copies_bytes: estimate for the packed copies for decoding; 0 if there are none.
        full_kv_bytes: the full KV cache.
        kept_kv_bytes: the KV cache as compressed by the method.
        working_bytes: further memory during prefill.
        program_bytes: the program and its libraries; None if the system does not report it.
        available_bytes: free memory of the machine; None if the system does not report it.
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
        """The predicted peak."""
        return self._beside_cache + self.kept_kv_bytes

    @property
    def full_peak_bytes(self) -> int:
        """The predicted peak with the method `full`."""
        return self._beside_cache + self.full_kv_bytes

    @property
    def fits(self) -> bool | None:
        """Whether the free memory is enough; None if it is unknown."""
        if self.available_bytes is None:
            return None
        return self.peak_bytes - (self.program_bytes or 0) <= self.available_bytes

    @property
    def _beside_cache(self) -> int:
        weights = self.resident_weights_bytes + self.copies_bytes
        return (self.program_bytes or 0) + weights + self.working_bytes


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """The sizes of a model that its memory depends on.

    Attributes:
        num_weights: all weights.
        layer_weights: those of all layers.
        largest_layer: those of the largest layer.
        matrix_weights: those in the matrices of the layers and the LM head.
        hidden: size of a token's hidden state.
        intermediate: size of the MLP's inner states.
        num_heads: query heads of a layer.
        num_kv_heads: KV heads of a layer.
        head_dim: size of a head.
        kv_per_token: numbers in K and V of a token, over all layers.
        packed_bytes: the packed copies of matrices that stay in a GGUF file, without experts; None
            if they are in memory, or mapped.
        expert_bytes: the packed copies of all experts that stay in a file.
        state_bytes: bytes of recurrent states, however long the text is.
        mixing_bytes: that a recurrent layer holds for each token of the rows it computes at once.
    """

    num_weights: int
    layer_weights: int
    largest_layer: int
    matrix_weights: int
    hidden: int
    intermediate: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    kv_per_token: int
    packed_bytes: int | None = None
    expert_bytes: int = 0
    state_bytes: int = 0
    mixing_bytes: int = 0
