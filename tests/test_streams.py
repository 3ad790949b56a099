"""The answer goes to stdout and nothing else does: pipes, files, terminals, Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import environment

from fastkv_cli import console
from fastkv_cli.cli import run
from fastkv_cli.console import AnswerWriter
from fastkv_cli.errors import ExitCode
from fastkv_cli.progress import ProgressBars

FILES = Path(__file__).parent / "documents" / "files"
PDF = FILES / "pdflatex-4-pages.pdf"
ANSI = re.compile(r"\x1b\[")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: dict[str, Path]
) -> list[str]:
    """Options for a quick run, in a folder of its own with a text in it."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("The committee met 14 times in 1999, and 3 times in 1998.\n")
    Path("b.txt").write_text("The quick brown fox jumps over the lazy dog.\n")
    return ["--model", str(tiny_models["llama"]), "--max-tokens", "12", "--dtype", "float32"]


@pytest.fixture
def endless(options: list[str], tiny_models: dict[str, Path], tmp_path: Path) -> list[str]:
    """Options for a model that never ends by itself: it knows no end token, and has no loops."""
    import transformers

    folder = tmp_path / "models" / "endless"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_models["llama"])
    tokenizer.add_special_tokens({"eos_token": "<|never|>"})
    tokenizer.save_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_models["llama"])
    assert tokenizer.eos_token_id >= model.config.vocab_size  # the model has no score for it
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    return [*options, "--model", str(folder), "--max-tokens", "1900", "--temperature", "1"]


