"""Checks of a prompt's token ids."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ContextError, UsageError


def check_prompt(ids: Sequence[int], vocabulary: int, max_context: int) -> None:
    """Raise an error unless a prompt is one that a model can take.

    Args:
        ids: its tokens.
        vocabulary: number of token ids.
        max_context: the model's window, prompt and answer together.

    Raises:
        UsageError: when it is empty or holds an id that the vocabulary lacks.
        ContextError: when it leaves no room in the window.
    """
    if not ids:
        raise UsageError("the prompt is empty", "give at least one token")
    if min(ids) < 0 or max(ids) >= vocabulary:
        raise UsageError(
            "the prompt holds a token id out of range", f"ids are 0 to {vocabulary - 1}"
        )
    if len(ids) >= max_context:
        raise ContextError(
            f"the prompt of {len(ids):,} tokens does not fit the model's window",
            f"it holds {max_context:,} tokens, the answer counted in",
        )
