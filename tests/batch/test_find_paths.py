"""Finding the documents of a batch: folders, patterns and lists, whatever lies in them."""

from __future__ import annotations

import os
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from fastkv_cli.batch.entry import State
from fastkv_cli.batch.find_paths import MISSING, Sources
from fastkv_cli.errors import DocumentError, UsageError

OUT = Path("out")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder of documents in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.txt", "in/b/c.md", "in/.hidden.txt", "in/.git/d.txt", "in/picture.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("text")
    return tmp_path


def found(*paths: str, lists: tuple[str, ...] = (), out: Path = OUT) -> dict[str, State]:
    sources = Sources(paths, lists, out)
    sources.check()
    return {os.path.relpath(entry.path): entry.state for entry in sources.find()}


def test_folders_files_and_patterns() -> None:
    both = {"in/a.txt": State.WAITING, "in/b/c.md": State.WAITING}
    assert found("in") == found("in/**/*.*") == found("in/*") == both
    assert found("in/*.txt", "in/b/c.md") == both
    assert found("in/p*.png") == {"in/picture.png": State.WAITING}  # named by its suffix
    sources = Sources(["in"], (), OUT)
    assert len(list(sources.find())) == 2
    assert dict(sources.skipped) == {".png": 1}


def test_links_that_loop_or_lead_out(folder: Path) -> None:
    Path("elsewhere.txt").write_text("secret")
    Path("in/loop").symlink_to(folder / "in")  # of folders
    Path("in/circle.txt").symlink_to("circle.txt")
    Path("in/gone.txt").symlink_to("nowhere.txt")
    Path("in/out.txt").symlink_to(folder / "elsewhere.txt")
    Path("in/again.txt").symlink_to("a.txt")
    os.mkfifo("in/pipe.txt")
    states = found("in")
    assert {name for name, state in states.items() if state is State.WAITING} == {
        "in/a.txt",
        "in/again.txt",
        "in/b/c.md",
    }
    assert {name for name, state in states.items() if state is State.SKIPPED} == {
        "in/circle.txt",
        "in/gone.txt",
        "in/out.txt",
        "in/pipe.txt",
    }


def test_the_folder_of_the_results_is_not_searched() -> None:
    Path("in/out/results").mkdir(parents=True)
    Path("in/out/results/notes.txt").write_text("text")
    sources = Sources(["in"], (), Path("in/out"))
    assert len(list(sources.find())) == 2
    assert sources.meets_out
    Path("list").write_text("in/out/results\nin/out/results/notes.txt\nin/a.txt\n")
    for paths, lists, number in (
        (("in/**/*",), (), 2),
        (("in/*",), (), 2),
        (("in/a.txt", "in/*/*"), (), 2),
        ((), ("list",), 1),
    ):
        sources = Sources(paths, lists, Path("in/out"))
        assert len(list(sources.find())) == number, paths
        assert sources.meets_out, paths
    with pytest.raises(UsageError, match="is in the folder of the results"):
        found("in/out/results", out=Path("in/out"))
    with pytest.raises(UsageError, match="is in the folder of the results"):
        found("in", out=Path("in"))


def test_what_was_named_has_to_exist() -> None:
    Path("empty").mkdir()
    for path, words in (
        ("nowhere.txt", "does not exist"),
        ("empty", "holds no document"),
        ("in/*.pdf", "matches no document"),
    ):
        with pytest.raises(DocumentError, match=words):
            found(path)
    with pytest.raises(UsageError, match="--from -"):
        found("-")


def test_lists() -> None:
    """One a line or ended by NUL; a line may be missing, a folder, or not UTF-8."""
    odd = os.fsdecode(b"in/line\nbreak \xff.txt")
    Path(odd).write_text("text")
    Path("lines").write_bytes(b"in/a.txt\r\n\nin/b\nnowhere.txt")
    Path("nuls").write_bytes(os.fsencode(odd) + b"\0in/a.txt\0")
    waiting = State.WAITING
    assert found(lists=("lines",)) == dict.fromkeys(
        ("in/a.txt", "in/b/c.md", "nowhere.txt"), waiting
    )
    assert found(lists=("nuls",)) == dict.fromkeys((odd, "in/a.txt"), waiting)
    missing = [entry for entry in Sources((), ["lines"], OUT).find() if entry.signature == MISSING]
    assert [Path(entry.path).name for entry in missing] == ["nowhere.txt"]
    with pytest.raises(UsageError, match=r"--from gone cannot be read"):
        found(lists=("gone",))
    Path("binary").write_bytes(b"x" * 200_000)
    with pytest.raises(UsageError, match="holds no paths"):
        found(lists=("binary",))


def test_a_hundred_thousand_paths_are_not_held(folder: Path) -> None:
    Path("list").write_bytes(b"".join(b"in/%06d.txt\0" % at for at in range(100_000)))
    entries = Sources((), ["list"], OUT).find()
    assert sum(1 for _ in islice(entries, 90_000)) == 90_000
    tracemalloc.start()
    assert sum(1 for _ in entries) == 10_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000  # bytes: a piece of the list, and one entry at a time
