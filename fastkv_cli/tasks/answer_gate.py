"""Hold back an answer until its first sentence was judged by the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..evidence import is_judged, not_in_document, support, why_not_found
from ..evidence.answered import MIN_SUPPORT
from ..evidence.quotes import find_passages
from ..stats import MAX_QUOTES, Verdict
from .corpus import Corpus
from .sentences import find_sentences
from .work import Outcome

_MAX_PIECES = 64  # judged then, even if the first sentence has not ended
_MAX_GUESS = 200  # characters of the answer in a warning
_UNSUPPORTED = "the passages under Sources do not say this: check it there"


class AnswerGate:
    """Buffers an answer until its first sentence is judged; replaces it where none was found.

    Output cannot be taken back, least of all in a pipe. So nothing is shown before it is known
    whether the documents are about the question, which does not depend on the answer, and whether
    they say what its first sentence says: if not, the question can be put again to other passages.
    After the first sentence, pieces pass through. A strict gate shows nothing but a whole answer
    that is supported, or a refusal.
    """

    def __init__(self, question: str, corpus: Corpus, *, enabled: bool, strict: bool) -> None:
        """Judge the question; if not enabled, every piece passes through."""
        self._question, self._corpus = question, corpus
        self._enabled, self._strict = enabled, strict
        self._reason = ""
        self._failure: Exception | None = None
        self._is_judged = False
        self._attention: Sequence[float] | None = None
        self._may_retry = False
        self._verdict: Verdict | None = None
        self._restart()
        if not enabled:
            return
        try:
            self._is_judged = is_judged(question, corpus.index)
            if self._is_judged:
                self._reason = why_not_found(question, corpus.segment_index)
        except Exception as error:  # noqa: BLE001 (a failing check must not cost the answer)
            self._fail(error)

    def begin(self, attention: Sequence[float] | None, *, may_retry: bool) -> None:
        """Expect an answer.

        Args:
            attention: the model's to each segment of the corpus; None if not measured.
            may_retry: whether an unsupported one can be replaced by another one.
        """
        self._attention, self._may_retry = attention, may_retry
        self._restart()

    @property
    def is_closed(self) -> bool:
        """Whether this answer will not be shown, so that the rest of it is not needed."""
        return bool(self._text) and (self.wants_retry or (bool(self._reason) and self._is_ready))

    @property
    def wants_retry(self) -> bool:
        """Whether this answer is unsupported, and another one can replace it."""
        return self._may_retry and self._verdict is Verdict.UNSUPPORTED

    def push(self, text: str) -> str:
        """Add a piece of the answer; returns the text to show."""
        self._text += text
        self._num_pieces += 1
        if self._passes_through:
            return text
        if self._strict or not self._is_ready:
            return ""
        return self._judge()

    def end(self) -> str:
        """Finish the answer; returns the text still to show."""
        return "" if self._passes_through or self._has_ended else self._judge(is_whole=True)

    def conclude(self, outcome: Outcome) -> Outcome:
        """Add the verdict to the outcome."""
        if self._is_judged and not self._reason and self._failure is None:
            self._verdict = self._verdict_of(self._text)
        outcome = replace(
            outcome,
            question=self._question,
            verdict=self._verdict,
            found=not self._reason if self._enabled and self._failure is None else None,
            check_failure=self._failure,
            attention=self._attention,
        )
        refusal = self._refusal
        if not refusal:
            unsupported = self._verdict is Verdict.UNSUPPORTED
            added = (_UNSUPPORTED,) if unsupported else ()
            return replace(outcome, warnings=(*outcome.warnings, *added))
        guess = " ".join(self._text.split())
        cut = guess if len(guess) <= _MAX_GUESS else f"{guess[:_MAX_GUESS]}…"
        reason = self._reason or "no passage says what the answer says"
        return replace(
            outcome,
            generation=replace(outcome.generation, text=refusal),
            warnings=(f"{reason}; the model would say: {cut}",),
            reason=reason,
            guess=guess,
        )

    def _restart(self) -> None:
        self._text, self._num_pieces = "", 0
        self._verdict = None
        self._passes_through = not self._enabled
        self._has_ended = False

    @property
    def _is_ready(self) -> bool:
        return self._num_pieces >= _MAX_PIECES or len(find_sentences(self._text)) > 1

    @property
    def _refusal(self) -> str:
        """The text shown instead of the answer; it claims no more than was found out."""
        if self._reason:
            return refusal(self._corpus)
        if self._strict and self._verdict is not Verdict.SUPPORTED and self._is_judged:
            return refusal(self._corpus, "supported answer")
        return ""

    def _judge(self, *, is_whole: bool = False) -> str:
        """Judge what there is; returns the buffered answer, or its replacement."""
        if self._reason:
            self._verdict = Verdict.NOT_FOUND
        elif self._is_judged and self._failure is None:
            sentences = find_sentences(self._text)
            said = self._text if self._strict or not sentences else sentences[0].text
            self._verdict = self._verdict_of(said)
        if self.wants_retry:
            return ""
        if refusal := self._refusal:
            is_first, self._has_ended = not self._has_ended, True
            return refusal if is_first else ""
        self._passes_through, self._has_ended = True, is_whole
        return self._text

    def _verdict_of(self, said: str) -> Verdict | None:
        """Whether the documents say what is said."""
        question, index = self._question, self._corpus.segment_index
        try:
            sentences = find_sentences(said)
            first = sentences[0].text if sentences else said
            passages = find_passages(
                question, index, MAX_QUOTES, answer=first, attention=self._attention
            )
            texts = [index.text_of(passage.first, passage.last) for passage in passages]
            is_held = support(first, question, texts, index.index) >= MIN_SUPPORT
            is_held = is_held and not not_in_document(said, question, index.index)
        except Exception as error:  # noqa: BLE001 (a failing check must not cost the answer)
            self._fail(error)
            return None
        return Verdict.SUPPORTED if is_held else Verdict.UNSUPPORTED

    def _fail(self, error: Exception) -> None:
        self._failure, self._reason = error, ""


def refusal(corpus: Corpus, what: str = "answer") -> str:
    """What stands in the place of an answer that the documents do not hold."""
    return f"No {what} found in the document{'s' if len(corpus.documents) > 1 else ''}."
