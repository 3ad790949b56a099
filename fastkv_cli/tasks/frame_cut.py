"""End an answer where the model begins to write the prompt's frame."""

from __future__ import annotations

from ..prompts.prompt import FRAME_MARKS

_LONGEST = max(map(len, FRAME_MARKS))


class FrameCut:
    """Passes an answer on up to the first mark of the frame, such as `</document>`.

    A small model imitates its prompt. What could be the beginning of a mark is held back until it
    is known whether it is one.

    Attributes:
        text: what was passed on.
        is_cut: whether there was a mark.
    """

    def __init__(self) -> None:
        self.text, self._held = "", ""
        self.is_cut = False

    def push(self, text: str) -> str:
        """Add a piece; returns what can be passed on."""
        if self.is_cut:
            return ""
        held = self._held + text
        found = [at for mark in FRAME_MARKS if (at := held.find(mark)) >= 0]
        if found:
            self.is_cut, self._held = True, ""
            return self._pass(held[: min(found)].rstrip())
        most = range(min(_LONGEST - 1, len(held)), 0, -1)
        tail = next((size for size in most if _may_begin(held[-size:])), 0)
        self._held = held[len(held) - tail :]
        return self._pass(held[: len(held) - tail])

    def end(self) -> str:
        """Finish the answer; returns what was held back."""
        held, self._held = self._held, ""
        return self._pass(held)

    def _pass(self, text: str) -> str:
        self.text += text
        return text


def _may_begin(text: str) -> bool:
    return any(mark.startswith(text) for mark in FRAME_MARKS)
