"""The marks around a model's thinking, and splitting what it writes into thoughts and answer.

Two forms: tags (`<think> … </think>`: Qwen3, SmolLM3, DeepSeek; `[THINK]`: Ministral), and channels
(gpt-oss: `<|channel|>analysis<|message|> … <|end|><|start|>assistant<|channel|>final<|message|>`).
Some templates open the tag at the end of the prompt, so that the model begins inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from .prompt import SYSTEM
from .templates import has_thinking_switch, mentions, split_template

_TAGS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
_START, _CHANNEL, _MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
_ENDS = ("<|end|>", "<|return|>", "<|call|>")
_CHANNEL_MARKS = (_START, _CHANNEL, _MESSAGE, *_ENDS)
_FINAL = "final"


class Split(NamedTuple):
    """What a piece of the model's text adds to its thoughts and to its answer."""

    thought: str
    answer: str


class Splitter(Protocol):
    """Splits one text that arrives in pieces; a mark may be split over several of them."""

    @property
    def is_thinking(self) -> bool:
        """Whether the text is inside a thought, or in the header of a message."""

    @property
    def is_over(self) -> bool:
        """Whether the answer has been ended by a mark."""

    def push(self, text: str) -> Split:
        """Add a piece; what may be the beginning of a mark is held back."""

    def end(self) -> Split:
        """Finish; returns what was held back."""


@dataclass(frozen=True, slots=True)
class ThoughtFormat:
    """How a model marks its thinking after a prompt.

    Attributes:
        marks: as they stand in the text; where they are tokens of the vocabulary, special ones too.
        closing: ends a thought and begins the answer.
        starts_inside: whether the prompt ends inside a thought.
        is_expected: whether the chat template is of a model that thinks, and does not prevent it.
    """

    marks: tuple[str, ...]
    closing: str
    starts_inside: bool = False
    is_expected: bool = True

    def splitter(self) -> Splitter:
        """A splitter for one text."""
        if _CHANNEL in self.marks:
            return ChannelSplitter()
        opening, closing = self.marks
        return TagSplitter(opening, closing, inside=self.starts_inside)


def find_thought_format(tokenizer: Any, *, thinks: bool) -> ThoughtFormat | None:
    """The marks of a model's thinking; None for a base model, which has no chat template.

    Args:
        tokenizer: a transformers tokenizer.
        thinks: whether thinking is left to the template's default, or turned off where it can be.

    Raises:
        ModelError: when the chat template cannot be used.
    """
    if tokenizer.chat_template is None:
        return None
    tail = split_template(tokenizer, SYSTEM, thinks=thinks)[-1]
    if mentions(tokenizer, _CHANNEL) and mentions(tokenizer, _MESSAGE):
        closing = f"{_ENDS[0]}{_START}assistant{_CHANNEL}{_FINAL}{_MESSAGE}"
        return ThoughtFormat(_CHANNEL_MARKS, closing, is_expected=_MESSAGE not in tail)
    tags = next((each for each in _TAGS if any(mentions(tokenizer, tag) for tag in each)), _TAGS[0])
    opening, closing = tags
    is_off = closing in tail or (not thinks and has_thinking_switch(tokenizer))
    return ThoughtFormat(
        tags,
        f"\n{closing}\n\n",
        starts_inside=tail.rfind(opening) > tail.rfind(closing),
        is_expected=not is_off and any(mentions(tokenizer, tag) for tag in tags),
    )


class TagSplitter:
    """Splits a text with tags around thoughts; a tag that closes nothing is left out."""

    is_over = False

    def __init__(self, opening: str, closing: str, *, inside: bool) -> None:
        self._marks = opening, closing
        self._held = self._lead = ""
        self._has_begun = False  # blank characters before a first tag are no part of the answer
        self._after_mark = inside
        self.is_thinking = inside

    def push(self, text: str) -> Split:
        """See `Splitter`."""
        self._held += text
        thought = answer = ""
        while True:
            before, mark, self._held = _cut(self._held, self._marks)
            if not self._has_begun:
                self._lead += before
                self._has_begun = bool(mark) or not self._lead.isspace()
                before = self._lead if self._has_begun and self._lead.strip() else ""
            if self._after_mark:  # the blank lines between a tag and what follows it
                before = before.lstrip()
                self._after_mark = not before
            if self.is_thinking:
                thought += before
            else:
                answer += before
            if not mark:
                return Split(thought, answer)
            self.is_thinking = mark == self._marks[0]
            self._after_mark = True

    def end(self) -> Split:
        """See `Splitter`."""
        held, self._held = self._held, ""
        if not self._has_begun and not self.is_thinking:
            held = self._lead + held
        return Split(held, "") if self.is_thinking else Split("", held)


class ChannelSplitter:
    """Splits messages of gpt-oss: those in the channel `final` are the answer, others thoughts.

    The prompt ends with `<|start|>assistant`, in a header. A text that begins with no mark at all
    is an answer.
    """

    def __init__(self) -> None:
        self._held = self._header = ""
        self._has_marks = self._in_answer = self._in_thought = False
        self.is_over = False

    @property
    def is_thinking(self) -> bool:
        """See `Splitter`."""
        return not self._in_answer

    def push(self, text: str) -> Split:
        """See `Splitter`."""
        self._held += text
        thought = answer = ""
        while not self.is_over:
            before, mark, self._held = _cut(self._held, _CHANNEL_MARKS)
            if not self._has_marks and before.strip():
                self._in_answer = True
                before, self._header = self._header + before, ""
            if self._in_answer:
                answer += before
            elif self._in_thought:
                thought += before
            else:
                self._header += before
            if not mark:
                break
            thought += "\n" if self._in_thought else ""
            self._take(mark)
        return Split(thought, answer)

    def end(self) -> Split:
        """See `Splitter`."""
        held, self._held = self._held, ""
        if self._in_answer and not self.is_over:
            return Split("", held)
        return Split(held if self._in_thought else "", "")

    def _take(self, mark: str) -> None:
        """Follow a mark into a header, a thought or the answer."""
        self._has_marks = True
        self.is_over = self._in_answer and mark in _ENDS
        if mark == _MESSAGE:
            _, channel, name = self._header.rpartition(_CHANNEL)
            self._in_answer = not channel or name.split()[:1] == [_FINAL]
            self._in_thought = not self._in_answer
            return
        self._in_answer = self._in_thought = False
        self._header = self._header + mark if mark == _CHANNEL else ""


def _cut(text: str, marks: Sequence[str]) -> tuple[str, str, str]:
    """Cut a text at its first mark: what is before it, the mark, and the rest.

    Without a mark, the rest is what may become one, at the end of the text.
    """
    found = [(at, mark) for mark in marks if (at := text.find(mark)) >= 0]
    if found:
        at, mark = min(found)
        return text[:at], mark, text[at + len(mark) :]
    longest = min(max(map(len, marks)) - 1, len(text))
    for size in range(longest, 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return text[:-size], "", text[-size:]
    return text, "", ""
