"""The observer of a batch: progress, results and failures."""

from __future__ import annotations


class BatchObserver:
    """Receives the events of a batch; by default each method does nothing."""

    def progress(self, done: int, total: int, failed: int, pages: int) -> None:
        """So many documents are done or failed, of all; `pages` are those of the done ones."""

    def finding(self, number: int) -> None:
        """So many documents have been found."""

    def result(self, line: str) -> None:
        """The results of a document, as one line of JSON."""

    def failed(self, path: str, exit_code: int, message: str) -> None:
        """A document failed."""

    def note(self, text: str) -> None:
        """Information that is not a problem; one line."""


SILENT_BATCH = BatchObserver()
