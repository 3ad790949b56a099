"""Shell completion scripts: `python -m fastkv_cli.cli.completions [FOLDER]` writes them.

They contain no names: at TAB the shell runs `fastkv` itself, so that it can offer models on disk.
"""

from __future__ import annotations

import sys
from pathlib import Path

from typer.completion import get_completion_script  # type: ignore[attr-defined]

_PROGRAM = "fastkv"
_FILES = {"bash": "fastkv.bash", "zsh": "_fastkv", "fish": "fastkv.fish"}
# End of a zsh script that works both sourced and as a file in fpath.
_ZSH_SOURCED = "compdef _fastkv_completion fastkv"
_ZSH_EITHER = f"""if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _fastkv_completion "$@"
else
  {_ZSH_SOURCED}
fi"""

# bash breaks words at colons, which names of models have (ollama:qwen3:4b): they are joined again,
# and what stands before the last colon is taken off the replies, as bash does not replace it.
_BASH = r"""_fastkv_completion() {
    local IFS=$'\n' words=() cword=-1 word joins=""
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ $COMP_WORDBREAKS == *:* && $cword -ge 0 && ( $word == :* || $joins ) ]]; then
            words[cword]+=$word
        else
            words[++cword]=$word
        fi
        [[ $word == *: ]] && joins=1 || joins=""
    done
    COMPREPLY=( $( env COMP_WORDS="${words[*]}" \
                   COMP_CWORD=$cword \
                   _FASTKV_COMPLETE=complete_bash $1 ) )
    word=${words[cword]}
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=( "${COMPREPLY[@]#"${word%"${word##*:}"}"}" )
    fi
    return 0
}

complete -o default -F _fastkv_completion fastkv"""


def completion_scripts() -> dict[str, str]:
    """The scripts by file name, as their shells expect it."""
    return {name: _script(shell) for shell, name in _FILES.items()}


def write_completions(folder: Path) -> None:
    """Write the scripts into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in completion_scripts().items():
        (folder / name).write_text(script, encoding="utf-8", newline="\n")


def _script(shell: str) -> str:
    if shell == "bash":
        return _BASH + "\n"
    script = get_completion_script(
        prog_name=_PROGRAM, complete_var=f"_{_PROGRAM.upper()}_COMPLETE", shell=shell
    ).strip()  # zsh needs #compdef on the first line
    if shell == "zsh":
        script = script.replace(_ZSH_SOURCED, _ZSH_EITHER)
    return script + "\n"


if __name__ == "__main__":
    write_completions(Path(sys.argv[1] if len(sys.argv) > 1 else "completions"))
