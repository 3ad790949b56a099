"""`fastkv batch` run again, killed, shared and disturbed, with workers that have no model."""

from __future__ import annotations

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import toy_worker
from batches import (
    TASK,
    TOYS,
    finish_batch,
    names_in,
    results,
    start_toys,
    use_workers,
    wait_for,
    wait_for_end,
    workers_of,
    write_texts,
)
from processes import Capture, finish, start_in_terminal
from toy_worker import PACE

from fastkv_cli.batch import run_batch
from fastkv_cli.batch.batch_observer import BatchObserver
from fastkv_cli.batch.batch_options import BatchOptions
from fastkv_cli.batch.batch_task import BatchTask
from fastkv_cli.batch.job import Job
from fastkv_cli.batch.local_pool import LocalPool
from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode
from fastkv_cli.session.options import SessionOptions

pytestmark = pytest.mark.begin
OUT = Path("out")


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers without a model."""
    use_workers(monkeypatch, toy_worker.__name__)


@pytest.mark.usefixtures("toys")
def test_running_again_goes_on(options: list[str], capfd: Capture) -> None:
    """What is done is skipped; what is new, changed or without its page is computed."""
    write_texts(Path("in"), 3)
    Path("in/copy.txt").write_bytes(Path("in/text-001.txt").read_bytes())
    Path("in/bad.txt").write_text(toy_worker.FAILS)
    Path("in/worse.txt").write_text(f"{toy_worker.FAILS}\n")
    command = ["batch", "in", "--out", "out", *TASK, *options, "--workers", "1", "--jsonl", "-"]
    assert run(command) == ExitCode.PARTLY
    assert len(names_in(capfd.readouterr().out)) == 3
    before = {path: path.stat().st_mtime_ns for path in OUT.glob("results/*/*.json")}
    assert run(command) == ExitCode.PARTLY  # no worker is started for this
    assert capfd.readouterr().out == ""
    Path("in/worse.txt").write_text("Better.")
    Path("in/text-000.txt").write_text("Changed.")
    Path("in/new.txt").write_text("New.")
    assert run(command) == ExitCode.PARTLY
    names = names_in(capfd.readouterr().out)
    assert sorted(names) == ["new.txt", "text-000.txt", "worse.txt"]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    Path("in/bad.txt").unlink()
    assert run([*command, "--retry-failed"]) == ExitCode.PARTLY
    assert "bad.txt does not exist" in capfd.readouterr().err

    (OUT / "index.sqlite").unlink()  # all but the failures is found again
    assert run(command) == 0
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr.splitlines()[-1]) == ("", "6 documents done: out")
    assert not (OUT / "failures.csv").exists()

    assert run([*command, "--report"]) == 0  # all were made without a page
    stdout, stderr = capfd.readouterr()
    assert len(names_in(stdout)) == 5
    assert "5 results have no page, or are no longer there: they are computed again" in stderr
    assert len(list(OUT.glob("reports/*/*.html"))) == 5
    assert run([*command, "--report"]) == 0
    assert capfd.readouterr().out == ""


class Log(BatchObserver):
    """Keeps the events of a batch."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, ...]] = []
        self.notes: list[str] = []

    def progress(self, done: int, total: int, failed: int, pages: int) -> None:
        self.shown.append((done, total, failed, pages))

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.usefixtures("toys")
def test_progress_counts_copies_and_many_documents_store_no_states(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that are settled together, because their contents are known to be the same."""
    monkeypatch.setattr(run_batch, "STORE_BELOW", 3)
    monkeypatch.delenv("FASTKV_STORE", raising=False)
    write_texts(Path("in"), 3)
    for at in range(3):
        Path(f"in/text-copy-{at}.txt").write_bytes(Path("in/text-000.txt").read_bytes())
        Path(f"in/bad-{at}.txt").write_text(toy_worker.FAILS)
    session = SessionOptions(model=options[options.index("--model") + 1])
    batch = BatchOptions(out=OUT, workers="1", retry_failed=True)
    tasks = (BatchTask("ask", {"question": "Who?"}),)
    for _ in range(2):
        log = Log()
        counts = run_batch.run_batch(["in"], tasks, session, batch, log)
        assert (counts.done, counts.failed) == (6, 3)
        assert log.shown[-1] == (9, 9, 3, 0)
        assert [done for done, *_ in log.shown] == sorted({done for done, *_ in log.shown})
        assert log.notes[-1] == (
            "no document states are stored for more than 3 documents: see --store"
        )
        for path in OUT.glob("results/*/*.json"):
            path.unlink()


def test_the_bar_of_a_batch(options: list[str]) -> None:
    write_texts(Path("in"), 40)
    command = ["batch", "in", "--out", "out", *TASK, *options, "--workers", "1"]
    child, terminal = start_in_terminal(command, program=TOYS, **{PACE: "0.05"})
    shown = terminal.read_until()
    assert finish(child) == (0, "")
    assert re.search(r"working.*━.* of 40 documents", shown)
    assert shown.endswith("\x1b[2K40 documents done: out\r\n")  # the bar is erased


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file without a first byte")
@pytest.mark.usefixtures("toys")
def test_a_file_that_cannot_be_read_fails_alone(options: list[str], capfd: Capture) -> None:
    write_texts(Path("in"), 1)
    Path("list").write_text("in/text-000.txt\n/proc/self/mem\n")
    command = ["batch", "--from", "list", "--out", "out", *TASK, *options, "--workers", "1"]
    assert run(command) == ExitCode.PARTLY
    assert "/proc/self/mem cannot be read (Input/output error)" in capfd.readouterr().err
    assert len(results(OUT)) == 1


@pytest.mark.usefixtures("toys")
def test_a_list_of_failures_hides_no_error(options: list[str], capfd: Capture) -> None:
    """And one that cannot be written, or removed, is an error itself."""
    write_texts(Path("in"), 1)
    command = ["batch", "in", "--out", "out", *TASK, *options, "--workers", "1", "-q"]
    (OUT / "failures.csv" / "full").mkdir(parents=True)
    (OUT / "runs").mkdir()
    assert run(command) == ExitCode.OUTPUT
    assert "cannot remove" in capfd.readouterr().err
    Path("in/bad.txt").write_text(toy_worker.FAILS)
    assert run(command) == ExitCode.OUTPUT
    assert "cannot write" in (stderr := capfd.readouterr().err)
    assert "failures.csv" in stderr
    (OUT / "results").rename("elsewhere")
    (OUT / "results").touch()
    assert run(command) == ExitCode.OUTPUT
    assert "cannot write" in (stderr := capfd.readouterr().err)
    assert "failures.csv" not in stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
def test_killed_runs_lose_and_double_nothing(options: list[str]) -> None:
    """The run is killed, and its workers with it; the next one's worker is."""
    texts = {path.name for path in write_texts(Path("in"), 40)}
    child = start_toys(options, "in", "--workers", "2")
    wait_for(OUT, 5)
    workers = workers_of(child.pid)
    child.kill()
    code, first, _ = finish_batch(child)
    assert code == -signal.SIGKILL
    assert len(workers) == 2
    left = next(iter(OUT.glob("results/*"))) / ".half.json.0123456789ab.part"
    left.write_text('{"half')  # as a killed run leaves it

    child = start_toys(options, "in", "--workers", "2")
    wait_for(OUT, 15)
    wait_for_end(workers)
    os.kill(workers_of(child.pid)[0], signal.SIGKILL)
    code, second, stderr = finish_batch(child)
    assert (code, stderr) == (0, "40 documents done: out\n")
    assert not left.exists()
    assert set(results(OUT)) == texts
    assert len(second) == len(set(second))
    assert set(first) & set(second) == set()
    assert len(texts - set(first) - set(second)) <= 2  # kept when the run was killed, not printed


def test_two_runs_share_the_work(options: list[str]) -> None:
    texts = {path.name for path in write_texts(Path("in"), 30)}
    both = [start_toys(options, "in", "--workers", "1") for _ in range(2)]
    with ThreadPoolExecutor(len(both)) as readers:  # a run whose pipe is full would wait
        ends = list(readers.map(finish_batch, both))
    assert [code for code, _, _ in ends] == [0, 0], ends
    names = [name for _, worked, _ in ends for name in worked]
    assert sorted(names) == sorted(texts)
    assert set(results(OUT)) == texts


@pytest.mark.usefixtures("toys")
def test_a_document_that_ends_its_worker_twice_fails(
    options: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its neighbour, which was read meanwhile, does not."""
    write_texts(Path("in"), 3)
    submit, deaths = LocalPool.submit, []

    def submit_and_kill(pool: LocalPool, worker: int, job: Job) -> None:
        submit(pool, worker, job)
        if job.path.endswith("text-001.txt"):
            deaths.append(pool.pids[worker])
            os.kill(pool.pids[worker], signal.SIGKILL)

    monkeypatch.setattr(LocalPool, "submit", submit_and_kill)
    command = ["batch", "in", "--out", "out", *TASK, *options, "--workers", "1"]
    assert run(command) == ExitCode.PARTLY
    assert "text-001.txt ended its worker 2 times (signal 9)" in capfd.readouterr().err
    assert set(results(OUT)) == {"text-000.txt", "text-002.txt"}
    assert len(set(deaths)) == 2


def test_ctrl_c_says_what_is_left(options: list[str]) -> None:
    write_texts(Path("in"), 40)
    child = start_toys(options, "in", "--workers", "1")
    wait_for(OUT, 3)
    child.send_signal(signal.SIGINT)
    code, _, stderr = finish_batch(child)
    assert code == ExitCode.INTERRUPTED
    assert "of 40 documents are done; run again to go on" in stderr


@pytest.mark.usefixtures("toys")
def test_a_full_disk_ends_the_run_and_loses_nothing(options: list[str], capfd: Capture) -> None:
    import resource

    write_texts(Path("in"), 2)
    command = ["batch", "in", "--out", "out", *TASK, *options, "--workers", "1", "-q", "--report"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 * 2**12, limits[1]))
    try:
        assert run(command) == ExitCode.OUTPUT
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "run again" in capfd.readouterr().err
    assert run(command) == 0
    assert len(results(OUT)) == 2
    assert not list(OUT.rglob("*.part"))
