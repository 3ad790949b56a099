"""`fastkv batch`, with workers that are processes and a model that is tiny."""

from __future__ import annotations

import csv
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import toy_worker
from batches import (
    TASK,
    finish_batch,
    is_alive,
    names_in,
    results,
    start_toys,
    use_workers,
    wait_for,
    without_times,
    workers_of,
    write_texts,
)
from pdf_maker import make_pdf
from processes import Capture

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


def test_one_result_a_document_and_exports(options: list[str], capfd: Capture) -> None:
    """What is broken fails alone, and duplicates are computed once."""
    write_texts(Path("in"), 2)
    Path("in/copy.txt").write_bytes(Path("in/text-001.txt").read_bytes())
    Path("in/two pages\n.pdf").write_bytes(make_pdf(["It met in May.", "It met in June."]))
    Path("in/broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    Path("in/empty.txt").touch()
    Path("in/gone.md").symlink_to("nowhere.md")
    command = ["batch", "in", "--out", "in/out", *options, "--workers", "1", "--report"]
    two = ["--ask", "Who?", *TASK]
    out = Path("in/out")
    assert run([*command, *two]) == ExitCode.PARTLY
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert "note" not in stderr
    assert "2 of 6 documents failed: see in/out/failures.csv" in stderr
    assert "empty.txt is empty" in stderr
    assert "is not searched: it holds the results" in stderr
    kept = results(out)
    assert len(kept) == 3
    assert {"text-000.txt", "two pages\n.pdf"} < set(kept)
    assert kept["two pages\n.pdf"]["results"][0]["documents"][0]["num_pages"] == 2
    assert len(list(out.glob("reports/*/*.html"))) == 3
    with (out / "failures.csv").open(newline="") as file:
        assert [Path(row["path"]).name for row in csv.DictReader(file)] == [
            "broken.pdf",
            "empty.txt",
        ]
    assert json.loads((out / "manifest.json").read_text())["model"]["dtype"] == "float32"

    assert run(["batch", "status", "in/out", "--json"]) == 0
    status = json.loads(capfd.readouterr().out)
    counts = {name: status[name] for name in ("done", "failed", "skipped", "left", "num_running")}
    assert counts == {"done": 4, "failed": 2, "skipped": 1, "left": 0, "num_running": 0}

    assert run(["batch", "export", "in/out", "--jsonl"]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [Path(line["path"]).name for line in lines] == [
        "broken.pdf",
        "copy.txt",
        "empty.txt",
        "text-000.txt",
        "text-001.txt",
        "two pages\n.pdf",
    ]
    assert "error" in lines[2]
    assert lines[2]["exit_code"] == ExitCode.INPUT
    assert lines[1]["results"][0]["documents"][0]["path"] == lines[1]["path"]
    assert lines[1]["sha256"] == lines[4]["sha256"]
    assert [each["question"] for each in lines[1]["results"]] == ["Who?", TASK[1]]
    assert run(["batch", "export", "in/out", "--csv", "-o", "all.csv"]) == 0
    with Path("all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    states = ["failed", "done", "done", "failed", *["done"] * 6]
    assert [row["state"] for row in rows] == states
    assert rows[1]["answer"] == lines[1]["results"][0]["answer"].strip("\n")
    assert run(["batch", "export", "in/out", "--md"]) == 0
    assert capfd.readouterr().out.count("## ") == 6
    assert run(["batch", "export", "in/out"]) == ExitCode.USAGE
    assert run(["batch", "export", "in", "--md"]) == ExitCode.USAGE
    assert "is no folder of a batch" in capfd.readouterr().err

    for words, changed in (
        ('what is asked is [{"kind": "ask", "question": "Who', ["--ask", "When?", *TASK[2:]]),
        ("options.max_tokens is 4 there, 5 here", [*two, "--max-tokens", "5"]),
        ('options.method is "fastkv-cascade" there, "full" here', [*two, "--method", "full"]),
    ):
        assert run([*command, *changed]) == ExitCode.USAGE
        assert words in capfd.readouterr().err
    Path("in/new.txt").write_text("New.")
    assert run([*command, *two, "--dtype", "bfloat16"]) == ExitCode.USAGE
    assert 'model.dtype is "float32" there, "bfloat16" here' in capfd.readouterr().err
    again = ["batch", "in/text-000.txt", "--out", "two", *options, *two, "-q", "-j", "1"]
    assert run(again) == 0
    assert without_times(results(Path("two"))["text-000.txt"]) == without_times(
        kept["text-000.txt"]
    )


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
    write_texts(Path("in"), 1)
    for at in range(3):
        Path(f"in/copy-{at}.txt").write_bytes(Path("in/text-000.txt").read_bytes())
        Path(f"in/bad-{at}.txt").write_text(toy_worker.FAILS)
    session = SessionOptions(model=options[options.index("--model") + 1])
    batch = BatchOptions(out=OUT, workers="1", retry_failed=True)
    tasks = (BatchTask("ask", {"question": "Who?"}),)
    for _ in range(2):
        log = Log()
        counts = run_batch.run_batch(["in"], tasks, session, batch, log)
        assert (counts.done, counts.failed) == (4, 3)
        assert log.shown[-1] == (7, 7, 3, 0)
        assert [done for done, *_ in log.shown] == sorted({done for done, *_ in log.shown})
        assert log.notes[-1] == (
            "no document states are stored for more than 3 documents: see --store"
        )
        for path in OUT.glob("results/*/*.json"):
            path.unlink()


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


def test_fields_as_a_table(options: list[str], capfd: Capture) -> None:
    write_texts(Path("in"), 2)
    schema = ["--schema", "year integer, committee: its name", "--store", "off"]
    command = ["batch", "in", "--out", "out", "-j", "1", "-q", *options, *schema]
    assert run([*command, "--max-tokens", "200"]) == 0
    capfd.readouterr()
    assert run(["batch", "export", "out", "--csv"]) == 0
    head, *rows = csv.reader(capfd.readouterr().out.splitlines())
    assert head == ["path", "state", "year", "committee", "error"]
    assert [row[1] for row in rows] == ["done", "done"]
    objects = [results(OUT)[f"text-00{at}.txt"]["results"][0]["object"] for at in range(2)]
    assert [row[2] for row in rows] == [str(each["year"] or "") for each in objects]


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
    assert not any(map(is_alive, workers))
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


def test_limits_of_time_and_memory_are_a_documents(endless: list[str], capfd: Capture) -> None:
    write_texts(Path("in"), 2)
    command = ["batch", "in", "--out", "out", "--ask", "How often?", "--no-check", *endless]
    assert run([*command, "--workers", "1", "--document-timeout", "0.1"]) == ExitCode.PARTLY
    stderr = capfd.readouterr().err
    assert stderr.count("stopped after 0.1 s of computing: allow more") == 2
    assert run([*command, "--worker-memory", "1"]) == ExitCode.USAGE
    assert "--worker-memory 1 is too little" in capfd.readouterr().err


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


def test_what_is_wrong_is_said_at_once(options: list[str], capfd: Capture) -> None:
    """Before a model is loaded, in one line."""
    write_texts(Path("in"), 1)
    ask, out = ["--ask", "Who?"], ["--out", "out"]
    Path("empty").mkdir()
    Path("other").mkdir()
    Path("other/file").touch()
    Path("newer").mkdir()
    Path("newer/manifest.json").write_text('{"kind": "fastkv-batch", "format": 99}')
    Path("half").mkdir()
    Path("half/manifest.json").write_text('{"kind": "fast')
    for code, words, arguments in (
        (ExitCode.USAGE, "no document is named", [*out, *ask]),
        (ExitCode.INPUT, "empty holds no document", ["empty", *out, *ask]),
        (ExitCode.INPUT, "gone.txt does not exist", ["gone.txt", *out, *ask]),
        (ExitCode.USAGE, "no folder for the results", ["in", *ask]),
        (ExitCode.USAGE, "nothing is asked for", ["in", *out]),
        (ExitCode.USAGE, "both --summarize and --ask", ["in", *out, *ask, "--summarize"]),
        (ExitCode.USAGE, "--schema is no JSON", ["in", *out, "--schema", "{"]),
        (ExitCode.USAGE, "the question is empty", ["in", *out, "--ask", " "]),
        (ExitCode.USAGE, "other holds other files", ["in", "--out", "other", *ask]),
        (ExitCode.USAGE, "written by a newer fastkv", ["in", "--out", "newer", *ask]),
        (ExitCode.OUTPUT, "manifest.json cannot be read", ["in", "--out", "half", *ask]),
        (ExitCode.USAGE, "--workers 0 is out", ["in", *out, *ask, "--workers", "0"]),
        (ExitCode.USAGE, "--document-timeout 0 is", ["in", *out, *ask, "--document-timeout", "0"]),
        (ExitCode.USAGE, "is not stdout", ["in", *out, *ask, "--jsonl", "x"]),
        (ExitCode.USAGE, "--from gone cannot be read", ["--from", "gone", *out, *ask]),
        (ExitCode.MODEL, "there is no model", ["in", "-m", "./gone", "--out", "new", *ask]),
    ):
        assert run(["batch", *options, *arguments]) == code, words
        stderr = capfd.readouterr().err
        assert words in stderr
        assert stderr.count("\n") == 1, stderr
