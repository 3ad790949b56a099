"""What a session has to say while it works, and to whom."""

from __future__ import annotations


class Observer:
    """Told what a session does; subclasses take what they want, and the rest does nothing."""

    def progress(
        self, label: str, done: float = 0, total: float | None = None, unit: str = "tokens"
    ) -> None:
        """Some work is under way: so much of it is done, of so much in all where that is known."""

    def warning(self, text: str) -> None:
        """Something that does not end the run; one line."""

    def note(self, text: str) -> None:
        """Something that is no trouble; one line."""

    def piece(self, text: str) -> None:
        """Some text of the answer, as it came."""

    def end_answer(self) -> None:
        """The answer is whole; warnings about it follow."""

    def failure(self, error: Exception, text: str) -> None:  # noqa: ARG002
        """Something failed that costs no answer; called while the error is being handled.

        Args:
            error: what failed.
            text: the warning to give, one line.
        """
        self.warning(text)

    def password(self, name: str, tries: int) -> str | None:  # noqa: ARG002
        """The password of an encrypted document; None gives up.

        Args:
            name: the document's, printable.
            tries: how many passwords were wrong.
        """
        return None

    @property
    def asks_passwords(self) -> bool:
        """Whether `password` can give one."""
        return False


SILENT = Observer()
