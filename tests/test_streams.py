"""The answer goes to stdout and nothing else does: pipes, files, terminals, Ctrl-C."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode
from fastkv_cli.output import console
from fastkv_cli.output.console import AnswerWriter

FILES = Path(__file__).parent / "documents" / "files"
PDF = FILES / "pdflatex-4-pages.pdf"
ANSI = re.compile(r"\x1b\[")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def answer_of(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The answer as the JSON has it, cleaned as people get to see it."""
    capfd.readouterr()
    assert run([*arguments, "--json"]) == 0
    answer = str(json.loads(capfd.readouterr().out)["answer"])
    return console._CONTROL.sub("", answer)


def with_newline(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def test_stdout_is_the_answer_and_a_newline(
    options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["summarize", "a.txt", *options]
    answer = answer_of(arguments, capfd)
    assert answer.strip()
    assert run(arguments) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout == with_newline(answer)
    brief = labels_of(stderr)
    picture = {"Tokens seen", "Tokens kept", "Layer"}
    rows = {"Document", "Sources", "Speed", "Peak memory", "KV cache", "Method"}
    assert brief <= rows | picture
    assert {"Document", "Speed", "Peak memory", "KV cache", "Method"} <= brief
    assert run([*arguments, "--stats"]) == 0
    assert labels_of(capfd.readouterr().err) == brief
    assert run([*arguments, "--stats", "full"]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout == with_newline(answer)
    full = {"Document", "Model", "TTFT", "Decode", "Peak memory", "KV cache", "Tokens kept"}
    assert full <= labels_of(stderr)


def labels_of(stderr: str) -> set[str]:
    """The labels of the table's rows."""
    return set(re.findall(r"^([A-Z]\S*(?: \S+)*)  ", stderr, re.MULTILINE))


@pytest.mark.parametrize(
    "no_stats",
    [["--no-stats"], ["--stats", "off"], ["--stats=off"], ["--stats", "--no-stats"]],
)
def test_no_stats_leaves_the_warnings(
    options: list[str], no_stats: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["ask", *no_stats, "a.txt", "When?", *options]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout.strip()
    assert stderr in ("", "warning: the answer stops at 12 tokens: allow more with --max-tokens\n")


def test_quiet_leaves_stderr_empty(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    for quiet in ("-q", "--quiet"):
        assert run(["summarize", "a.txt", *options, quiet]) == 0
        stdout, stderr = capfd.readouterr()
        assert stdout.strip()
        assert stderr == ""
    assert run(["summarize", "no.txt", *options, "-q"]) == ExitCode.INPUT
    assert capfd.readouterr().err.startswith("fastkv: no.txt does not exist")


def test_json_is_one_object(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "a.txt", "b.txt", "When?", *options, "--json"]) == 0
    stdout, stderr = capfd.readouterr()
    report = json.loads(stdout)
    assert report["command"] == "ask"
    assert [document["path"] for document in report["documents"]] == ["a.txt", "b.txt"]
    assert "Document" not in stderr
    assert run(["ask", "a.txt", "b.txt", "When?", *options, "--json", "--stats"]) == 0
    stdout, stderr = capfd.readouterr()
    assert json.loads(stdout)["answer"] == report["answer"]
    assert "Documents  " in stderr


def test_several_documents_are_all_read(
    options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["summarize", "a.txt", "b.txt", str(PDF), *options, "--pages", "1"]) == 2
    assert "a.txt is not a PDF and has no pages" in capfd.readouterr().err
    assert run(["summarize", "b.txt", "a.txt", *options, "--json"]) == 0
    documents = json.loads(capfd.readouterr().out)["documents"]
    assert [document["path"] for document in documents] == ["b.txt", "a.txt"]
    assert all(document["tokens"] > 10 for document in documents)
    Path("c.html").write_text("<p>No.<p hidden>Yes.")
    assert run(["ask", ".", "When?", *options, "--stats", "full"]) == 0
    stderr = capfd.readouterr().err
    named = re.findall(r"^Document +(\S+): ", stderr, re.MULTILINE)
    assert named == ["./a.txt", "./b.txt", "./c.html"]
    assert "warning: ./c.html: hidden text left out: 1 place" in stderr


class TestStdin:
    """Text and PDFs by the pipe."""

    def feed(self, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    def test_text(
        self,
        options: list[str],
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        arguments: list[list[str]] = [
            ["summarize", "-"],
            ["summarize"],
            ["ask", "-", "When?"],
            ["ask", "When?"],
        ]
        for command in arguments:
            self.feed(b"It met 14 times in 1999.", monkeypatch)
            assert run([*command, *options, "--json"]) == 0
            documents = json.loads(capfd.readouterr().out)["documents"]
            assert [(each["path"], each["pages"]) for each in documents] == [("-", None)]
            assert documents[0]["characters"] == 24

    def test_pdf_bytes(
        self,
        options: list[str],
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.feed(PDF.read_bytes(), monkeypatch)
        assert run(["summarize", "-", *options, "--pages", "2-3", "--json"]) == 0
        document = json.loads(capfd.readouterr().out)["documents"][0]
        assert document["pages"] == 2
        self.feed(PDF.read_bytes(), monkeypatch)
        assert run(["ask", "a.txt", "-", "When?", *options, "--json"]) == 0
        documents = json.loads(capfd.readouterr().out)["documents"]
        assert [each["path"] for each in documents] == ["a.txt", "-"]

    def test_a_real_pipe(self, options: list[str]) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "fastkv_cli", "summarize", *options, "-q"],
            input=b"It met 14 times in 1999.",
            env=environment(),
            capture_output=True,
            check=True,
            timeout=120,
        )
        assert done.stdout.endswith(b"\n")
        assert done.stderr == b""


def test_no_colours_and_bars_without_a_terminal(
    options: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert run(["summarize", "a.txt", *options]) == 0
    stdout, stderr = capfd.readouterr()
    assert ANSI.search(stdout + stderr) is None
    assert "━" not in stderr


class TestControlCharacters:
    """What a model writes cannot drive the terminal."""

    @pytest.fixture
    def nasty_model(self, tiny_models: dict[str, Path], tmp_path: Path) -> Path:
        """A tiny model whose likeliest tokens are ESC, [, BEL and a C1 control character."""
        import torch
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_models["llama"])
        model = transformers.AutoModelForCausalLM.from_pretrained(tiny_models["llama"])
        pieces = [
            tokenizer(text, add_special_tokens=False)["input_ids"][0]
            for text in ("\x1b", "\x07", "[", "\x00", "\x0d", "3")
        ]
        with torch.no_grad():
            directions = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)) * 50
            model.lm_head.weight.zero_()
            model.lm_head.weight[pieces] = torch.cat([directions, -directions])
        model.save_pretrained(tmp_path / "nasty")
        tokenizer.save_pretrained(tmp_path / "nasty")
        return tmp_path / "nasty"

    def test_none_reaches_stdout(
        self, options: list[str], nasty_model: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["ask", "a.txt", "Who met?", "--no-check", *options]
        arguments += ["--model", str(nasty_model)]
        assert run([*arguments, "--json"]) == 0
        stdout = capfd.readouterr().out
        assert CONTROL.search(stdout) is None
        assert CONTROL.search(json.loads(stdout)["answer"]) is not None  # they were there
        assert run(arguments) == 0
        stdout, stderr = capfd.readouterr()
        assert CONTROL.search(stdout) is None
        assert CONTROL.search(stderr) is None

    def test_sequences_are_taken_out_whole(self, capfd: pytest.CaptureFixture[str]) -> None:
        writer = AnswerWriter(None, force=False)
        for piece in ("\x1b[31mred\x1b[0m", "\x1b", "]0;title\x07", "\r\x9b", "tab\there\n"):
            writer.write(piece)
        writer.finish()
        assert capfd.readouterr().out == "red]0;titletab\there\n"

    def test_a_file_name_cannot_drive_the_terminal(
        self, options: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        name = "\x1b[31m[bold]a[/red].txt"
        Path("\x1b[31m[bold]a[").mkdir()
        Path(name).write_text("The committee met.")
        assert run(["summarize", name, *options]) == 0
        stderr = capfd.readouterr().err
        assert CONTROL.search(stderr) is None
        assert "[bold]a[/red].txt: 5 tokens" in stderr
