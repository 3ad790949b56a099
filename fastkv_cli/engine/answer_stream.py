"""The answer in what a model generates: without its thinking, and up to where the answer ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..thinking_mode import ThinkingStats
from .text_stream import TextStream

if TYPE_CHECKING:
    from ..prompts.answer_form import AnswerForm


class AnswerStream:
    """Decodes one growing generation; passes on the answer, and the thinking to its receiver.

    Attributes:
        form: how the answer stands in the text; None if all of it is the answer.
        mark_ids: the marks of the thinking that are tokens of the vocabulary.
        is_over: whether the answer has ended, by a line break or a mark.
        num_thought: tokens of the thinking, with its marks.
        was_closed: whether the thinking was closed for the model.
    """

    def __init__(self, tokenizer: Any, form: AnswerForm | None = None) -> None:
        """Decode with a tokenizer; without a form, the whole text is the answer."""
        self.form = form
        thoughts = form.thoughts if form else None
        marks = thoughts.marks if thoughts else ()
        self.mark_ids = find_mark_ids(tokenizer, marks)
        self._tokens = TextStream(tokenizer, self.mark_ids)
        self._splitter = thoughts.splitter() if thoughts else None
        self._ends_at = form.ends_at if form else ""
        self._answer: list[str] = []
        self._thought: list[str] = []
        self._held = ""  # line breaks that may end the answer
        self.is_over = self.was_closed = False
        self.num_thought = 0

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._answer)

    @property
    def is_thinking(self) -> bool:
        """Whether the next token belongs to the thinking."""
        return self._splitter is not None and self._splitter.is_thinking

    def push(self, token_id: int) -> str:
        """Add a token; returns the complete characters that it adds to the answer."""
        was_thinking = self.is_thinking
        answer = self._split(self._tokens.push(token_id))
        self.num_thought += was_thinking or self.is_thinking
        return answer

    def flush(self) -> str:
        """Return what is still buffered at the end of the answer."""
        answer = self._split(self._tokens.flush(), ends=True)
        if self._held and not self.is_over:
            answer += self._held
            self._answer.append(self._held)
        return answer

    def thinking(self) -> ThinkingStats | None:
        """The thinking so far; None if there was none."""
        text = "".join(self._thought).strip()
        if not text and not self.was_closed:
            return None
        return ThinkingStats(self.num_thought, self.was_closed, text)

    def _split(self, text: str, *, ends: bool = False) -> str:
        """Pass on the thinking in a text; returns the answer in it."""
        if self._splitter is None or self.form is None:
            return self._end_at_line(text)
        thought, answer = self._splitter.push(text)
        if ends:
            last = self._splitter.end()
            thought, answer = thought + last.thought, answer + last.answer
        if thought or self.is_thinking:
            self._thought.append(thought)
            self.form.on_thought(thought, self.num_thought + 1, self.form.max_thinking)
        answer = self._end_at_line(answer)
        self.is_over = self.is_over or self._splitter.is_over
        return answer

    def _end_at_line(self, text: str) -> str:
        """The text up to where the answer ends."""
        if self.is_over:
            return ""
        if stop := self._ends_at:
            text = self._held + text
            if not self._answer:
                text = text.lstrip()
            text, found, _ = text.partition(stop)
            self.is_over = bool(found)
            kept = text.rstrip("\n") if len(stop) > 1 and not found else text
            text, self._held = kept, text[len(kept) :]
        if text:
            self._answer.append(text)
        return text


def find_mark_ids(tokenizer: Any, marks: tuple[str, ...]) -> dict[int, str]:
    """The marks that are tokens of the vocabulary, by id; special ones are decoded to nothing."""
    return {
        number: token.content
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.content in marks
    }
