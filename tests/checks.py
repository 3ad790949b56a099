"""Named checks: one test looks at a case in several ways, and a failure says in which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class Checks:
    """Collects the failed assertions of a test, each under the name of its check.

    with Checks() as check:
        with check("positions"):
            assert positions == sorted(positions)
        with check("bytes"):
            assert nbytes == expected

    All checks are made, also behind one that failed; the test fails at the end, with the names.
    Any other exception ends the test at once, with the name as a note.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            self.failures.append(f"[{name}] {error}")
        except BaseException as error:
            error.add_note(f"in the check [{name}]")
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None and self.failures:
            count = len(self.failures)
            raise AssertionError(f"checks that failed: {count}\n" + "\n".join(self.failures))
