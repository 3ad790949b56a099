"""The errors that users see, and their exit codes.

Every error says what is wrong (`message`) and what to do next (`hint`). `cli.app.main` prints both
on one line of stderr and exits with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes, as in the table of docs/reference.md and of `fastkv --help`."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    INPUT = 3
    ENCRYPTED = 4
    MODEL = 5
    MEMORY = 6
    CONTEXT = 7
    INCOMPLETE = 8
    OUTPUT = 9
    PARTLY = 10
    NOT_SUPPORTED = 11
    HANGUP = 129
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143

    @property
    def meaning(self) -> str:
        """A description in one line."""
        return _MEANINGS[self]


_MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "success",
    ExitCode.FAILURE: "an unexpected failure (run again with --debug for the traceback)",
    ExitCode.USAGE: "wrong usage: an option, a value or an argument",
    ExitCode.INPUT: "a document is missing, empty, broken, or holds no text",
    ExitCode.ENCRYPTED: "a PDF needs a password, or the one given is wrong",
    ExitCode.MODEL: "the model is unknown, unsupported, or missing while offline",
    ExitCode.MEMORY: "not enough memory",
    ExitCode.CONTEXT: "the question leaves no room for text in the model's window",
    ExitCode.INCOMPLETE: "--schema: the object does not fit --max-tokens; what fits is printed",
    ExitCode.OUTPUT: "the output could not be written",
    ExitCode.PARTLY: "some documents of a batch failed (failures.csv lists them)",
    ExitCode.NOT_SUPPORTED: "--strict: no answer that the document supports was found",
    ExitCode.HANGUP: "the terminal was closed (SIGHUP)",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.CLOSED_PIPE: "the reader of stdout closed the pipe",
    ExitCode.TERMINATED: "ended by SIGTERM",
}


class FastKVError(Exception):
    """An expected failure, with what is wrong and what to do next."""

    exit_code = ExitCode.FAILURE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.message}: {self.hint}" if self.hint else self.message
        return " ".join(text.split())


class UsageError(FastKVError):
    """An option or argument is out of range; the message names the value and the range."""

    exit_code = ExitCode.USAGE


class DocumentError(FastKVError):
    """A document cannot be read, or holds no text."""

    exit_code = ExitCode.INPUT


class EncryptedError(DocumentError):
    """A PDF needs a password, or another one than was given."""

    exit_code = ExitCode.ENCRYPTED


class ModelError(FastKVError):
    """A model cannot be found, downloaded, or run."""

    exit_code = ExitCode.MODEL


class OutOfMemoryError(FastKVError):
    """The memory of the machine is not enough."""

    exit_code = ExitCode.MEMORY


class ContextError(FastKVError):
    """A prompt does not fit the model's window."""

    exit_code = ExitCode.CONTEXT


class IncompleteError(FastKVError):
    """The object of a schema does not fit the limit of tokens; what was there is printed."""

    exit_code = ExitCode.INCOMPLETE

    def __init__(self, missing: Sequence[str], num_fields: int) -> None:
        names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        super().__init__(
            f"{len(missing)} of {num_fields} fields do not fit --max-tokens: {names}",
            "allow more with --max-tokens, or ask for fewer fields",
        )


class OutputError(FastKVError):
    """An output file cannot be written."""

    exit_code = ExitCode.OUTPUT


class InterruptedRunError(FastKVError):
    """The user pressed Ctrl-C."""

    exit_code = ExitCode.INTERRUPTED


class PartlyFailedError(FastKVError):
    """Some questions failed, each reported already; the exit code is that of the first."""

    def __init__(self, failures: Sequence[FastKVError], num_asked: int) -> None:
        super().__init__(f"{len(failures)} of {num_asked} questions could not be answered")
        self.exit_code = failures[0].exit_code


class PartlyDoneError(FastKVError):
    """Some documents of a batch failed, each reported already."""

    exit_code = ExitCode.PARTLY


class NotSupportedError(FastKVError):
    """Answers were refused because of --strict; each is reported already."""

    exit_code = ExitCode.NOT_SUPPORTED

    def __init__(self, num_refused: int, num_asked: int) -> None:
        what = "the answer was" if num_asked == 1 else f"{num_refused} of {num_asked} answers were"
        super().__init__(
            f"{what} refused: not supported by the document",
            "see the quotes under Sources, or leave out --strict",
        )


class ClosedPipeError(FastKVError):
    """The reader of stdout closed the pipe, so nothing is reported."""

    exit_code = ExitCode.CLOSED_PIPE


OUT_OF_MEMORY = OutOfMemoryError(
    "memory ran out", "try a smaller document or model, or raise ulimit -v"
)
# How libraries report that the system is out of memory: PyTorch's allocator; the dynamic linker,
# which cannot map a library under ulimit -v; and Python, which cannot map the stack of a thread.
_NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "failed to map segment",
    "can't start new thread",
)


def is_memory_error(error: BaseException) -> bool:
    """Whether an error, or one in its chain of causes, means that memory ran out."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or any(words in str(seen).lower() for words in _NO_MEMORY):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def as_failure(error: Exception) -> FastKVError:
    """The error to report: a FastKVError as it is, lack of memory, or an unexpected failure."""
    if isinstance(error, FastKVError):
        return error
    if is_memory_error(error):
        return OUT_OF_MEMORY
    what = ": ".join(filter(None, (type(error).__name__, str(error))))
    return FastKVError(f"unexpected {what}; run again with --debug, and please report it")
