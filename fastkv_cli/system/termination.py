"""SIGTERM and SIGHUP: the program ends as with an error, so that temporary files go."""

from __future__ import annotations

import signal
import sys
from types import FrameType

_SIGNALS = ("SIGTERM", "SIGHUP")  # the second is that of a terminal that is closed


def clean_up_at_signals() -> None:
    """From here on, end with the exit code 128 + n at these signals, and on the way clean up.

    A signal that is ignored, as `nohup` has it, stays so.
    """
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)


def _leave(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # sent again, it ends a clean-up that hangs
    sys.exit(128 + number)
