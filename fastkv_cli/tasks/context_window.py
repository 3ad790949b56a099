"""The context window of a model: the text that fits beside a task, its thinking and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ContextError
from ..prompts.prompt import Prompt, Turn, build_prompt
from ..prompts.thinking import find_thought_format
from ..thinking_mode import DEFAULT_THINKING_TOKENS, Thinking

# A part of a text with fewer tokens has too little content.
_MIN_PART_TOKENS = 64
_MOST_THINKING = 4  # thinking gets at most a fourth of the window


@dataclass(frozen=True, slots=True)
class Window:
    """The context window of a model.

    Attributes:
        tokenizer: the model's, from transformers.
        size: in tokens.
        max_tokens: the part of it reserved for the answer.
        whole_below: the most tokens of a text that a question is answered from as a whole, if it
            fits; None if whatever fits is.
        thinks: whether the model may think before it answers.
        thinking_tokens: the part of it reserved for thinking.
        frames: prompts without a text, by task and history: each is built once.
    """

    tokenizer: Any
    size: int
    max_tokens: int
    whole_below: int | None = None
    thinks: bool = False
    thinking_tokens: int = 0
    frames: dict[tuple[str, tuple[Turn, ...]], Prompt] = field(default_factory=dict, compare=False)

    def frame(self, task: str, history: Sequence[Turn] = ()) -> Prompt:
        """The prompt of a task without its text."""
        key = task, tuple(history)
        if key not in self.frames:
            self.frames[key] = build_prompt(self.tokenizer, [], task, history, thinks=self.thinks)
        return self.frames[key]

    def room(self, task: str, num_tokens: int) -> int:
        """The number of tokens of a text that fit beside a task and its answer.

        Raises:
            ContextError: when fewer fit than 64, or than the text's `num_tokens` if that is less.
        """
        room = self._room(task)
        if room < min(_MIN_PART_TOKENS, num_tokens):
            asked = self.size - room - self.reserved_tokens
            thinking = f", the thinking ({self.thinking_tokens:,})" if self.thinking_tokens else ""
            smaller = "--max-thinking or --max-tokens" if thinking else "--max-tokens"
            raise ContextError(
                f"no room for text: the model's window of {self.size:,} tokens holds the question "
                f"({asked:,}){thinking} and the answer ({self.max_tokens:,})",
                f"shorten the question or give a smaller {smaller}",
            )
        return room

    @property
    def reserved_tokens(self) -> int:
        """The tokens reserved for the answer and the thinking before it."""
        return self.max_tokens + self.thinking_tokens

    def whole(self, room: int) -> int:
        """The most tokens of a text that a question is answered from as a whole."""
        return room if self.whole_below is None else min(room, self.whole_below)

    def keep_turns(self, task: str, history: Sequence[Turn], num_tokens: int) -> Sequence[Turn]:
        """The latest turns of a conversation that fit beside a task and `num_tokens` of text."""
        for oldest in range(len(history)):
            if self._room(task, history[oldest:]) >= num_tokens:
                return history[oldest:]
        return ()

    def _room(self, task: str, history: Sequence[Turn] = ()) -> int:
        """Tokens left for text; negative if not even the rest fits."""
        return self.size - len(self.frame(task, history).token_ids) - self.reserved_tokens


def open_window(
    tokenizer: Any,
    size: int,
    max_tokens: int,
    whole_below: int | None = None,
    *,
    thinking: Thinking = Thinking.OFF,
    max_thinking: int = DEFAULT_THINKING_TOKENS,
) -> Window:
    """The context window of a model, with what its thinking needs reserved.

    Args:
        tokenizer: the model's, from transformers.
        size: in tokens.
        max_tokens: of an answer.
        whole_below: as in `Window`.
        thinking: whether the model may think.
        max_thinking: for how many tokens.

    Raises:
        ModelError: when the chat template cannot be used.
    """
    thinks = thinking is not Thinking.OFF
    found = find_thought_format(tokenizer, thinks=thinks)
    reserved = 0
    if found is not None and found.is_expected:
        closing = len(tokenizer(found.closing, add_special_tokens=False)["input_ids"])
        reserved = min(max_thinking, size // _MOST_THINKING) + closing
    return Window(tokenizer, size, max_tokens, whole_below, thinks, reserved)
