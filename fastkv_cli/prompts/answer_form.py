"""How the answer stands in what a model generates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .thinking import ThoughtFormat

OnThought = Callable[[str, int, int], None]
"""Called with a piece of the model's thinking, its tokens so far, and the most it may think."""


def ignore_thought(_text: str, _num_tokens: int, _most: int) -> None:
    """Do nothing with the model's thinking."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How the answer stands in what a model generates.

    Attributes:
        thoughts: the marks of its thinking; None if all of the text is the answer.
        max_thinking: the most tokens it may think; then its thinking is closed for it.
        ends_at: the answer ends at these line breaks, as that of a base model, which would go on
            with questions of its own; empty if only the model ends it.
        on_thought: receives the thinking.
    """

    thoughts: ThoughtFormat | None = None
    max_thinking: int = 0
    ends_at: str = ""
    on_thought: OnThought = ignore_thought
