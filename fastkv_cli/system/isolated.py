"""Starts Python child processes, which import what this one does but never from a user's folder.

`python -m NAME` puts the current folder first on the import path: in a folder of downloads, a file
called pip.py would be run. So a child is started in isolated mode (`-I`: no current folder, no
PYTHONPATH or other PYTHON* variables, no user site), in the root folder, with this process's own
import path without the current folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, suppress
from pathlib import Path
from typing import IO

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from fastkv_cli.system.isolated import end_with_parent; end_with_parent(); "
    "import runpy; module = sys.argv[2]; del sys.argv[1:3]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
_PR_SET_PDEATHSIG = 1  # Linux, prctl(2)

StandardStream = int | IO[bytes] | None


def start_module(
    module: str,
    arguments: Sequence[str] = (),
    *,
    stdin: StandardStream = subprocess.DEVNULL,
    stdout: StandardStream = subprocess.PIPE,
    stderr: StandardStream = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments` where no file of the current folder can be imported.

    Args:
        module: a module or package that this process can import.
        arguments: the module's command-line arguments.
        stdin: as for `subprocess.Popen`.
        stdout: as for `subprocess.Popen`.
        stderr: as for `subprocess.Popen`.
        environment: the child's environment; None is this process's.

    Raises:
        OSError: when the process cannot be started.
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
    """Keep modules and programs in the current folder from being run, by libraries, too.

    The folder is removed from the import path, where `python -m fastkv_cli` and an empty part of
    PYTHONPATH put it, unless the package lies there. Libraries look for programs (uname, fc-list,
    gcc, jbig2dec) on PATH, where a dot or an empty part also means the current folder, and tqdm may
    start a Python through multiprocessing. So both variables keep only their absolute parts, for
    all children.
    """
    sys.path[:] = _without_current(sys.path)
    os.environ["PYTHONSAFEPATH"] = "1"
    for name, keep in (("PATH", list), ("PYTHONPATH", _without_current)):
        parts = os.environ.get(name, "").split(os.pathsep)
        kept = keep([part for part in parts if Path(part).is_absolute()])
        os.environ.pop(name, None)  # an empty PATH would mean the current folder
        if kept:
            os.environ[name] = os.pathsep.join(kept)


@contextmanager
def outside_current_folder() -> Iterator[None]:
    """Work in the root folder, for a library that reads settings from the current folder.

    matplotlib prefers a file called matplotlibrc in the current folder to all others; that file can
    make it run TeX with any preamble.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # the current folder was deleted: nothing can be read from it
            stack.enter_context(chdir(Path.cwd().anchor))
        yield


@contextmanager
def existing_folder() -> Iterator[None]:
    """Work in the root folder if the current folder was deleted.

    Importing torch from a folder without a path ends the process: "Intel oneMKL FATAL ERROR:
    Cannot load libtorch_cpu.so"; transformers asks for the path, too. Afterwards the deleted folder
    is the current one again, so that relative paths fail as they should.
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
    """End this process as soon as its parent ends, where the system supports it.

    On Linux the kernel does it, even while a long regular expression blocks all threads.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)


def claim_stdout() -> int:
    """A descriptor for messages alone; whatever libraries print to stdout is discarded."""
    out = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return out


def _path_for_child() -> str:
    return json.dumps(_without_current(sys.path))


def _without_current(import_path: Sequence[str]) -> list[str]:
    """Make an import path absolute, and drop the current folder unless the package lies there."""
    try:
        current = Path.cwd().resolve()
    except OSError:  # the current folder was deleted: nothing can be imported from it
        return [folder for folder in import_path if Path(folder).is_absolute()]
    folders = [Path(folder).absolute() for folder in import_path]
    is_ours = current == _PACKAGE_ROOT
    return [str(folder) for folder in folders if is_ours or folder.resolve() != current]
