"""Writing: whole or not at all, whatever ends it, and by any number of processes at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import environment
from states import LIMIT, TENSORS, make_data, make_spec, write

from fastkv_cli.store import StateStore, TensorSpec

PROCESS = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from states import LIMIT, make_data, make_spec
from fastkv_cli.store import StateStore
store = StateStore(Path(sys.argv[1]), LIMIT, lambda text: print("warning:", text, flush=True))
"""

WAITING = """
with store.record(make_spec()) as writer:
    writer.add("hidden", make_data(make_spec())["hidden"])
    print("writing", flush=True)
    signal.pause()
"""

FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
writer = store.record(make_spec())
if writer is not None:
    with writer:
        for name, data in make_data(make_spec()).items():
            writer.add(name, data)
        print(writer.commit(), writer.commit())
print(*os.listdir(store.folder))
"""

BUSY = """
import random
chance = random.Random(int(sys.argv[2]))
num_read = num_written = 0
for _ in range(150):
    spec = make_spec(chance.choice("abc"))
    path = store.find(spec)
    if path is None:
        with store.record(spec) as writer:
            for name, data in make_data(spec).items():
                writer.add(name, data)
            num_written += writer.commit()
    else:
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # another one has removed it
            continue
        assert data.endswith(b"".join(make_data(spec).values()))
        num_read += 1
    if chance.random() < 0.3:
        store.prune(chance.choice([0, 2000, 4000]))
    if chance.random() < 0.1:
        assert not any(problem for _, problem in store.verify())
    assert all(entry.header for entry in store.entries())
