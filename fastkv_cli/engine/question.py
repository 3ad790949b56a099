"""Where in a prompt the question stands, for prompts of which nobody says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ModelError
from ..prompts.prompt import SYSTEM
from ..prompts.templates import split_template

_MAX_TOKENS = 64  # of a longer turn the last ones: what comes last in it is what is asked
_MIN_TOKENS = 4


def last_question(tokenizer: Any, token_ids: Sequence[int]) -> slice:
    """The last line or paragraph of the last user turn, or of a text without turns.

    What the model's chat template puts behind a turn (`<|im_end|>`, `<|im_start|>assistant`) is not
    part of it.

    Args:
        tokenizer: a transformers tokenizer.
        token_ids: of the prompt, one or more.

    Returns:
        Its tokens, at most 64.
    """
    stop = len(token_ids) - _tail_length(tokenizer, token_ids)
    control = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    first = max(stop - _MAX_TOKENS, 0)
    for at in range(stop - _MIN_TOKENS - 1, first - 1, -1):
        if token_ids[at] in control or "\n" in tokenizer.decode([token_ids[at]]):
            return slice(at + 1, stop)
    return slice(first, max(stop, first + 1))


def _tail_length(tokenizer: Any, token_ids: Sequence[int]) -> int:
    """Tokens of the chat template's tail, where the prompt ends with it."""
    if tokenizer.chat_template is None:
        return 0
    try:
        tails = [split_template(tokenizer, SYSTEM, thinks=each)[-1] for each in (False, True)]
    except ModelError:  # a template that cannot be used has no tail that could be told
        return 0
    for tail in sorted(tails, key=len, reverse=True):
        tail_ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
        ends_with_it = list(token_ids[-len(tail_ids) :]) == list(tail_ids)
        if ends_with_it and len(tail_ids) < len(token_ids):
            return len(tail_ids)
    return 0
