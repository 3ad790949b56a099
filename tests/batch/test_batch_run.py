"""`fastkv batch`, with workers that are processes and a model that is tiny."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from batches import TASK, results, without_times, write_texts
from pdf_maker import make_pdf
from processes import Capture

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

pytestmark = pytest.mark.begin
OUT = Path("out")


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


def test_limits_of_time_and_memory_are_a_documents(endless: list[str], capfd: Capture) -> None:
    write_texts(Path("in"), 2)
    command = ["batch", "in", "--out", "out", "--ask", "How often?", "--no-check", *endless]
    assert run([*command, "--workers", "1", "--document-timeout", "0.1"]) == ExitCode.PARTLY
    stderr = capfd.readouterr().err
    assert stderr.count("stopped after 0.1 s of computing: allow more") == 2
    assert run([*command, "--worker-memory", "1"]) == ExitCode.USAGE
    assert "--worker-memory 1 is too little" in capfd.readouterr().err


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
    # its settings were written before the model was loaded, and bind no later run
    assert run(["batch", "status", "new"]) == 0
    assert "\nModel      –\n" in capfd.readouterr().out
    assert json.loads(Path("new/manifest.json").read_text())["model"] is None
    again = ["batch", *options, "in", "-m", "./gone", "--out", "new", "--ask", "When?"]
    assert run(again) == ExitCode.MODEL
    assert "When?" in Path("new/manifest.json").read_text()
