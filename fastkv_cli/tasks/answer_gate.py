"""Hold back an answer until its first sentence was checked against the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..documents import Document
from ..evidence import Index, index_documents, why_not_found
from .sentences import find_sentences
from .work import Outcome

_MAX_PIECES = 64  # checked then, even if the first sentence has not ended
_MAX_GUESS = 200  # characters of the answer in a warning


class AnswerGate:
    """Buffers an answer until its first sentence is checked; suppresses it if unsupported.

    Output cannot be taken back, least of all in a pipe, so nothing is shown before it is known
    whether the documents can contain the answer. After the first sentence, pieces pass through.
    """

    def __init__(self, question: str, documents: Sequence[Document], *, enabled: bool) -> None:
        """Create a gate; if not enabled, every piece passes through unchecked."""
        self._question, self._documents = question, documents
        self._passes_through = not enabled
        self._enabled = enabled
        self._text = ""
        self._num_pieces = 0
        self._reason = ""
        self._failure: Exception | None = None
        self._index: Index | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the documents cannot contain the answer."""
        return bool(self._reason)

    @property
    def _replacement(self) -> str:
        """The text shown instead of a refused answer; it claims no more than was found out."""
        return f"No answer found in the document{'s' if len(self._documents) > 1 else ''}."

    def push(self, text: str) -> str:
        """Add a piece of the answer; returns the text to show."""
        if self._passes_through:
            return text
        self._text += text
        self._num_pieces += 1
        is_ready = self._num_pieces >= _MAX_PIECES or len(find_sentences(self._text)) > 1
        return self._check() if is_ready and not self.is_refused else ""

    def end(self) -> str:
        """Finish the answer; returns the text still to show."""
        return "" if self._passes_through or self.is_refused else self._check()

    def conclude(self, outcome: Outcome) -> Outcome:
        """Add the result of the check to the outcome."""
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
            generation=replace(outcome.generation, text=self._replacement),
            warnings=(warning,),
            reason=self._reason,
            guess=guess,
        )

    def _check(self) -> str:
        """Check the first sentence; returns the buffered answer, or its replacement."""
        sentences = find_sentences(self._text)
        if sentences:
            try:
                self._index = index_documents(self._documents)
                self._reason = why_not_found(sentences[0].text, self._question, self._index)
            except Exception as error:  # noqa: BLE001 (a failing check must not cost the answer)
                self._failure = error
        if self.is_refused:
            return self._replacement
        self._passes_through = True
        return self._text
