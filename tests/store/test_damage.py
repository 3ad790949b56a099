"""Whatever is wrong with a file is found, named and mended; what is no file of ours stays."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from states import LIMIT, TENSORS, make_spec, write

from fastkv_cli.store import StateStore, TensorSpec


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> StateStore:
    return StateStore(tmp_path / "home" / "states", LIMIT, warnings.append)


def flip(at: int, bit: int = 2) -> Callable[[bytes], bytes]:
    """Turn one bit of a byte; from the end where `at` is below 0."""

    def turned(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        return bytes(changed)

    return turned


def other_version(data: bytes) -> bytes:
    return data.replace(b"fastkv-state/1", b"fastkv-state/9")


def another_state(data: bytes) -> bytes:
    """What a sound file of another text would be."""
    store = StateStore(Path("elsewhere"), LIMIT)
    return write(store, make_spec("b")).read_bytes()


def another_shape(data: bytes) -> bytes:
    tensors = TENSORS | {"hidden": TensorSpec("F32", (4, 10))}
    return write(StateStore(Path("elsewhere"), LIMIT), make_spec(tensors=tensors)).read_bytes()


def another_length(data: bytes) -> bytes:
    return write(StateStore(Path("elsewhere"), LIMIT), make_spec(num_tokens=6)).read_bytes()


def outdated(data: bytes) -> bytes:
    made_with = {"fastkv": "0.0.1", "torch": "1.0"}
    return write(StateStore(Path("elsewhere"), LIMIT), make_spec(made_with=made_with)).read_bytes()


def foreign(data: bytes) -> bytes:
    import torch
    from safetensors.torch import save

    return bytes(save({"weight": torch.zeros(3)}, {"format": "pt"}))


def infinite(data: bytes) -> bytes:
    """A header with a sound checksum, and a size that no integer is: JSON's Infinity."""
    start, stop = 8, 8 + int.from_bytes(data[:8], "little")
    text = data[start:stop].replace(b'"shape": [5, 8]', b'"shape":[1e999]')
    field = re.search(rb'"header_sum": "(\w{8})"', text)
    assert field is not None
    zeroed = text.replace(field[1], b"0" * 8, 1)
    return data[:8] + zeroed.replace(b"0" * 8, b"%08x" % crc32(zeroed), 1) + data[stop:]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "is empty"),
    "7 bytes": (lambda data: data[:7], "is cut short"),
    "cut in its header": (lambda data: data[:300], "is cut short"),
    "cut in its data": (lambda data: data[:-1], "is cut short"),
    "longer": (lambda data: data + b"\0", "is longer than it says"),
    "a bit of the first tensor": (flip(-320), r"is damaged \(tensor hidden\)"),
    "the last bit": (flip(-1), r"is damaged \(tensor scale.0\)"),
    "a bit of the braces": (flip(8), "is no document state of fastkv|has a damaged header"),
    "a bit of the identity": (
        lambda data: data.replace(b"tiny", b"tinx"),
        "has a damaged header",
    ),
    "a bit of a shape": (
        lambda data: data.replace(b'"shape": [5, 8]', b'"shape": [4, 8]'),
        "has a damaged header",
    ),
    "a bit of a checksum": (
        lambda data: data.replace(b'"sums": "{\\"hidden\\": \\"', b'"sums": "{\\"hiddem\\": \\"'),
        "has a damaged header",
    ),
    "other version": (other_version, r"was made by another version of fastkv \(fastkv-state/9\)"),
    "another text's": (another_state, "is the state of something else"),
    "another shape": (another_shape, "has other tensors than this version of fastkv reads"),
    "another length": (another_length, "has another number of tokens"),
    "outdated": (outdated, "was made with another version of fastkv and torch"),
    "Infinity": (infinite, "has a damaged header"),
    "foreign": (foreign, "is no document state of fastkv"),
    "text": (lambda data: b"Dear diary, " * 40, "is no document state of fastkv"),
    "JSON": (
        lambda data: (2).to_bytes(8, "little") + b"[]" + data,
        "is no document state of fastkv",
    ),
    "deep JSON": (
        lambda data: (90_000).to_bytes(8, "little") + b"[" * 90_000,
        "is no document state of fastkv",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_told_removed_and_mended(
    store: StateStore,
    warnings: list[str],
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    damage, words = DAMAGE[kind]
    path = write(store, make_spec())
    data = path.read_bytes()
    path.write_bytes(damage(data))
    assert path.read_bytes() != data
    assert store.find(make_spec()) is None
    assert len(warnings) == 1
    assert not path.exists()
    end = "it is removed and computed again"
    assert re.fullmatch(f"the stored state of a.txt ({words}): {end}", warnings[0])
    write(store, make_spec())
    assert store.find(make_spec()) == path
    assert len(warnings) == 1


def test_no_bit_of_a_header_can_turn(store: StateStore, warnings: list[str]) -> None:
    path = write(store, make_spec())
    data = path.read_bytes()
    num_bytes = 8 + int.from_bytes(data[:8], "little")
    for at in range(num_bytes):
        path.write_bytes(flip(at, at % 8)(data))
        assert store.find(make_spec()) is None, at
    assert len(warnings) == num_bytes


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link"])
def test_what_is_no_file_is_left_alone(
    store: StateStore, warnings: list[str], kind: str, tmp_path: Path
) -> None:
    path = write(store, make_spec())
    if kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        moved = path.rename(tmp_path / "moved")
        path.symlink_to(moved if kind == "link" else tmp_path / "nowhere")
    for _ in range(2):
        assert store.find(make_spec()) is None
        assert store.record(make_spec()) is None
    told, refused = warnings[:2]
    assert (
        told == f"the stored state of a.txt is no file: remove {path} by hand; it is computed again"
    )
    assert refused == f"cannot store the state of a.txt in {store.folder} ({path.name} is no file)"
    assert store.entries() == store.prune(0) == store.remove([make_spec().digest]) == []
    assert store.verify() == [(path, "is no document state of fastkv")]
    assert os.path.lexists(path)
    assert kind != "link" or (tmp_path / "moved").stat().st_size > 0
