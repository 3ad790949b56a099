"""`fastkv cache` from end to end: what is kept is listed, checked and removed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from processes import Capture, Terminal, finish, start, start_at_terminal

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode
from fastkv_cli.store import StateSpec, StateStore, TensorSpec

DAY_S = 86_400
TENSORS = {"hidden": TensorSpec("BF16", (40, 16))}
INT8 = {"hidden.scale": TensorSpec("BF16", (1, 16)), "hidden": TensorSpec("I8", (40, 16))}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateStore:
    """The store of the command line, which is empty."""
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    return StateStore(tmp_path / "home" / "states", 10**9)


def keep(
    store: StateStore,
    *documents: str,
    days_ago: float = 0,
    tensors: dict[str, TensorSpec] = TENSORS,
) -> Path:
    """Keep a state of documents that was last used so many days ago."""
    spec = StateSpec({"text": " ".join(documents), "model": "tiny"}, tensors, documents, 1234)
    writer = store.record(spec)
    assert writer is not None
    with writer:
        for name, tensor in tensors.items():
            writer.add(name, bytes(tensor.nbytes))
        assert writer.commit()
    path = store.folder / f"{spec.digest}.safetensors"
    when = path.stat().st_mtime - DAY_S * days_ago
    os.utime(path, (when, when))
    return path


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def outcome(arguments: str, capfd: Capture) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a run."""
    capfd.readouterr()
    code = run(["cache", *arguments.split()])
    return code, *capfd.readouterr()


def kept(store: StateStore) -> list[str]:
    return [entry.title for entry in store.entries()]


def test_its_help_says_what_there_is(capfd: Capture) -> None:
    code, stdout, stderr = outcome("", capfd)
    assert (code, stderr) == (ExitCode.USAGE, "fastkv: no command given: try fastkv cache ls\n")
    assert outcome("--help", capfd)[1].strip() == stdout.strip()
    assert re.findall(r"│ (\w+)  +[A-Z]", stdout) == ["ls", "rm", "prune", "path", "verify"]
    assert "FASTKV_STORE_LIMIT" in stdout
    for command, options in (
        ("ls", "--json --quiet --debug"),
        ("rm", "--all --yes --quiet --debug"),
        ("prune", "--limit --older-than --quiet --debug"),
        ("path", "--debug"),
        ("verify", "--json --quiet --debug"),
    ):
        shown = outcome(f"{command} --help", capfd)[1]
        assert [one for one in options.split() if one not in shown] == []


def test_the_path_stands_alone(store: StateStore, capfd: Capture) -> None:
    assert outcome("path", capfd) == (0, f"{store.folder}\n", "")
    assert not store.folder.exists()


@pytest.mark.parametrize("command", ["ls", "verify"])
def test_nothing_is_kept(store: StateStore, command: str, capfd: Capture) -> None:
    said = f"no states are stored in {store.folder}\n"
    assert outcome(command, capfd) == (0, "", said)
    assert outcome(f"{command} -q", capfd) == (0, "", "")
    code, stdout, stderr = outcome(f"{command} --json", capfd)
    assert (code, json.loads(stdout)["states"], stderr) == (0, [], "")


