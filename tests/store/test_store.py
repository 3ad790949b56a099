"""The store: what is written is found again, whole, and nothing else ever is."""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
from pathlib import Path

import pytest
from states import LIMIT, TENSORS, make_data, make_spec, write

from fastkv_cli.store import StateStore, TensorSpec, default_store_dir


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> StateStore:
    return StateStore(tmp_path / "home" / "states", LIMIT, warnings.append)


def names(store: StateStore) -> list[str]:
    """The documents in the store, the most recently used first."""
    return [entry.title for entry in store.entries()]


def test_what_is_written_is_found(store: StateStore, warnings: list[str]) -> None:
    spec = make_spec()
    assert store.find(spec) is None
    path = write(store, spec)
    assert store.find(spec) == path
    assert store.find(make_spec(documents=("copy.txt",))) == path  # a name changes no state
    assert store.find(make_spec("b")) is None
    assert warnings == []
    [entry] = store.entries()
    assert (entry.digest, entry.title, entry.path) == (spec.digest, "a.txt", path)
    assert entry.header is not None
    assert entry.header.identity == {"text": "a", "model": "tiny", "layer": 3}
    assert (entry.header.num_tokens, entry.header.tensors) == (5, TENSORS)
    assert store.total_bytes == entry.file_bytes == path.stat().st_size


def test_safetensors_reads_it(store: StateStore) -> None:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    spec = make_spec(documents=('Grüße "日本".txt', "b\\.txt"))
    path = write(store, spec)
    tensors = load_file(path)
    assert list(tensors) == list(TENSORS)
    for name, data in make_data(spec).items():
        assert tuple(tensors[name].shape) == TENSORS[name].shape
        assert bytes(tensors[name].flatten().view(torch.uint8).tolist()) == data
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["documents"]) == list(spec.documents)
    assert json.loads(metadata["identity"]) == spec.identity
    assert metadata["format"] == "fastkv-state/1"
    assert (8 + int.from_bytes(path.read_bytes()[:8], "little")) % 64 == 0


@pytest.mark.parametrize("tensors", [{}, {"nothing": TensorSpec("F32", (0, 4))}], ids=len)
def test_states_without_numbers(store: StateStore, tensors: dict[str, TensorSpec]) -> None:
    path = write(store, make_spec(tensors=tensors))
    assert store.find(make_spec(tensors=tensors)) == path


def test_whatever_it_depends_on_is_another_state() -> None:
    digests = {
        make_spec().digest,
        make_spec("b").digest,
        make_spec(identity={"text": "a", "model": "tiny", "layer": 4}).digest,
        make_spec(identity={"text": "a", "model": "tiny", "layer": "3"}).digest,
    }
    assert len(digests) == 4
    turned = dict(reversed(list(make_spec().identity.items())))
    assert make_spec(identity=turned).digest in digests
    assert all(len(digest) == 32 for digest in digests)


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_it_is_for_its_owner_s_eyes_only(store: StateStore) -> None:
    umask = os.umask(0)
    try:
        path = write(store, make_spec())
    finally:
        os.umask(umask)
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent)] == [0o600, 0o700]


def test_it_lies_in_the_user_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path))
    assert default_store_dir() == tmp_path / "states"


def test_the_least_recently_used_goes_first(store: StateStore, warnings: list[str]) -> None:
    """Finding is using, and what was just written stays."""
    for name, used_s_ago in (("a", 300), ("b", 200), ("c", 100)):
        write(store, make_spec(name), used_s_ago)
    assert names(store) == ["c.txt", "b.txt", "a.txt"]
    assert store.find(make_spec("a")) is not None
    assert names(store) == ["a.txt", "c.txt", "b.txt"]
    store.limit_bytes = store.total_bytes
    write(store, make_spec("d"))
    assert names(store) == ["d.txt", "a.txt", "c.txt"]
    store.limit_bytes = store.total_bytes // 3
    path = write(store, make_spec("e"))
    assert [entry.path for entry in store.entries()] == [path]
    assert warnings == []


