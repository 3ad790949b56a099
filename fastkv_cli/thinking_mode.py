"""What becomes of a model's thinking: the user's choice, and its statistics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# At 10 tokens a second, what a small model makes on a CPU, less than two minutes of thinking.
DEFAULT_THINKING_TOKENS = 1024


class Thinking(StrEnum):
    """Whether a model may think before its answer, and whether that is shown."""

    SHOW = "show"
    HIDE = "hide"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ThinkingStats:
    """What a model thought before its answer.

    Attributes:
        tokens: of the thinking, including its marks.
        was_closed: whether it was ended for the model, which had not ended it by itself.
        text: without the marks.
    """

    tokens: int
    was_closed: bool
    text: str
