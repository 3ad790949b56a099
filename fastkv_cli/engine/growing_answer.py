"""An answer while it is generated: its tokens, its text, and the clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..stats import GenerationStats
from .text_stream import TextStream


@dataclass(slots=True)
class GrowingAnswer:
    """A growing answer, and the times of its prefill and its tokens, in seconds."""

    text: TextStream
    started_at: float
    prefilled_at: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str = "length"

    def add(self, token_id: int, at: float) -> str:
        """Add a token; returns the complete characters that it adds, possibly none."""
        self.first_at = self.first_at if self.token_ids else at
        self.last_at = at
        self.token_ids.append(token_id)
        return self.text.push(token_id)

    def stats(self, prompt_tokens: int, peak_memory_bytes: int | None) -> GenerationStats:
        return GenerationStats(
            prefill_s=self.prefilled_at - self.started_at,
            ttft_s=self.first_at - self.started_at,
            decode_s=self.last_at - self.first_at if len(self.token_ids) > 1 else None,
            prompt_tokens=prompt_tokens,
            output_tokens=len(self.token_ids),
            peak_memory_bytes=peak_memory_bytes,
        )