print(num_read > 9, num_written > 9)
"""


def start(code: str, store: StateStore, *arguments: object) -> subprocess.Popen[str]:
    """A Python program that has the store."""
    program = PROCESS.format(folder=str(Path(__file__).parent)) + code
    return subprocess.Popen(
        [sys.executable, "-c", program, str(store.folder), *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> StateStore:
    return StateStore(tmp_path / "states", LIMIT, warnings.append)


def test_leaving_without_commit_leaves_nothing(store: StateStore) -> None:
    data = make_data(make_spec())
    writer = store.record(make_spec())
    assert writer is not None
    with contextlib.suppress(ZeroDivisionError), writer:
        writer.add("hidden", data["hidden"])
        assert len(list(store.folder.iterdir())) == 1
        raise ZeroDivisionError
    assert list(store.folder.iterdir()) == []
    writer.add("key.0", b"")  # too late, and no harm
    assert not writer.commit()


def test_tensors_come_whole_and_in_order(store: StateStore) -> None:
    data = make_data(make_spec())
    writer = store.record(make_spec())
    assert writer is not None
    with writer:
        with pytest.raises(ValueError, match=r"'key\.0' is added where 'hidden' is next"):
            writer.add("key.0", data["key.0"])
        with pytest.raises(ValueError, match="'hidden' has 159 bytes, not 160"):
            writer.add("hidden", data["hidden"][:-1])
        for name in list(TENSORS)[:-1]:
            writer.add(name, data[name])
        with pytest.raises(ValueError, match=r"'scale\.0' was not added"):
            writer.commit()
        writer.add("scale.0", data["scale.0"])
        with pytest.raises(ValueError, match="'hidden' is added where None is next"):
            writer.add("hidden", data["hidden"])
        assert writer.commit()
    assert store.find(make_spec()) is not None


@pytest.mark.parametrize(("dtype", "shape"), [("F64", (1,)), ("F32", (2, -1))])
def test_tensors_that_cannot_be(dtype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"dtype 'F64' is none of|negative"):
        TensorSpec(dtype, shape)


def test_arrays_are_written_as_they_are(store: StateStore) -> None:
    """As the engine has them, and more than is written at a time."""
    import torch
    from safetensors.torch import load_file

    numbers = torch.arange(3 * 700_000, dtype=torch.float32).view(3, 700_000).to(torch.bfloat16)
    spec = make_spec(tensors={"numbers": TensorSpec("BF16", (3, 700_000))})
    writer = store.record(spec)
    assert writer is not None
    with writer:
        data: Any = numbers.view(torch.uint8).numpy()
        writer.add("numbers", data)
        assert writer.commit()
    path = store.find(spec)
    assert path is not None
    assert torch.equal(load_file(path)["numbers"], numbers)


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
@pytest.mark.parametrize("ends_in", ["nothing", "its header", "its data", "its last byte"])
def test_a_full_disk_is_a_warning(store: StateStore, ends_in: str) -> None:
    path = write(store, make_spec())
    size = path.stat().st_size
    path.unlink()
    data_bytes = sum(tensor.nbytes for tensor in TENSORS.values())
    room = {"nothing": 0, "its header": 99, "its data": size - data_bytes + 99}.get(
        ends_in, size - 1
    )
    stdout, stderr = start(FULL, store, room).communicate(timeout=60)
    warning, *others = stdout.splitlines()
    assert (stderr, warning.count("(File too large)")) == ("", 1)
    assert warning.startswith("warning: cannot store the state of a.txt")
    assert others == (["False False", ""] if room > 99 else [""])  # nothing is in the folder
    stdout, _ = start(FULL, store, size).communicate(timeout=60)
    assert stdout.split() == ["True", "False", path.name]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_process_that_ends_leaves_no_state(
    store: StateStore, number: signal.Signals, warnings: list[str]
) -> None:
    child = start(WAITING, store)
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    [temporary] = store.folder.iterdir()
    assert temporary.stat().st_mode & 0o777 == 0o600
    child.send_signal(number)
    child.communicate(timeout=60)
    assert temporary.exists() is (number == signal.SIGKILL)
    assert store.find(make_spec()) is None
    assert (store.entries(), store.verify(), store.prune(0)) == ([], [], [])
    assert warnings == []


def test_what_a_dead_process_left_goes_in_an_hour(store: StateStore) -> None:
    write(store, make_spec())
    names = [f".{make_spec().digest}.{name}.tmp" for name in ("old", "new", "older")]
    for name, age_s in zip(names, (3700, 3500, 9000), strict=True):
        (store.folder / name).write_bytes(b"half of it")
        os.utime(store.folder / name, (time.time() - age_s,) * 2)
    other = store.folder / "mine.tmp"
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    store.prune(LIMIT)
    there = {path.name for path in store.folder.iterdir()}
    assert there == {f"{make_spec().digest}.safetensors", names[1], "mine.tmp"}
    os.utime(store.folder / names[1], (0, 0))
    write(store, make_spec())
    assert names[1] not in {path.name for path in store.folder.iterdir()}


@pytest.mark.parametrize("clean", ["record", "prune", "remove"])
def test_a_date_in_the_future_keeps_nothing(store: StateStore, clean: str) -> None:
    """Of a clock that was wrong: else half a state would stay until that day."""
    write(store, make_spec())
    names = [f".{make_spec().digest}.{name}.tmp" for name in ("soon", "later", "never")]
    for name, in_s in zip(names, (60, 9000, 10**9), strict=True):
        (store.folder / name).write_bytes(b"half of it")
        os.utime(store.folder / name, (time.time() + in_s,) * 2)
    actions: dict[str, Callable[[], object]] = {
        "record": lambda: write(store, make_spec()),
        "prune": lambda: store.prune(LIMIT),
        "remove": lambda: store.remove([]),
    }
    actions[clean]()
    there = {path.name for path in store.folder.iterdir()}
    assert there == {f"{make_spec().digest}.safetensors", names[0]}


def test_processes_do_not_disturb_each_other(store: StateStore, warnings: list[str]) -> None:
    """Three write, read, check and prune the same few states, and nobody ever sees half of one."""
    children = [start(BUSY, store, seed) for seed in range(3)]
    for child in children:
        stdout, stderr = child.communicate(timeout=120)
        assert (child.returncode, stdout, stderr) == (0, "True True\n", "")
    assert {problem for _, problem in store.verify()} <= {""}
    assert not [path for path in store.folder.iterdir() if path.suffix == ".tmp"]
