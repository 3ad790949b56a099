"""The lines a user types: at a terminal with editing and history, through a pipe one by one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...errors import UsageError
from ...system.trust import check_trusted, open_private

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.key_binding.key_processor import KeyPressEvent

_PROMPT, _MORE = "> ", "… "
_CONTINUES = "\\"
_MAX_BYTES = 2**20  # of a line: longer than any question, far below the memory


class Input(Protocol):
    """A source of questions and commands."""

    def read(self) -> str:
        """The next question or command, of one or more lines.

        Raises:
            EOFError: at the end of the input.
            KeyboardInterrupt: at Ctrl-C.
        """
        ...


class PipedInput:
    """Standard input as lines; a backslash at the end of a line joins the next one to it."""

    def read(self) -> str:
        """The next line, with the lines that continue it.

        Raises:
            EOFError: at the end of the input.
            UsageError: when a line is longer than 1 MiB.
        """
        lines = [self._line()]
        with suppress(EOFError):
            while lines[-1].endswith(_CONTINUES):
                lines[-1] = lines[-1].removesuffix(_CONTINUES)
                lines.append(self._line())
        return "\n".join(lines)

    @staticmethod
    def _line() -> str:
        if sys.stdin is None:
            raise EOFError
        line = sys.stdin.buffer.readline(_MAX_BYTES + 1)
        if not line:
            raise EOFError
        if len(line) > _MAX_BYTES:
            while line and not line.endswith(b"\n"):  # its rest is not another question
                line = sys.stdin.buffer.readline(_MAX_BYTES)
            raise UsageError(f"a line is longer than {_MAX_BYTES:,} bytes", "shorten it")
        return line.decode("utf-8-sig", "replace").rstrip("\r\n")


class TerminalInput:
    """A prompt on stderr that can be edited over several lines."""

    def __init__(
        self, history: Path | None, commands: Iterable[str], warn: Callable[[str], None]
    ) -> None:
        """Set up the prompt.

        Args:
            history: the file with the lines of earlier conversations; None saves none.
            commands: completed by TAB.
            warn: called with one line if the file cannot be used.
        """
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.output import create_output
        from prompt_toolkit.output.vt100 import Vt100_Output
        from prompt_toolkit.shortcuts import CompleteStyle

        output = create_output(stdout=sys.stderr)
        if isinstance(output, Vt100_Output):
            # prompt_toolkit would ask the terminal for its cursor position. Not every terminal
            # answers, and keys typed meanwhile would mix with the reply.
            output.enable_cpr = False
        self._session: PromptSession[str] = PromptSession(
            message=[("bold", _PROMPT)],
            multiline=True,
            prompt_continuation=_MORE,
            key_bindings=_bind_keys(),
            history=_open_history(history, warn),
            completer=WordCompleter(list(commands), sentence=True),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
            enable_suspend=True,
            output=output,
        )

    def read(self) -> str:
        """The lines typed until Enter.

        Raises:
            EOFError: at Ctrl-D.
            KeyboardInterrupt: at Ctrl-C on an empty line.
        """
        return self._session.prompt()


def _bind_keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith(_CONTINUES):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _start_new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _clear_or_interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt())

    @keys.add("<vt100-mouse-event>")
    def _ignore_mouse(event: KeyPressEvent) -> None:
        """Ignore mouse events: colour sequences in pasted text look like them."""

    return keys


def _open_history(path: Path | None, warn: Callable[[str], None]) -> History:
    """The history of typed lines, in a file that only its owner can read."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class PrivateHistory(FileHistory):
        """Continues without the file if it can no longer be written."""

        def store_string(self, string: str) -> None:
            with suppress(OSError):
                super().store_string(string.encode("utf-8", "replace").decode())

    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_trusted(path.parent)
        os.close(open_private(path))
        return PrivateHistory(str(path))
    except OSError as error:
        warn(f"cannot write {path} ({error.strerror}): the chat history is not saved")
        return InMemoryHistory()
