"""What a run would take, foreseen without running it: parts, prompts and memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadingForecast:
    """How a text would be processed.

    Attributes:
        tokens: of the text.
        parts: number of parts it would be split into; 1 if it fits the window.
        longest_prompt: tokens of the longest prompt.
        way: what would be done with the parts; empty if there is one.
    """

    tokens: int
    parts: int
    longest_prompt: int
    way: str = ""


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
