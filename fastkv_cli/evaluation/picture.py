"""Pictures are drawn with matplotlib, which the extra `plots` installs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import UsageError


def check_matplotlib(picture: Path | None) -> None:
    """Find out whether a picture can be drawn, before any work is done; imports nothing heavy.

    Args:
        picture: the file to write; None where no picture is asked for.

    Raises:
        UsageError: where matplotlib is not installed.
    """
    if picture is not None and find_spec("matplotlib") is None:
        raise UsageError("a picture needs matplotlib", "pip install 'fastkv-cli[plots]'")
