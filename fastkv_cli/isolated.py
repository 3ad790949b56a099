"""Python processes of our own: they import what this one does, and never from a user's folder.

`python -m NAME` puts the current folder first on the import path: in a folder of downloads, a file
called pip.py would be run. So a child is started in isolated mode (`-I`: no current folder, no
PYTHONPATH or other PYTHON* variables, no user site), in the root folder, with this process's own
import path less the current folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "import runpy; module = sys.argv[2]; del sys.argv[1:3]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
_PR_SET_PDEATHSIG = 1  # Linux, prctl(2)

Stream = int | IO[bytes] | None


def start_module(
    module: str,
    arguments: Sequence[str] = (),
    *,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.PIPE,
    stderr: Stream = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments` where no file of the current folder can be imported.

    Args:
        module: a module or package that this process can import.
        arguments: behind its name.
        stdin: as for `subprocess.Popen`, as are the next two.
        stdout: see there.
        stderr: see there.
        environment: its environment; None is this process's.

    Raises:
        OSError: when the system gives no process.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-c", _START, _path_for_child(), module, *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        cwd=Path(sys.executable).anchor or None,
    )


def forget_current_folder() -> None:
    """Take the current folder off this process's import path, unless the package lies there.

    `python -m fastkv_cli` has it in front.
    """
    sys.path[:] = _safe_path()


@contextlib.contextmanager
def existing_folder() -> Iterator[None]:
    """Be in the root folder for a while, where the current folder was deleted.

    Importing torch from a folder without a path ends the process: "Intel oneMKL FATAL ERROR:
    Cannot load libtorch_cpu.so"; transformers asks for the path as well. Afterwards relative
    paths lead nowhere again, as they should.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        deleted = os.open(os.curdir, os.O_RDONLY)
        try:
            os.chdir(os.sep)
            yield
        finally:
            os.fchdir(deleted)
            os.close(deleted)
    else:
        yield


def end_with_parent() -> None:
    """End this process as soon as the one that started it ends; where the system can do that.

    On Linux the kernel does it, also while a long regular expression keeps all threads waiting.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended in between
        os._exit(1)


def _path_for_child() -> str:
    return json.dumps(_safe_path())


def _safe_path() -> list[str]:
    """The import path without the current folder; absolute."""
    try:
        current = Path.cwd().resolve()
    except OSError:  # it was deleted: nothing can be imported from it
        return [folder for folder in sys.path if folder]
    folders = [Path(folder).absolute() for folder in sys.path]
    is_ours = current == _PACKAGE_ROOT
    return [str(folder) for folder in folders if is_ours or folder.resolve() != current]
