"""The observer of a session: progress, warnings and pieces of the answer."""

from __future__ import annotations


class Observer:
    """Receives the events of a session; by default each method does nothing."""

    def progress(
        self, label: str, done: float = 0, total: float | None = None, unit: str = "tokens"
    ) -> None:
        """A stage made progress: `done` of `total` units; the total is None if unknown."""

    def warning(self, text: str) -> None:
        """A problem that does not end the run; one line."""

    def note(self, text: str) -> None:
        """Information that is not a problem; one line."""

    def piece(self, text: str) -> None:
        """The next piece of the answer's text."""

    def thought(self, text: str, num_tokens: int, most: int) -> None:
        """The next piece of what the model thinks before it answers.

        Args:
            text: the piece, possibly empty.
            num_tokens: tokens it has thought so far.
            most: the most tokens it may think.
        """

    def end_answer(self) -> None:
        """The answer is complete; warnings about it may follow."""

    def failure(self, error: Exception, text: str) -> None:  # noqa: ARG002
        """A failure that does not cost an answer; called while the error is being handled.

        Args:
            error: what failed.
            text: the warning to print, one line.
        """
        self.warning(text)

    def password(self, name: str, tries: int) -> str | None:  # noqa: ARG002
        """The password of an encrypted document; None gives up.

        Args:
            name: the document's name, printable.
            tries: number of wrong passwords so far.
        """
        return None

    @property
    def asks_passwords(self) -> bool:
        """Whether `password` can return one."""
        return False


SILENT = Observer()
