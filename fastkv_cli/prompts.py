"""From a task and a text to the token ids of a prompt.

The text is data: it stands inside a fence, is tokenized apart from the template so that nothing in
it can become a control token, and cannot close the fence. Instructions are short and the question
comes last, as small models need it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .config import Length
from .disarm import FENCE_NAME, disarm, replace_at, turn_words
from .errors import ModelError
from .templates import split_template

_FENCE_OPEN, _FENCE_CLOSE = f"<{FENCE_NAME}>\n", f"\n</{FENCE_NAME}>\n\n"
_MAX_ROUNDS = 8
_SURROGATE = re.compile("[\ud800-\udfff]")  # of bytes that are no text; tokenizers take none

SUMMARY_TASKS: dict[Length, str] = {
    Length.SHORT: "Summarize the document above in two or three sentences.",
    Length.MEDIUM: "Summarize the document above in one paragraph, with its main points.",
    Length.LONG: "Summarize the document above in detail, in several paragraphs.",
}
PART_TASK = "Summarize the text above in two or three sentences."
_QUESTION, _ANSWER = "Question: ", "Answer: "
_ASK = f"Answer the question from the document above.\n\n{_QUESTION}"
_OURS = tuple(word.strip().lower() for word in (_QUESTION, _ANSWER))
SYSTEM = "You read documents and answer from them, briefly and exactly."


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids in four pieces: template and fence, text, fence and question, template.

    Earlier turns of a conversation stand in `question_ids`, with the template around them. The last
    `num_asked` of these are what is asked, the fence and our own words left out.
    """

    prefix_ids: list[int]
    document_ids: list[int]
    question_ids: list[int]
    tail_ids: list[int]
    num_asked: int

    @property
    def token_ids(self) -> list[int]:
        """The whole prompt."""
        return self.prefix_ids + self.document_ids + self.question_ids + self.tail_ids

    @property
    def document_span(self) -> slice:
        """Where the text's tokens lie in the whole."""
        return slice(len(self.prefix_ids), len(self.prefix_ids) + len(self.document_ids))

    @property
    def question_span(self) -> slice:
        """Where what was asked lies in the whole."""
        end = self.document_span.stop + len(self.question_ids)
        return slice(end - self.num_asked, end)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question of a conversation, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text's tokens and where each begins in it, in characters."""

    token_ids: list[int]
    starts: list[int]


def tokenize_text(tokenizer: Any, text: str) -> TokenizedText:
    """Tokenize a text as data: nothing in it becomes a control token or closes the fence."""
    return _tokenize_data(tokenizer, _disarm(tokenizer, text))


def build_prompt(
    tokenizer: Any, document_ids: Sequence[int], task: str, history: Sequence[Turn] = ()
) -> Prompt:
    """Put a text and a task into the model's own chat template.

    All up to the end of the text is the same with a history and without.

    Args:
        tokenizer: a transformers tokenizer.
        document_ids: the tokens of the text, as `tokenize_text` gives them.
        task: what to do with it; a user's question in it is tokenized as data too.
        history: the turns of the conversation before a question, the oldest first.
    """
    before, *between, after = _render(tokenizer, len(history))
    said = [text for turn in history for text in (ask_task(turn.question), turn.answer)]
    frame = _ASK if task.startswith(_ASK) else ""
    asked = task.removeprefix(frame)
    if len(between) < len(said):  # the template has no place for them
        frame = _transcribe(tokenizer, history)
        said, between = [], []
    opening, ids = _FENCE_CLOSE, list[int]()
    for text, template in zip(said, between, strict=True):
        ids += _tokenize_data(tokenizer, opening + _disarm(tokenizer, text)).token_ids
        ids += _encode_template(tokenizer, template)
        opening = ""
    last_ids = _tokenize_data(tokenizer, opening + _disarm(tokenizer, frame + asked)).token_ids
    # a space before a word belongs to its token: count what the frame has without the last one
    num_framed = len(_tokenize_data(tokenizer, (opening + frame).rstrip(" ")).token_ids)
    return Prompt(
        prefix_ids=_encode_template(tokenizer, before + _FENCE_OPEN),
        document_ids=list(document_ids),
        question_ids=ids + last_ids,
        tail_ids=_encode_template(tokenizer, after),
        num_asked=max(len(last_ids) - num_framed, 1),
    )


def ask_task(question: str) -> str:
    """The task of answering a question."""
    return _ASK + question


def build_scoring_prompt(
    tokenizer: Any, document_ids: Sequence[int], question: str
) -> tuple[Prompt, int]:
    """A prompt that ends with the question, and how many tokens the question has.

    What a decoder attends to does not depend on what comes behind: with nothing there, the last
    tokens are just the question's own, which makes them the observation window.
    """
    prompt = build_prompt(tokenizer, document_ids, _ASK)
    own_ids = tokenize_text(tokenizer, question).token_ids
    asked = replace(
        prompt, question_ids=prompt.question_ids + own_ids, tail_ids=[], num_asked=len(own_ids)
    )
    return asked, len(own_ids)


def _transcribe(tokenizer: Any, history: Sequence[Turn]) -> str:
    """The turns of a conversation in words, disarmed, with all that stands before a question."""
    turns = (
        f"{_disarm(tokenizer, turn.question, _OURS)}\n\n"
        f"{_ANSWER}{_disarm(tokenizer, turn.answer, _OURS)}\n\n{_QUESTION}"
        for turn in history
    )
    return _ASK + "".join(turns)


def _render(tokenizer: Any, num_turns: int = 0) -> list[str]:
    """The template's pieces around the texts of a conversation, as `split_template` gives them."""
    if tokenizer.chat_template is None:  # a base model: plain text, begun as the model expects it
        return [str(tokenizer.bos_token or ""), f"\n\n{_ANSWER.rstrip()}"]
    return split_template(tokenizer, SYSTEM, num_turns)


def _encode_template(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def _disarm(tokenizer: Any, text: str, turns: Sequence[str] = ()) -> str:
    """Disarm a text for a model: its own tokens and turns, and those of others.

    Tokens that are not marked as special are found in data as well. Where a template begins turns
    with plain words, they are disarmed too, and so are `turns`.
    """
    text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    found_anyway = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if not token.special and _is_control(token)
    ]
    has_template = tokenizer.chat_template is not None
    frame = "".join(_render(tokenizer, 1)).replace(SYSTEM, "") if has_template else ""
    return disarm(text, found_anyway, [*turn_words(frame), *turns])


def _is_control(token: Any) -> bool:
    """Whether an added token may control a model; runs of blanks and plain words do not."""
    return token.special or not (token.content.isspace() or token.content.isalnum())


def _tokenize_data(tokenizer: Any, text: str) -> TokenizedText:
    """Tokenize, and see that no control token came out of it.

    A tokenizer may have its own idea of what looks alike, or split no special tokens: then what
    became one is taken apart until it does not.

    Raises:
        ModelError: when that does not help.
    """
    control_ids = {
        number for number, token in tokenizer.added_tokens_decoder.items() if _is_control(token)
    } - {tokenizer.unk_token_id}
    for _ in range(_MAX_ROUNDS):
        encoded = tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        token_ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        if control_ids.isdisjoint(token_ids):
            return TokenizedText(token_ids, [start for start, _ in spans])
        found = zip(token_ids, spans, strict=True)
        places = [start for number, (start, _) in found if number in control_ids]
        text = replace_at(text, places)
    raise ModelError(
        "the model's tokenizer makes control tokens of ordinary text", "try another model"
    )
