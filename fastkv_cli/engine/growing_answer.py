"""An answer while it is generated: its tokens, its text, and the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..stats import GenerationStats
from .answer_stream import AnswerStream
from .generation import Piece

if TYPE_CHECKING:
    from .closing_sampler import ClosingSampler
    from .constraint import ConstrainedSampler
    from .prompt_lookup import PromptLookup
    from .sampling import Sampler


@dataclass(slots=True)
class GrowingAnswer:
    """A growing answer, and the times of its prefill and its tokens, in seconds."""

    text: AnswerStream
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

    def grow(
        self,
        tokens: Iterator[tuple[int, float]],
        sampler: Sampler | ClosingSampler | ConstrainedSampler,
        limits: tuple[int, int],
        end_ids: frozenset[int],
        until: Callable[[], bool] | None,
    ) -> Iterator[Piece]:
        """Add tokens up to the answer's end, and yield its text piece by piece.

        Args:
            tokens: each with its time; endless.
            sampler: knows of loops, and where a grammar ends.
            limits: the most tokens of the answer, and of the thinking before it.
            end_ids: tokens that end the answer.
            until: called after each token; the answer ends when it returns True.
        """
        for token_id, at in tokens:
            if piece := self.add(token_id, at):
                yield Piece(piece)
            is_over = token_id in end_ids or self.text.is_over or sampler.is_over
            if is_over or (until is not None and until()):
                self.finish_reason = "stop"
            elif sampler.is_looping:
                self.finish_reason = "loop"
            num_answered = len(self.token_ids) - min(self.text.num_thought, limits[1])
            if self.finish_reason != "length" or num_answered >= limits[0]:
                break
        if piece := self.text.flush():
            yield Piece(piece)

    def stats(
        self, prompt_tokens: int, peak_memory_bytes: int | None, lookup: PromptLookup | None
    ) -> GenerationStats:
        """What was measured; `lookup` counted the passes, or each gave a token."""
        count = len(self.token_ids)
        return GenerationStats(
            prefill_s=self.prefilled_at - self.started_at,
            ttft_s=self.first_at - self.started_at,
            decode_s=self.last_at - self.first_at if count > 1 else None,
            prompt_tokens=prompt_tokens,
            output_tokens=count,
            peak_memory_bytes=peak_memory_bytes,
            decode_passes=max(count - 1, 0) if lookup is None else lookup.num_passes,
        )
