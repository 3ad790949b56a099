"""The limits of a batch: of memory, of time, and of the number of workers."""

from __future__ import annotations

import errno
from contextlib import closing
from pathlib import Path

import odd_worker
import pytest
import toy_worker
from batches import TASK, results, settings_for, use_workers, write_texts
from processes import Capture

from fastkv_cli.batch import local_pool
from fastkv_cli.batch.batch_folder import content_key
from fastkv_cli.batch.find_paths import signature_of
from fastkv_cli.batch.job import Job
from fastkv_cli.batch.local_pool import LocalPool
from fastkv_cli.batch.pool import Done, Event, Lost, Ready, Refused
from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode
from fastkv_cli.system.free_memory import read_kibibytes

pytestmark = pytest.mark.begin
OUT = Path("out")
GIB = 2**30
on_linux = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")


def job_of(path: Path) -> Job:
    whole = str(path.absolute())
    return Job(content_key(whole), whole, signature_of(whole))


def next_event(pool: LocalPool) -> Event:
    event = pool.wait(120)
    assert event is not None
    return event


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that do what their documents say."""
    use_workers(monkeypatch, odd_worker.__name__)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers without a model."""
    use_workers(monkeypatch, toy_worker.__name__)


def job_that(does: str) -> Job:
    path = Path(f"{does[:-1]}.txt")
    path.write_text(does)
    return job_of(path)


@pytest.mark.usefixtures("toys")
def test_a_worker_that_breaks_down_is_lost(options: list[str]) -> None:
    """Whatever fails in it; and none is said to be out of time, whose exit code is 1."""
    with closing(LocalPool(settings_for(options), 1)) as pool:
        assert isinstance(next_event(pool), Ready)
        pool.submit(0, job_that(toy_worker.UNSENDABLE))
        assert next_event(pool) == Lost(0, "exit code 3")
        assert isinstance(next_event(pool), Ready)
        pool.submit(0, job_that(toy_worker.NO_THREAD))
        assert isinstance(next_event(pool), Done)
        for _ in range(2):  # one on the thread that is there
            pool.submit(0, job_that(toy_worker.SLOW))
        while isinstance(event := next_event(pool), Done):
            pass
        assert event == Lost(0, "exit code 3")


@pytest.mark.usefixtures("toys")
def test_one_worker_that_cannot_start_ends_no_others(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, notes = Path("dead").absolute(), list[str]()
    dead.mkdir()
    monkeypatch.setenv(toy_worker.DEAD, str(dead))

    def kill_next() -> int:
        for at in range(3):
            (dead / str(at)).touch()
        return 9 * GIB

    kill_next()
    with closing(LocalPool(settings_for(options), 1, note=notes.append)) as pool:
        assert [next_event(pool) for _ in range(2)] == [Lost(0, "exit code 4")] * 2
        assert isinstance(next_event(pool), Refused)
        assert notes == []

    # memory is looked at when the first is ready, before the next is started
    monkeypatch.setattr(local_pool, "available_memory_bytes", kill_next)
    pool = LocalPool(settings_for(options), 2, may_be_fewer=True, note=notes.append)
    with closing(pool):
        assert isinstance(next_event(pool), Ready)
        assert [next_event(pool) for _ in range(3)] == [Lost(1, "exit code 4")] * 3
        assert (list(pool.pids), notes) == ([0], ["memory is short: 1 of 2 workers go on"])

    pool = LocalPool(settings_for(options), 2, may_be_fewer=True, note=notes.append)
    with closing(pool):
        monkeypatch.setattr(local_pool, "start_module", no_process)
        assert isinstance(next_event(pool), Ready)
        assert (list(pool.pids), notes) == ([0], ["memory is short: 1 of 2 workers go on"] * 2)


def no_process(*_: object, **__: object) -> None:
    raise OSError(errno.ENOMEM, "no memory")


@on_linux
def test_a_document_that_needs_too_much_memory(options: list[str], capfd: Capture) -> None:
    """It fails, and the limit is in the message; the others are done by another worker."""
    paths = write_texts(Path("in"), 3)
    with closing(LocalPool(settings_for(options), 1)) as pool:
        assert isinstance(next_event(pool), Ready)
        pool.submit(0, job_of(paths[0]))
        assert isinstance(next_event(pool), Done)
        needed = read_kibibytes(Path(f"/proc/{pool.pids[0]}/status"), "VmData:")
        assert needed is not None
    limit = max(needed + 2**25, 2**28)
    paths[1].write_bytes(b"In 1998 it met.\n" * (limit // 16))
    command = ["batch", "in", "--out", "out", *TASK, *options, "--workers", "1"]
    assert run([*command, "--worker-memory", str(limit)]) == ExitCode.PARTLY
    # so near the limit, the worker may lack memory for the last one's thread, too
    assert {"text-000.txt"} <= set(results(OUT)) <= {"text-000.txt", "text-002.txt"}
    stderr = capfd.readouterr().err
    assert "text-001.txt: memory ran out: allow more with --worker-memory" in stderr
    assert stderr.count("text-001.txt") == 1


@pytest.mark.usefixtures("toys")
def test_auto_starts_a_worker_a_core(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_pool, "num_cores", lambda: 3)
    monkeypatch.setattr(local_pool, "available_memory_bytes", lambda: int(2.5 * GIB))
    notes: list[str] = []
    pool = LocalPool(settings_for(options), 3, may_be_fewer=True, note=notes.append)
    with closing(pool):
        assert len(pool.pids) == 1
        assert isinstance(next_event(pool), Ready)
        assert (len(pool.pids), notes) == (3, [])


@on_linux
@pytest.mark.usefixtures("odd")
def test_one_worker_where_memory_is_short_and_a_document_that_is_stuck(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the threads of all; and is ended at the limit, though nothing in it notices that."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(local_pool, "num_cores", lambda: 3)
    monkeypatch.setattr(local_pool, "available_memory_bytes", lambda: GIB // 4)
    notes: list[str] = []
    settings = settings_for(options, document_timeout_s=0.3)
    with closing(LocalPool(settings, 3, may_be_fewer=True, note=notes.append)) as pool:
        first = next_event(pool)
        assert isinstance(first, Ready)
        assert first.peak_bytes is not None
        assert GIB // 20 < first.peak_bytes < GIB
        assert len(pool.pids) == 1
        assert notes == ["memory is short: 1 of 3 workers are started"]
        pool.submit(0, job_that(odd_worker.LEAVES))
        assert next_event(pool) == Lost(0, f"exit code {odd_worker.EXIT + 3}")
        assert isinstance(next_event(pool), Ready)
        pool.submit(0, job_that(odd_worker.STUCK))
        hint = "allow more with --document-timeout and --retry-failed"
        assert next_event(pool) == Lost(0, "out of time", hint)