def test_it_lists_what_is_kept(
    store: StateStore, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_STORE_LIMIT", "2.5GB")
    old = keep(store, "[bold]a[/].txt", days_ago=2)
    new = keep(store, "b.txt", "c.txt", tensors=INT8)
    code, stdout, stderr = outcome("ls", capfd)
    assert (code, stderr) == (0, "")
    heading, first, second, total = stdout.splitlines()
    assert re.split(r"  +", heading.strip()) == [
        *("Key", "Documents", "Tokens", "Size", "Model", "Stored as", "Last used"),
    ]
    assert re.match(rf"{new.name[:12]} +b.txt, c.txt +1,234 +\d\.\d kB +tiny +int8 +20", first)
    assert re.match(rf"{old.name[:12]} +\[bold\]a\[/\].txt +1,234 +.* tiny +bf16 +20", second)
    assert re.fullmatch(r"2 states, \d\.\d kB of at most 2\.5 GB", total)


def test_it_lists_for_programs(store: StateStore, capfd: Capture) -> None:
    path = keep(store, "Grüße.txt", days_ago=1)
    listed = json.loads(outcome("ls --json", capfd)[1])
    [state] = listed.pop("states")
    size = path.stat().st_size
    assert listed == {
        "schema": "fastkv/1",
        "command": "cache ls",
        "folder": str(store.folder),
        "limit_bytes": 5_000_000_000,
        "total_bytes": size,
    }
    assert (state["key"], state["documents"], state["tokens"]) == (path.stem, ["Grüße.txt"], 1234)
    assert (state["bytes"], state["model"], state["kept_as"]) == (size, "tiny", "bf16")
    assert state["last_used"] < state["created"]


def test_names_drive_no_terminal(store: StateStore, capfd: Capture) -> None:
    keep(store, "evil\x1b[31m\n\x9b2J\u202e.txt")
    for command in ("ls", "verify", "ls --json", "rm --all --yes"):
        stdout, stderr = outcome(command, capfd)[1:]
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", stdout + stderr)
        assert "evil" in stdout + stderr


def test_removing_by_key_and_by_document(store: StateStore, capfd: Capture) -> None:
    paths = [keep(store, name) for name in ("a.txt", "b.txt", "c.txt")]
    keep(store, "c.txt", "d.txt")
    code, stdout, stderr = outcome(f"rm {paths[0].stem[:6].upper()} b.txt", capfd)
    assert (code, stdout) == (0, "")
    assert len(re.findall(r"^removed \w{12} [ab]\.txt, \d\.\d kB$", stderr, re.MULTILINE)) == 2
    assert re.search(r"^2 states removed, .* kB; 2 states left, .* free on the disk$", stderr, re.M)
    assert set(kept(store)) == {"c.txt", "c.txt and 1 more"}
    assert outcome("rm c.txt -q", capfd) == (0, "", "")
    assert kept(store) == []


def test_a_document_is_named_by_its_path_or_its_name(store: StateStore, capfd: Capture) -> None:
    for name in ("a.txt", "old/a.txt", "old/b.txt", "new/b.txt"):
        keep(store, name)
    assert outcome("rm a.txt", capfd)[0] == 0
    assert sorted(kept(store)) == ["new/b.txt", "old/a.txt", "old/b.txt"]
    assert outcome("rm a.txt old/b.txt", capfd)[0] == 0
    assert kept(store) == ["new/b.txt"]


def test_keys_and_documents_complete(store: StateStore) -> None:
    key = keep(store, "a.txt").name[:12]
    keep(store, "b.txt", "evil\n.txt")
    keep(store, "a.txt", "c.txt").write_bytes(b"")
    for begun, expected in (
        ("", {"a.txt", "b.txt"}),
        ("a.", {"a.txt"}),
        (key, {key}),
        ("e", set()),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "fastkv_cli"],
            env=environment(
                FASTKV_HOME=store.folder.parent,
                _FASTKV_COMPLETE="complete_bash",
                COMP_WORDS=f"fastkv cache rm {begun}",
                COMP_CWORD=3,
            ),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        found = set(done.stdout.split())
        assert {name for name in found if begun or "." in name} == expected


def test_lines_are_broken_for_terminals_only(store: StateStore, capfd: Capture) -> None:
    name = f"{'long/' * 40}a.txt"
    keep(store, name)
    assert name in outcome("ls", capfd)[1]
    terminal = Terminal()
    child = subprocess.Popen(
        [sys.executable, "-m", "fastkv_cli", "cache", "ls"],
        env=environment(FASTKV_HOME=store.folder.parent, COLUMNS="80"),
        stdout=terminal.theirs,
    )
    os.close(terminal.theirs)
    shown = terminal.read_until()
    os.close(terminal.ours)
    assert child.wait(timeout=60) == 0
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("long/") > 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("rm", "name the states to remove, or give --all"),
        ("rm a.txt --all", "name the states to remove, or give --all"),
        ("rm --all", "--all asks for confirmation, and there is no terminal: add --yes"),
        ("rm z.txt", "no state has the key or document 'z.txt': list them with fastkv cache ls"),
        ("rm a.txt z.txt", "document 'z.txt'"),
        ("rm KEY", "document 'KEY'"),
        ("prune --limit much", "cannot read the size 'much': write it as 5GB"),
        ("prune --limit -1", "cannot read the size '-1'"),
        ("prune --older-than 30", "cannot read the time '30': write it as 30d"),
        ("frobnicate", r"No such command 'frobnicate' \(see fastkv cache --help\)"),
    ],
)
def test_wrong_usage_removes_nothing(
    store: StateStore, capfd: Capture, arguments: str, words: str
) -> None:
    keep(store, "a.txt")
    code, stdout, stderr = outcome(arguments, capfd)
    assert (code, stdout) == (ExitCode.USAGE, "")
    assert re.fullmatch(f"fastkv: [^\n]*{words}[^\n]*\n", stderr)
    assert kept(store) == ["a.txt"]


def test_a_key_of_several_is_refused(store: StateStore, capfd: Capture) -> None:
    path = keep(store, "a.txt")
    twin = path.with_name(f"{path.stem[:8]}{'0' * 24}.safetensors")
    twin.write_bytes(b"")
    code, _, stderr = outcome(f"rm {path.stem[:8]}", capfd)
    assert (code, len(store.entries())) == (ExitCode.USAGE, 2)
    assert f"key {path.stem[:8]} matches 2 states: give more digits" in stderr
    assert outcome(f"rm {twin.stem[:12]}", capfd)[0] == 0
    assert kept(store) == ["a.txt"]