def test_what_was_just_written_stays_whatever_the_clock_says(store: StateStore) -> None:
    write(store, make_spec("a"), used_s_ago=-1000)
    store.limit_bytes = store.total_bytes
    write(store, make_spec("b"))
    assert names(store) == ["b.txt"]


def test_writing_again_replaces(store: StateStore) -> None:
    write(store, make_spec())
    size = store.total_bytes
    assert write(store, make_spec()) == store.find(make_spec())
    assert store.total_bytes == size


def test_prune_and_remove_say_what_is_gone(store: StateStore) -> None:
    for name, used_s_ago in (("a", 300), ("b", 200), ("c", 100)):
        write(store, make_spec(name), used_s_ago)
    write(store, make_spec("d"), used_s_ago=50).write_bytes(b"")  # damaged ones count as well
    size = store.entries()[-1].file_bytes
    assert store.prune(3 * size) == []
    assert [entry.title for entry in store.prune(3 * size, older_than_s=250)] == ["a.txt"]
    assert [entry.title for entry in store.prune(size)] == ["b.txt"]
    gone = store.remove([make_spec("c").digest, make_spec("d").digest, make_spec("z").digest])
    assert sorted(entry.title for entry in gone) == ["a document", "c.txt"]
    assert store.entries() == []


def test_a_state_above_the_limit_is_not_kept(store: StateStore, warnings: list[str]) -> None:
    write(store, make_spec())
    store.limit_bytes = store.total_bytes - 1
    assert store.record(make_spec("b", documents=("b.txt", "c.txt"))) is None
    [told] = warnings
    assert re.fullmatch(
        r"the state of b.txt and 1 more, 1\.\d kB, is above the limit of 1\.\d kB: not stored .*",
        told,
    )
    assert names(store) == ["a.txt"]


def test_a_state_that_the_disk_cannot_hold_is_not_begun(
    store: StateStore, warnings: list[str], tmp_path: Path
) -> None:
    free = shutil.disk_usage(tmp_path).free
    store.limit_bytes = 10 * free
    assert store.record(make_spec(tensors={"large": TensorSpec("I8", (2 * free,))})) is None
    assert re.fullmatch("the state of a.txt, .*B, does not fit the disk, .* free: .*", warnings[0])
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("I am a file.")
    warnings: list[str] = []
    store = StateStore(tmp_path / place, LIMIT, warnings.append)
    assert store.record(make_spec()) is None
    assert re.fullmatch(r"cannot store the state of a.txt in .*file.* \(.*\)", warnings[0])
    assert (store.entries(), store.verify(), store.prune(0)) == ([], [], [])


def test_a_folder_that_is_not_there(store: StateStore) -> None:
    assert (store.entries(), store.verify(), store.prune(0)) == ([], [], [])
    assert store.remove(["a"]) == []
    assert store.total_bytes == 0
    assert not store.folder.exists()


def test_verify_checks_all(store: StateStore) -> None:
    sound = write(store, make_spec("a"), used_s_ago=10)
    broken = write(store, make_spec("b"))
    broken.write_bytes(broken.read_bytes()[:-1] + b"?")
    (store.folder / "model.safetensors").write_bytes(sound.read_bytes())
    (store.folder / "folder").mkdir()
    found = [
        (each.name if isinstance(each, Path) else each.path, problem)
        for each, problem in store.verify()
    ]
    assert found == [
        (broken, "is damaged (tensor scale.0)"),
        (sound, ""),
        ("folder", "is no document state of fastkv"),
        ("model.safetensors", "is no document state of fastkv"),
    ]
    assert len(store.prune(0)) == 2
    left = sorted(path.name for path in store.folder.iterdir())
    assert left == ["folder", "model.safetensors"]


def test_a_state_that_is_read_can_be_removed(store: StateStore) -> None:
    path = write(store, make_spec())
    data = path.read_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert len(store.prune(0)) == 1
        assert bytes(mapped) == data
