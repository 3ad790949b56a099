"""The scripts that let shells complete `fastkv`: `python -m fastkv_cli.cli.completions [FOLDER]`.

They hold no names: at TAB the shell asks `fastkv` itself, so that models on disk are among what it
offers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from typer.completion import get_completion_script  # type: ignore[attr-defined]

_PROGRAM = "fastkv"
_FILES = {"bash": "fastkv.bash", "zsh": "_fastkv", "fish": "fastkv.fish"}
# The end of a zsh script that works both when it is sourced and when it lies in fpath.
_ZSH_SOURCED = "compdef _fastkv_completion fastkv"
_ZSH_EITHER = f"""if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _fastkv_completion "$@"
else
  {_ZSH_SOURCED}
fi"""


def completion_scripts() -> dict[str, str]:
    """The scripts, by the names that their shells look for."""
    return {name: _script(shell) for shell, name in _FILES.items()}


def write_completions(folder: Path) -> None:
    """Write the scripts into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in completion_scripts().items():
        (folder / name).write_text(script, encoding="utf-8", newline="\n")


def _script(shell: str) -> str:
    script = get_completion_script(
        prog_name=_PROGRAM, complete_var=f"_{_PROGRAM.upper()}_COMPLETE", shell=shell
    ).strip()  # zsh wants its #compdef on the first line
    if shell == "zsh":
        script = script.replace(_ZSH_SOURCED, _ZSH_EITHER)
    return script + "\n"


if __name__ == "__main__":
    write_completions(Path(sys.argv[1] if len(sys.argv) > 1 else "completions"))