@pytest.mark.parametrize(
    ("answer", "left"),
    [(b"n\n", ["a.txt"]), (b"y\n", []), (b"\x04", ["a.txt"]), (b"\x03", ["a.txt"])],
)
def test_all_asks_at_a_terminal(store: StateStore, answer: bytes, left: list[str]) -> None:
    keep(store, "a.txt")
    child, terminal = start_at_terminal(["cache", "rm", "--all"], FASTKV_HOME=store.folder.parent)
    assert "Remove 1 state, 1." in terminal.read_until("[y/N]")
    os.write(terminal.ours, answer)
    terminal.read_until()
    os.close(terminal.ours)
    assert finish(child) == (ExitCode.INTERRUPTED if answer == b"\x03" else 0, "")
    assert kept(store) == left


def test_all_is_removed_without_a_question(store: StateStore, capfd: Capture) -> None:
    keep(store, "a.txt")
    damage(keep(store, "b.txt"))
    code, stdout, stderr = outcome("rm --all -y", capfd)
    assert (code, stdout, kept(store)) == (0, "", [])
    assert "2 states removed, " in stderr
    assert "0 states removed, 0 B; 0 states left, 0 B" in outcome("rm --all -y", capfd)[2]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("", ["a.txt", "b.txt", "c.txt"]),
        ("--limit 4kB", ["a.txt", "b.txt"]),
        ("--limit 0", []),
        ("--older-than 15d", ["a.txt", "b.txt"]),
        ("--older-than 1w", ["a.txt"]),
        ("--limit 3kB --older-than 3w", ["a.txt"]),
    ],
)
def test_prune(store: StateStore, capfd: Capture, options: str, left: list[str]) -> None:
    for name, days_ago in (("b.txt", 10), ("c.txt", 20), ("a.txt", 0)):
        keep(store, name, days_ago=days_ago)
    code, stdout, stderr = outcome(f"prune {options}", capfd)
    assert (code, stdout, kept(store)) == (0, "", left)
    assert f"removed, {'0 B' if len(left) == 3 else ''}" in stderr
    assert stderr.count("removed ") == 3 - len(left)


def test_prune_keeps_to_the_variable(
    store: StateStore, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, "a.txt")
    monkeypatch.setenv("FASTKV_STORE_LIMIT", "lots")
    code, _, stderr = outcome("prune", capfd)
    assert code == ExitCode.USAGE
    assert "FASTKV_STORE_LIMIT: cannot read the size 'lots': write it as" in stderr
    monkeypatch.setenv("FASTKV_STORE_LIMIT", "1kB")
    assert outcome("prune", capfd)[0] == 0
    assert kept(store) == []


def test_verify(store: StateStore, capfd: Capture) -> None:
    sound, broken = keep(store, "a.txt", days_ago=1), keep(store, "b.txt")
    code, stdout, stderr = outcome("verify", capfd)
    assert (code, stderr, stdout.count(" intact\n")) == (0, "", 2)
    damage(broken)
    (store.folder / "mine.txt").write_text("not a state")
    code, stdout, stderr = outcome("verify", capfd)
    assert code == ExitCode.FAILURE
    heading, first, second, other = stdout.splitlines()
    assert re.split(r"  +", heading.strip()) == ["Key", "Documents", "Size", "Result"]
    assert re.match(rf"{broken.stem[:12]} +b.txt .* is damaged \(tensor hidden\)", first)
    assert re.match(rf"{sound.stem[:12]} +a.txt .* intact", second)
    assert re.match(r"– +mine.txt +– +is no document state of fastkv", other)
    remedy = f"fastkv cache rm {broken.stem[:12]}"
    assert stderr == (
        f"fastkv: 1 of 2 states cannot be used: remove them with {remedy}; "
        "the next run computes them again\n"
    )
    assert outcome(remedy.removeprefix("fastkv cache "), capfd)[0] == 0
    code, stdout, stderr = outcome("verify --json", capfd)
    verified = json.loads(stdout)
    assert (code, stderr, verified["others"]) == (0, "", [str(store.folder / "mine.txt")])
    assert [state["problem"] for state in verified["states"]] == [None]


def test_verify_tells_programs_what_is_wrong(store: StateStore, capfd: Capture) -> None:
    path = keep(store, "a.txt")
    path.write_bytes(path.read_bytes()[:99])
    code, stdout, stderr = outcome("verify --json", capfd)
    assert (code, stderr.count("\n")) == (ExitCode.FAILURE, 1)
    [state] = json.loads(stdout)["states"]
    assert (state["problem"], state["documents"], state["kept_as"]) == ("is cut short", None, None)
    assert " damaged " in outcome("ls", capfd)[1]


def test_a_reader_that_goes_is_no_failure_of_ours(store: StateStore) -> None:
    keep(store, "a.txt")
    child = start(["cache", "ls"], FASTKV_HOME=store.folder.parent)
    assert child.stdout is not None
    child.stdout.close()
    _, stderr = child.communicate(timeout=60)
    assert (child.returncode, stderr) == (ExitCode.CLOSED_PIPE, "")
