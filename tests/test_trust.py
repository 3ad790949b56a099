"""A cache that others can write to is not believed, and no link in it is followed to a chmod."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Capture

from fastkv_cli.cli.app import run
from fastkv_cli.cli.chat.line_input import _open_history
from fastkv_cli.engine.tuning import load_tuning, tuning_json, tuning_path
from fastkv_cli.errors import FastKVError, OutputError
from fastkv_cli.store.journal import Journal
from fastkv_cli.system.trust import open_private, why_untrusted

pytestmark = pytest.mark.skipif(os.name == "nt", reason="owners of POSIX")
STRANGER = 12345


def give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files to others")
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def open_to_all(path: Path) -> None:
    path.chmod(0o777)


SPOIL: dict[str, tuple[Callable[[Path], None], str]] = {
    "another's": (give_away, f"belongs to another user (uid {STRANGER})"),
    "open to all": (open_to_all, "can be written by all users"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_what_is_the_user_s_own(home: Path) -> None:
    assert why_untrusted(home) == why_untrusted(home / "missing") == ""
    home.chmod(0o775)  # as a umask of 002 makes it
    assert why_untrusted(home) == ""
    home.chmod(0o1777)  # as /tmp
    assert why_untrusted(home) == ""
    (home / "moved").symlink_to(home)  # to another disk
    assert why_untrusted(home / "moved") == ""
    give_away(home / "moved")
    assert "belongs to another user" in why_untrusted(home / "moved")


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
@pytest.mark.parametrize("which", ["home", "states"])
def test_states_are_neither_taken_nor_kept(
    options: list[str],
    home: Path,
    capfd: Capture,
    spoil: tuple[Callable[[Path], None], str],
    which: str,
) -> None:
    Path("a.txt").write_text("The committee met 14 times in 1999, and 3 times in 1998.\n" * 30)
    asked = ["ask", "a.txt", "Who met?", "--json", "--no-check", *options]
    assert run(asked) == 0
    kept = list((home / "states").glob("*.safetensors"))
    assert len(kept) == 1
    used = kept[0].stat().st_mtime_ns
    capfd.readouterr()
    spoil[0](home if which == "home" else home / "states")
    assert run(asked) == 0
    stdout, stderr = capfd.readouterr()
    folder = home if which == "home" else home / "states"
    assert f"{folder} {spoil[1]}" in stderr.replace("\n", "")
    assert any(str(folder) in warning for warning in json.loads(stdout)["warnings"])
    assert stderr.count("no state is read from it") == 1
    assert kept[0].stat().st_mtime_ns == used
    assert run(["cache", "ls"]) == 0
    assert spoil[1] in capfd.readouterr().err


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_journals_and_tuned_files(home: Path, spoil: tuple[Callable[[Path], None], str]) -> None:
    with Journal("kind", {}) as journal:
        journal.add("one", {"score": 1})
    path = tuning_path("heads", "abc")
    path.parent.mkdir()
    path.write_text(tuning_json("org/name", "abc", {"scores": [[0.5]]}), encoding="utf-8")
    assert load_tuning("org/name", "abc").head_scores == ((0.5,),)
    for folder in (home / "kind", path.parent):
        spoil[0](folder)
    with pytest.raises(OutputError, match="set FASTKV_HOME") as refused, Journal("kind", {}):
        pass
    assert spoil[1] in str(refused.value)
    with pytest.raises(FastKVError) as distrusted:
        load_tuning("org/name", "abc")
    assert spoil[1] in str(distrusted.value)


@pytest.mark.parametrize("kind", ["link", "dangling link", "another's", "pipe"])
def test_a_chat_history_that_is_no_file_of_the_user_s(home: Path, kind: str) -> None:
    history, target = home / "chat-history", home / "target"
    target.write_text("not ours to change")
    target.chmod(0o644)
    if kind == "another's":
        history.write_text("")
        history.chmod(0o666)
        give_away(history)
    elif kind == "pipe":
        os.mkfifo(history)
    else:
        history.symlink_to(target if kind == "link" else home / "nowhere")
    told: list[str] = []
    _open_history(history, told.append).append_string("a question")
    [warning] = told
    assert warning.startswith(f"cannot write {history} (it ")
    assert warning.endswith("): the chat history is not saved")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert target.read_text() == "not ours to change"
    assert not (home / "nowhere").exists()


def test_a_history_of_the_user_s_own_is_closed_to_others(home: Path) -> None:
    history = home / "chat-history"
    history.write_text("")
    history.chmod(0o664)
    os.close(open_private(history))
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
