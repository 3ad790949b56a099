"""An answer that is shown once its first sentence was looked up in the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..documents import Document
from ..evidence import Index, index_documents, why_not_found
from .sentences import find_sentences
from .work import Outcome

_MAX_PIECES = 64  # of an answer whose first sentence does not end
_MAX_GUESS = 200  # characters of it in a warning


class Withheld:
    """Holds an answer back until its first sentence is there, and for good where that cannot be.

    What was shown cannot be taken back, least of all in a pipe, so nothing is before it is known
    whether the documents can hold it. Behind the first sentence an answer comes as it grows.
    """

    def __init__(self, question: str, documents: Sequence[Document], *, enabled: bool) -> None:
        """Hold nothing yet; where not enabled, never do."""
        self._question, self._documents = question, documents
        self._is_open = not enabled
        self._enabled = enabled
        self._text = ""
        self._num_pieces = 0
        self._reason = ""
        self._failure: Exception | None = None
        self._index: Index | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the documents cannot hold what the answer says."""
        return bool(self._reason)

    @property
    def _instead(self) -> str:
        """What is said in place of an answer that is refused: no more than is known."""
        return f"No answer found in the document{'s' if len(self._documents) > 1 else ''}."

    def push(self, text: str) -> str:
        """Add some of the answer; gives what may be shown."""
        if self._is_open:
            return text
        self._text += text
        self._num_pieces += 1
        is_ready = self._num_pieces >= _MAX_PIECES or len(find_sentences(self._text)) > 1
        return self._judge() if is_ready and not self.is_refused else ""

    def end(self) -> str:
        """The answer is over; gives what may be shown of what was held back."""
        return "" if self._is_open or self.is_refused else self._judge()

    def conclude(self, outcome: Outcome) -> Outcome:
        """The outcome with what became of the answer."""
        outcome = replace(
            outcome,
            question=self._question,
            found=not self.is_refused if self._enabled and self._failure is None else None,
            check_failure=self._failure,
            index=self._index,
        )
        if not self.is_refused:
            return outcome
        guess = " ".join(self._text.split())
        cut = guess if len(guess) <= _MAX_GUESS else f"{guess[:_MAX_GUESS]}…"
        warning = f"{self._reason}; the model would say: {cut}"
        return replace(
            outcome,
            generation=replace(outcome.generation, text=self._instead),
            warnings=(warning,),
            reason=self._reason,
            guess=guess,
        )

    def _judge(self) -> str:
        """What is shown once the first sentence is there: all there is, or something else."""
        sentences = find_sentences(self._text)
        if sentences:
            try:
                self._index = index_documents(self._documents)
                self._reason = why_not_found(sentences[0].text, self._question, self._index)
            except Exception as error:  # noqa: BLE001 (a fault of the check costs no answer)
                self._failure = error
        if self.is_refused:
            return self._instead
        self._is_open = True
        return self._text