def start(arguments: list[str], **changes: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fastkv_cli", *arguments],
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


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
    for row in ("Document", "Model", "TTFT", "Decode", "Peak memory", "KV cache", "Tokens kept"):
        assert f"\n{row}" in stderr


def test_no_stats_leaves_the_warnings(
    options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["ask", "a.txt", "When?", *options, "--no-stats"]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout.strip()
    assert stderr in ("", "warning: the answer stops at 12 tokens: give more with --max-tokens\n")


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
    assert "Document  " in stderr


def test_several_documents_are_all_read(
    options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["summarize", "a.txt", "b.txt", str(PDF), *options, "--pages", "1"]) == 2
    assert "a.txt is a text and has no pages" in capfd.readouterr().err
    assert run(["summarize", "b.txt", "a.txt", *options, "--json"]) == 0
    documents = json.loads(capfd.readouterr().out)["documents"]
    assert [document["path"] for document in documents] == ["b.txt", "a.txt"]
    assert all(document["tokens"] > 10 for document in documents)


class TestFiles:
    """-o FILE."""

    def test_the_file_holds_what_stdout_would(
        self, options: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["summarize", "a.txt", *options]
        before = set(Path().iterdir())
        assert run(arguments) == 0
        stdout = capfd.readouterr().out
        umask = os.umask(0o027)
        try:
            assert run([*arguments, "-o", "out.txt"]) == 0
        finally:
            os.umask(umask)
        assert capfd.readouterr().out == ""
        assert Path("out.txt").read_text(encoding="utf-8") == stdout
        assert stat.S_IMODE(Path("out.txt").stat().st_mode) == 0o640
        assert set(Path().iterdir()) == before | {Path("out.txt")}

    def test_json_goes_into_it(self, options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["summarize", "a.txt", *options, "--json", "-o", "out.json"]) == 0
        assert capfd.readouterr().out == ""
        assert json.loads(Path("out.json").read_text(encoding="utf-8"))["schema"] == "fastkv/1"

    def test_force_replaces_and_keeps_the_rights(self, options: list[str]) -> None:
        Path("out.txt").write_text("old")
        Path("out.txt").chmod(0o604)
        assert run(["summarize", "a.txt", *options, "-o", "out.txt"]) == ExitCode.OUTPUT
        assert Path("out.txt").read_text() == "old"
        assert run(["summarize", "a.txt", *options, "-o", "out.txt", "--force"]) == 0
        assert Path("out.txt").read_text(encoding="utf-8") != "old"
        assert stat.S_IMODE(Path("out.txt").stat().st_mode) == 0o604

    def test_a_link_stays_a_link(self, options: list[str]) -> None:
        Path("link.txt").symlink_to("there.txt")
        assert run(["summarize", "a.txt", *options, "-o", "link.txt"]) == 0
        assert Path("link.txt").is_symlink()
        assert Path("there.txt").stat().st_size > 1

    def test_a_device_is_written_to(self, options: list[str]) -> None:
        assert run(["summarize", "a.txt", *options, "-o", os.devnull]) == 0
        assert not Path(os.devnull).is_file()

    def test_a_failed_run_leaves_the_old_file(self, options: list[str]) -> None:
        Path("out.txt").write_text("old")
        before = sorted(Path().iterdir())
        assert run(["summarize", "no.txt", *options, "-o", "out.txt", "--force"]) == ExitCode.INPUT
        assert Path("out.txt").read_text() == "old"
        assert sorted(Path().iterdir()) == before

    def test_names_beyond_utf8_do_no_harm(
        self, options: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        name = os.fsdecode(b"caf\xe9.txt")
        try:
            Path(name).write_text("The committee met.")
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
        assert run(["summarize", name, *options, "--json", "-o", "out.json"]) == 0
        report = json.loads(Path("out.json").read_text(encoding="utf-8"))
        assert report["documents"][0]["path"] == "caf?.txt"
        assert run(["summarize", name, *options]) == 0


def test_killed_half_way_the_old_file_is_whole(tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: the name holds the old text or the new, never less."""
    code = """
import sys
from pathlib import Path
from fastkv_cli.console import AnswerWriter
writer = AnswerWriter(Path(sys.argv[1]), force=True)
writer.write("new " * 5_000_000)
print("now", flush=True)
writer.finish()
"""
    output = tmp_path / "out.txt"
    output.write_text("old")
    child = subprocess.Popen([sys.executable, "-c", code, output], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    assert output.read_text() in {"old", "new " * 5_000_000 + "\n"}


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
        assert run(["summarize", "a.txt", "-", *options, "--json"]) == 0
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


class TestClosedPipes:
    """The reader goes before the answer ends."""

    def test_stdout(self, endless: list[str]) -> None:
        child = start(["summarize", "a.txt", *endless])
        assert child.stdout is not None
        assert child.stderr is not None
        os.read(child.stdout.fileno(), 1)  # the answer has begun
        child.stdout.close()
        stderr = child.stderr.read()
        child.stderr.close()
        assert child.wait(timeout=120) == ExitCode.CLOSED_PIPE
        assert stderr == ""

    def test_stderr(self, options: list[str]) -> None:
        child = start(["summarize", "a.txt", *options])
        assert child.stdout is not None
        assert child.stderr is not None
        child.stderr.close()
        stdout = child.stdout.read()
        child.stdout.close()
        assert stdout.strip()
        assert child.wait(timeout=120) in {0, 120}  # 120: Python itself could not flush stderr

    def test_help(self) -> None:
        child = start(["--help"])
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
        child.stderr.close()
        assert child.wait(timeout=60) == ExitCode.CLOSED_PIPE

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_behind_stdout(self, options: list[str]) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "fastkv_cli", "summarize", "a.txt", *options, "-q"],
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=120,
            )
        assert done.returncode == ExitCode.OUTPUT
        assert re.fullmatch(r"fastkv: cannot write to stdout \(.*\): .*\n", done.stderr)


def test_no_colours_and_bars_without_a_terminal(
    options: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert run(["summarize", "a.txt", *options]) == 0
    stdout, stderr = capfd.readouterr()
    assert ANSI.search(stdout + stderr) is None
    assert "━" not in stderr


class Terminal:
    """A pseudo-terminal that a program has as its stderr (or as all its streams)."""

    def __init__(self) -> None:
        pty = pytest.importorskip("pty")
        self.ours, self.theirs = pty.openpty()
        termios = pytest.importorskip("termios")
        termios.tcsetwinsize(self.theirs, (30, 80))

    def read_until(self, words: str = "", timeout_s: float = 120) -> str:
        """What is shown, until it holds these words, or (without) until everyone is done."""
        read = b""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not select.select([self.ours], [], [], 1)[0]:
                continue
            try:
                new = os.read(self.ours, 65536)
            except OSError:  # Linux: everyone else has closed it
                break
            read += new
            if not new or (words and words.encode() in read):
                break
        return read.decode("utf-8", "replace")


def start_in_terminal(
    arguments: list[str], **changes: object
) -> tuple[subprocess.Popen[bytes], Terminal]:
    """A process whose stderr is a terminal, and whose stdout is a pipe."""
    terminal = Terminal()
    child = subprocess.Popen(
        [sys.executable, "-m", "fastkv_cli", *arguments],
        env=environment(TERM="xterm-256color", COLUMNS="80", **changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
    )
    os.close(terminal.theirs)
    return child, terminal


def finish(child: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit code and stdout."""
    assert child.stdout is not None
    stdout = child.stdout.read().decode("utf-8", "replace")
    child.stdout.close()
    return child.wait(timeout=60), stdout


@pytest.mark.parametrize("no_color", [False, True])
def test_under_a_terminal(options: list[str], no_color: bool) -> None:
    """Loading takes more than a second: the bar shows, on stderr alone, and then the table."""
    changes: dict[str, object] = {"NO_COLOR": "1"} if no_color else {}
    child, terminal = start_in_terminal(["summarize", "a.txt", *options], **changes)
    shown = terminal.read_until()
    code, stdout = finish(child)
    assert code == 0
    assert stdout.strip()
    assert CONTROL.search(stdout) is None
    assert "starting" in shown
    assert "━" in shown
    assert "Tokens kept" in shown
    coloured = re.search(r"\x1b\[[0-9;]*3[0-9]m", shown) is not None
    assert coloured is not no_color
    # the bar is erased before the table begins
    assert "━" not in shown[shown.rindex("\x1b[2K") :]


class TestInterrupt:
    """Ctrl-C: one line, exit code 130, and the answer so far on stdout."""

    def test_while_prefilling(self, options: list[str]) -> None:
        Path("long.txt").write_text("The committee met 14 times in 1999.\n\n" * 4000)
        child, terminal = start_in_terminal(["summarize", "long.txt", *options])
        shown = terminal.read_until("part 1 of")
        child.send_signal(signal.SIGINT)
        shown += terminal.read_until()
        assert finish(child) == (ExitCode.INTERRUPTED, "")
        # the bar is erased, and the cursor is back
        assert re.split(r"\x1b\[2K", shown)[-1] == "fastkv: interrupted\r\n"
        assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1

    def test_while_decoding(self, endless: list[str]) -> None:
        child = start(["summarize", "a.txt", *endless])
        assert child.stdout is not None
        select.select([child.stdout], [], [], 120)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
        assert child.returncode == ExitCode.INTERRUPTED
        assert stdout.strip()
        assert stdout.endswith("\n")
        assert stderr == "fastkv: interrupted\n"

    def test_while_decoding_for_a_file(self, endless: list[str]) -> None:
        before = set(Path().iterdir())
        child, terminal = start_in_terminal(["summarize", "a.txt", *endless, "-o", "out.txt"])
        terminal.read_until("answering")
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        shown = terminal.read_until()
        code, stdout = finish(child)
        assert code == ExitCode.INTERRUPTED
        assert stdout.strip()
        assert stdout.endswith("\n")
        assert shown.endswith("fastkv: interrupted: out.txt was not written\r\n")
        assert set(Path().iterdir()) == before


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
        arguments = ["summarize", "a.txt", *options, "--model", str(nasty_model)]
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
        assert "[bold]a[/red].txt: 18 characters" in stderr


class FakeTerminal(io.StringIO):
    """A terminal in memory."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def bars_on(screen: io.StringIO, *, enabled: bool = True) -> Iterator[ProgressBars]:
    """Bars as a run has them, with this as stderr."""
    with (
        contextlib.redirect_stderr(screen),
        ProgressBars(console.stderr_console(), enabled=enabled) as bars,
    ):
        yield bars


class TestProgressBars:
    """Bars that come late, go early, and take updates from any thread."""

    @pytest.fixture
    def screen(self, monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "80")
        return FakeTerminal()

    def test_quick_work_shows_nothing(self, screen: FakeTerminal) -> None:
        with bars_on(screen) as bars:
            bars.update("reading", 1, 4)
            bars.update("reading", 4, 4)
            bars.close()
            time.sleep(1.2)
        assert screen.getvalue() == ""

    def test_slow_work_shows_a_bar_that_fits_and_goes(self, screen: FakeTerminal) -> None:
        with bars_on(screen) as bars:
            bars.update(
                "a label much longer than any other label that [there] is", 1e9, 8e9, "bytes"
            )
            time.sleep(1.4)
            shown = screen.getvalue()
            bars.update("reading", 1024, 4012)
        last = re.split(r"\x1b\[2K", screen.getvalue())[-1]
        assert "1.0 of 8.0 GB" in shown
        for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines():
            assert len(line) <= 80
        assert "1,024 of 4,012 tokens" in screen.getvalue()
        assert last.strip() == ""

    def test_updates_race_with_closing(self, screen: FakeTerminal) -> None:
        done = threading.Event()
        failures: list[BaseException] = []

        def hammer(bars: ProgressBars) -> None:
            try:
                while not done.is_set():
                    bars.update("reading", 1, 4)
            except BaseException as error:  # noqa: BLE001 (nothing may go wrong)
                failures.append(error)

        with bars_on(screen) as bars:
            threads = [threading.Thread(target=hammer, args=[bars]) for _ in range(2)]
            for thread in threads:
                thread.start()
            for _ in range(50):
                bars.close()
                time.sleep(0.005)
            done.set()
            for thread in threads:
                thread.join()
        assert failures == []

    @pytest.mark.parametrize("reason", ["quiet", "dumb", "pipe"])
    def test_nobody_looks(
        self, reason: str, screen: FakeTerminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if reason == "dumb":
            monkeypatch.setenv("TERM", "dumb")
        stream = io.StringIO() if reason == "pipe" else screen
        with bars_on(stream, enabled=reason != "quiet") as bars:
            bars.update("reading", 1, 4)
            assert bars._timer is None
        assert stream.getvalue() == ""
