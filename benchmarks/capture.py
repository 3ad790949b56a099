"""Run commands in a terminal of 80 columns, as a user would, and draw the screen as an SVG.

    python benchmarks/capture.py docs/demo.svg "fastkv summarize a.pdf" "fastkv ask b.txt 'Why?'"

The pictures in the README are made with this, from real runs.
"""

from __future__ import annotations

import io
import os
import pty
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 80
_WEB_FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def run(command: str) -> str:
    """Everything that a command writes to a terminal, including escape sequences."""
    written = io.BytesIO()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        written.write(data)
        return data

    os.environ |= {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "TTY_INTERACTIVE": "0"}
    pty.spawn(["/bin/sh", "-c", command], read)
    return written.getvalue().decode().replace("\r\n", "\n")


def main(path: str, *commands: str) -> None:
    """Run the commands one after the other and draw them as one picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    for command in commands:
        console.print(Text.assemble(("$ ", "bold green"), command))
        console.print(Text.from_ansi(run(command)))
    svg = console.export_svg(title="fastkv", theme=MONOKAI)
    Path(path).write_text(_WEB_FONT.sub("", svg), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
