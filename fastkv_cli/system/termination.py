"""Handling SIGTERM and SIGHUP: the program exits cleanly, so that temporary files are removed."""

from __future__ import annotations

import signal
import sys
from types import FrameType

_SIGNALS = ("SIGTERM", "SIGHUP")  # SIGHUP is sent when the terminal is closed


def clean_up_at_signals() -> None:
    """Exit with code 128 + n at these signals from now on, after cleaning up.

    A signal that is ignored, as under `nohup`, stays ignored.
    """
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit)


def _exit(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends a clean-up that hangs
    sys.exit(128 + number)
