"""A sampler that closes a model's thinking, so that an answer always follows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .answer_stream import AnswerStream
from .constraint import ConstrainedSampler, Samplers
from .sampling import Sampler


class ClosingSampler:
    """Samples thoughts and answer apart, and ends thinking that would not end by itself.

    Where the model has thought for as many tokens as it may, begins to loop, or would end without
    an answer, the tokens that close its thinking are put in the place of its own choice. The answer
    has a sampler of its own: it may repeat what was thought.
    """

    def __init__(
        self,
        samplers: Samplers,
        stream: AnswerStream,
        closing_ids: Sequence[int],
        max_thinking: int,
        end_ids: frozenset[int],
    ) -> None:
        """Sample for a stream, to which the caller adds each token before it asks for the next.

        Args:
            samplers: make the sampler of the thoughts and that of the answer.
            stream: knows whether the model is thinking.
            closing_ids: the tokens that close the thinking.
            max_thinking: tokens after which to close it.
            end_ids: tokens that end the generation.
        """
        self._thoughts, self._answer = samplers[0](), samplers[1]()
        self._stream, self._closing_ids = stream, closing_ids
        self._max_thinking, self._end_ids = max_thinking, end_ids
        self._forced: deque[int] = deque()

    @property
    def is_looping(self) -> bool:
        """Whether the answer repeats itself."""
        return self._answer.is_looping

    @property
    def is_over(self) -> bool:
        """Whether nothing can follow the answer."""
        return self._answer.is_over

    def choose(self, logits: Tensor) -> int:
        """The next token id from logits (vocabulary,)."""
        if self._forced:
            return self._forced.popleft()
        if not self._stream.is_thinking:
            return self._answer.choose(logits)
        token_id = self._thoughts.choose(logits)
        is_spent = self._stream.num_thought >= self._max_thinking
        if is_spent or token_id in self._end_ids or self._thoughts.is_looping:
            self._stream.was_closed = True
            self._forced.extend(self._closing_ids)
            return self._forced.popleft()
        return token_id


def open_sampler(
    tokenizer: Any,
    samplers: Samplers,
    stream: AnswerStream,
    end_ids: frozenset[int],
    room: int,
) -> tuple[Sampler | ClosingSampler | ConstrainedSampler, int]:
    """The sampler of a stream, and the most tokens that its thinking takes.

    Args:
        tokenizer: the model's.
        samplers: make a sampler of thoughts and one of the answer.
        stream: the stream.
        end_ids: tokens that end the generation.
        room: tokens of the model's window beside the prompt and the answer.
    """
    form = stream.form
    if form is None or form.thoughts is None:
        return samplers[1](), 0
    closing: list[int] = tokenizer(form.thoughts.closing, add_special_tokens=False)["input_ids"]
    max_thinking = max(0, min(form.max_thinking, room - len(closing)))
    sampler = ClosingSampler(samplers, stream, closing, max_thinking, end_ids)
    return sampler, min(max_thinking + len(closing), room)
