"""Building a prompt's token ids from a task and a text.

The text is data: it stands inside a fence, is tokenized separately from the template so that
nothing in it can become a control token, and cannot close the fence. Instructions are short and the
question comes last, as small models need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..config import Length
from ..summary_style import Style
from .disarm import FENCE_NAME, disarm, turn_words
from .templates import split_template
from .tokenizing import (
    OnPiece,
    TokenizedText,
    ignore_piece,
    is_control,
    join_pieces,
    tokenize_pieces,
)

_FENCE_OPEN, _FENCE_CLOSE = f"<{FENCE_NAME}>\n", f"\n</{FENCE_NAME}>\n\n"
_SURROGATE = re.compile("[\ud800-\udfff]")  # from bytes that are not text; tokenizers reject them

SUMMARY_TASKS: dict[Length, str] = {
    Length.SHORT: "Summarize the document above in two or three sentences.",
    Length.MEDIUM: "Summarize the document above in one paragraph, with its main points.",
    Length.LONG: "Summarize the document above in detail, in several paragraphs.",
}
LIST_TASKS: dict[Length, str] = {
    Length.SHORT: "List the two or three main points of the document above, a sentence each.",
    Length.MEDIUM: "List the main points of the document above, a sentence each.",
    Length.LONG: "List all points of the document above, a sentence each.",
}
_QUESTION, _ANSWER, _SUMMARY = "Question: ", "Answer: ", "Summary: "
_ASK = f"Answer the question from the document above.\n\n{_QUESTION}"
_COPY = f"Copy the words of the document above that answer the question.\n\n{_QUESTION}"
_FILL = "Fill in this form from the document above. Copy its words; write none if it does not say."
_FORM = f"{_FILL}\n\n"
# What only the frame around a text and its question holds; a question begins a line.
FRAME_MARKS = (f"<{FENCE_NAME}>", f"</{FENCE_NAME}>", f"\n{_QUESTION.strip()}")
_OURS = tuple(word.strip().lower() for word in (_QUESTION, _ANSWER))
_OURS_ALONE = (*_OURS, _SUMMARY.strip().lower())  # the turns of a model without a template
SYSTEM = "You read documents and answer from them, briefly and exactly."


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids in four parts: template and fence, text, fence and question, template.

    `question_ids` also holds the earlier turns of a conversation, with the template around them.
    Its last `num_asked` tokens are the question itself, without the fence and the instruction.
    """

    prefix_ids: list[int]
    document_ids: list[int]
    question_ids: list[int]
    tail_ids: list[int]
    num_asked: int

    @property
    def token_ids(self) -> list[int]:
        return self.prefix_ids + self.document_ids + self.question_ids + self.tail_ids

    def with_document(self, document_ids: Sequence[int]) -> Prompt:
        """The same prompt about another text, given as `tokenize_text` returns its tokens."""
        return replace(self, document_ids=list(document_ids))

    @property
    def document_span(self) -> slice:
        """The span of the text in `token_ids`."""
        return slice(len(self.prefix_ids), len(self.prefix_ids) + len(self.document_ids))

    @property
    def question_span(self) -> slice:
        """The span of the question in `token_ids`."""
        end = self.document_span.stop + len(self.question_ids)
        return slice(end - self.num_asked, end)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question of a conversation, and its answer."""

    question: str
    answer: str


def tokenize_document(
    tokenizer: Any, text: str, on_piece: OnPiece = ignore_piece
) -> Iterator[TokenizedText]:
    """Tokenize a text as data: nothing in it becomes a control token or closes the fence.

    Args:
        tokenizer: a fast tokenizer of transformers.
        text: the text.
        on_piece: called before each piece; may raise to stop.

    Returns:
        The tokens in order, piece by piece.

    Raises:
        ModelError: when the tokenizer turns ordinary text into control tokens.
    """
    on_piece(0, 0)  # before the text is copied
    yield from tokenize_pieces(tokenizer, _disarm(tokenizer, text), on_piece)


def tokenize_text(tokenizer: Any, text: str, on_piece: OnPiece = ignore_piece) -> TokenizedText:
    """As `tokenize_document`, with all tokens at once."""
    return join_pieces(tokenize_document(tokenizer, text, on_piece))


def build_prompt(
    tokenizer: Any,
    document_ids: Sequence[int],
    task: str,
    history: Sequence[Turn] = (),
    *,
    thinks: bool = False,
) -> Prompt:
    """Build the prompt for a text and a task with the model's own chat template.

    For a base model, which has none, it is a text to complete: it ends with "Answer:", or with
    "Summary:". The prompt up to the end of the text is the same with and without a history.

    Args:
        tokenizer: a transformers tokenizer.
        document_ids: the tokens of the text, as `tokenize_text` returns them.
        task: the instruction; a user's question in it is tokenized as data, too.
        history: the turns of the conversation before the question, the oldest first.
        thinks: whether the model may think before it answers (see `split_template`).
    """
    earlier = [text for turn in history for text in (ask_task(turn.question), turn.answer)]
    frame = next((each for each in (_ASK, _COPY, _FORM) if task.startswith(each)), "")
    if tokenizer.chat_template is None:
        tail = _ANSWER if frame else _SUMMARY
        before, after = str(tokenizer.bos_token or ""), f"\n\n{tail.rstrip()}"
        between = []
    else:
        pieces = split_template(tokenizer, SYSTEM, len(history), thinks=thinks)
        before, *between, after = pieces
    asked = task.removeprefix(frame)
    if len(between) < len(earlier):  # the template has no place for earlier turns
        frame = _transcribe(tokenizer, history)
        earlier, between = [], []
    opening, ids = _FENCE_CLOSE, list[int]()
    for text, template in zip(earlier, between, strict=True):
        ids += _encode_data(tokenizer, opening + _disarm(tokenizer, text))
        ids += _encode_template(tokenizer, template)
        opening = ""
    last_ids = _encode_data(tokenizer, opening + frame + _disarm(tokenizer, asked))
    # a space belongs to the token of the word after it: count the frame without its last space
    num_framed = len(_encode_data(tokenizer, (opening + frame).rstrip(" ")))
    return Prompt(
        prefix_ids=_encode_template(tokenizer, before + _FENCE_OPEN),
        document_ids=list(document_ids),
        question_ids=ids + last_ids,
        tail_ids=_encode_template(tokenizer, after),
        num_asked=max(len(last_ids) - num_framed, 1),
    )


def ask_task(question: str) -> str:
    """The instruction to answer a question."""
    return _ASK + question


def copy_task(question: str) -> str:
    """The instruction to answer a question in the text's own words."""
    return _COPY + question


def fill_task(form: str) -> str:
    """The instruction to fill in a form: a line for each field, its name and what it is."""
    return _FORM + form


def summary_task(length: Length, style: Style = Style.PROSE, language: str = "") -> str:
    """The instruction to summarize, in a language if one is given."""
    task = LIST_TASKS[length] if style is Style.BULLETS else SUMMARY_TASKS[length]
    return f"{task} Write in {language}." if language else task


def build_summary_scoring_prompt(
    tokenizer: Any, document_ids: Sequence[int], length: Length, *, thinks: bool = False
) -> tuple[Prompt, int]:
    """Build a prompt that ends with the instruction to summarize; also returns its tokens.

    As in `build_scoring_prompt`, the instruction's own tokens are the observation window.
    """
    prompt = build_prompt(tokenizer, document_ids, SUMMARY_TASKS[length], thinks=thinks)
    return replace(prompt, tail_ids=[]), prompt.num_asked


def build_scoring_prompt(
    tokenizer: Any, document_ids: Sequence[int], question: str, *, thinks: bool = False
) -> tuple[Prompt, int]:
    """Build a prompt that ends with the question; also returns the question's number of tokens.

    A decoder's attention does not depend on later tokens: with none after the question, the
    prompt's last tokens are the question's own, which makes them the observation window.
    """
    prompt = build_prompt(tokenizer, document_ids, _ASK, thinks=thinks)
    own_ids = _encode_data(tokenizer, _disarm(tokenizer, question))
    asked = replace(
        prompt, question_ids=prompt.question_ids + own_ids, tail_ids=[], num_asked=len(own_ids)
    )
    return asked, len(own_ids)


def _transcribe(tokenizer: Any, history: Sequence[Turn]) -> str:
    """The turns of a conversation as plain text, disarmed, up to where the next question starts."""
    turns = (
        f"{_disarm(tokenizer, turn.question, _OURS)}\n\n"
        f"{_ANSWER}{_disarm(tokenizer, turn.answer, _OURS)}\n\n{_QUESTION}"
        for turn in history
    )
    return _ASK + "".join(turns)


def _encode_template(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def _encode_data(tokenizer: Any, text: str) -> list[int]:
    return join_pieces(tokenize_pieces(tokenizer, text)).token_ids.tolist()


def _disarm(tokenizer: Any, text: str, turns: Sequence[str] = ()) -> str:
    """Disarm the tokens and turns of this model, and of others, in a text.

    Tokenizers find tokens that are not marked as special even in data. Where turns begin with plain
    words, in a template or in the prompts of a base model, those are disarmed, too, as are `turns`.
    """
    text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    found_anyway = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if not token.special and is_control(token)
    ]
    if tokenizer.chat_template is None:
        return disarm(text, found_anyway, _OURS_ALONE)
    frame = "".join(split_template(tokenizer, SYSTEM, 1)).replace(SYSTEM, "")
    return disarm(text, found_anyway, [*turn_words(frame), *turns])
