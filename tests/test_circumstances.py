"""Odd circumstances: closed and full streams, no home, deleted folders, long names and numbers.

What is written stays written; what cannot be done is one line and the documented exit code.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from fastkv_cli.cli.app import run
from fastkv_cli.config import MAX_TOKENS, Budget, PageRange, cache_dir, parse_tokens
from fastkv_cli.errors import ExitCode, ModelError, OutputError, UsageError, is_memory_error
from fastkv_cli.models import resolve_model
from fastkv_cli.output.output_file import check_writable, find_descriptor, write_file
from fastkv_cli.output.render.store_tables import list_json, list_tables
from fastkv_cli.output.render.table_text import render_text
from fastkv_cli.sizes import parse_age, parse_size
from fastkv_cli.store import StateEntry

FASTKV = f"{sys.executable} -m fastkv_cli"
LINE = re.compile(r"fastkv: [^\n]+\n")
WRITES = f"""{sys.executable} -c '
import sys
from pathlib import Path
from fastkv_cli.output.standard_streams import prepare_streams
prepare_streams()
from fastkv_cli.output.console import AnswerWriter
from fastkv_cli.errors import FastKVError
try:
    writer = AnswerWriter(Path(sys.argv[1]), force=False)
    writer.write("the answer")
    writer.finish()
except FastKVError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
'"""
SIZE_NAMES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
SIZES = f"""
import os, sys
from fastkv_cli.output.standard_streams import prepare_streams
for name in {SIZE_NAMES}:
    for size in ("0", "1", "-5", "abc", "²", "9999", "10000", "9" * 5000):
        os.environ[name] = size
        prepare_streams()
        if name in os.environ:
            print(name, os.environ[name], sep="=", file=sys.stderr)
"""
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
posix = pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
pytestmark = posix


def shell(script: str, **changes: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )


class TestStreams:
    """Standard streams that are closed, full, or in another encoding."""

    @pytest.mark.parametrize("arguments", ["--version", "--help", "cache path"])
    @pytest.mark.parametrize("stdout", [pytest.param(">/dev/full", marks=needs_full), ">&-"])
    def test_stdout_that_takes_nothing(self, arguments: str, stdout: str) -> None:
        done = shell(f"{FASTKV} {arguments} {stdout}")
        assert done.returncode == ExitCode.OUTPUT
        assert LINE.fullmatch(done.stderr)

    @pytest.mark.parametrize("arguments", ["--version", "cache ls"])
    @pytest.mark.parametrize("stderr", [pytest.param("2>/dev/full", marks=needs_full), "2>&-"])
    def test_stderr_that_takes_nothing_costs_nothing(self, arguments: str, stderr: str) -> None:
        assert shell(f"{FASTKV} {arguments} {stderr}").returncode == 0

    @needs_full
    def test_an_answer_survives_a_full_stderr(self, options: list[str]) -> None:
        done = shell(f"{FASTKV} summarize a.txt {' '.join(options)} 2>/dev/full")
        assert done.returncode == 0
        assert done.stdout.strip()

    @needs_full
    def test_an_error_keeps_its_code(self) -> None:
        done = shell(f"{FASTKV} extract --nothing 2>/dev/full")
        assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")

    def test_a_closed_descriptor_is_given_to_no_file(self, tmp_path: Path) -> None:
        code = (
            "from fastkv_cli.output.standard_streams import prepare_streams; prepare_streams(); "
            "import os, sys; print(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), file=sys.stderr)"
        )
        done = shell(f"{sys.executable} -c '{code}' {tmp_path}/new <&- >&-")
        assert done.returncode == 0
        assert int(done.stderr) > 2

    @pytest.mark.parametrize("name", ["ascii", "latin-1"])
    def test_help_in_any_encoding(self, name: str) -> None:
        done = shell(f"{FASTKV} extract --help", PYTHONIOENCODING=name)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("size", ["1", "²", "9" * 5000], ids=ascii)
    def test_a_terminal_of_any_size(self, size: str) -> None:
        """Rich reads COLUMNS where TERMINAL_WIDTH is none, so that both can fail at once."""
        done = shell(f"{FASTKV} cache --help", COLUMNS=size, TERMINAL_WIDTH=size)
        assert done.returncode == 0

    def test_sizes_that_are_none_are_dropped(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", SIZES], capture_output=True, text=True, check=True
        )
        left = [f"{name}={size}" for name in SIZE_NAMES for size in ("1", "9999")]
        assert done.stderr.splitlines() == left


class TestOutput:
    """Where -o can lead."""

    @pytest.mark.parametrize(
        ("script", "shown"),
        [
            (f"{WRITES} out.txt >&-; code=$?; cat out.txt; exit $code", "the answer\n"),
            (f"{WRITES} out.txt <&- >&- 2>&-; code=$?; cat out.txt; exit $code", "the answer\n"),
            (f"set -o pipefail; {WRITES} /dev/stdout | cat", "the answer\n"),
            (f"{WRITES} /dev/stdout", "the answer\n"),
            (f"echo before >f; {WRITES} /dev/stdout >>f; cat f", "before\nthe answer\n"),
            (f"echo before >f; {WRITES} /dev/fd/3 3>>f; cat f", "before\nthe answer\n"),
            (f"ln -s /dev/stdout link; {WRITES} link", "the answer\n"),
            (f"mkfifo p; cat p & {WRITES} p; wait", "the answer\n"),
            (f"{WRITES} >(cat >f; echo done >>f) && while ! grep -q done f; do :; done; cat f", "the answer\ndone\n"),
            (f"{WRITES} /dev/null", ""),
        ],
        ids=["closed", "all closed", "pipe", "stdout", "append", "fd", "link", "fifo", ">()", "null"],
    )  # fmt: skip
    def test_it_is_written(
        self, script: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        done = shell(script)
        assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")
        assert not list(tmp_path.glob(".fastkv-*"))

    @pytest.mark.parametrize(
        "script",
        [
            f"{WRITES} /dev/stdout >&-",
            f"{WRITES} /dev/fd/9",
            f"{WRITES} /dev/fd/3 3</dev/null",
            pytest.param(f"{WRITES} /dev/full", marks=needs_full),
            f"(ulimit -f 0; {WRITES} out.txt)",
        ],
        ids=["closed", "no such", "reading", "full", "ulimit -f"],
    )
    def test_it_cannot_be_written(
        self, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        done = shell(script)
        assert (done.returncode, done.stdout) == (ExitCode.OUTPUT, "")
        assert re.fullmatch(r"[^\n]+\n", done.stderr)
        assert list(tmp_path.iterdir()) == []

    @needs_full
    @pytest.mark.parametrize("more", [[], ["--json"], ["--question", "When?"]], ids=str)
    def test_an_answer_is_shown_where_its_file_fails(
        self, options: list[str], more: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        task = ["ask", "a.txt"] if "--question" in more else ["summarize", "a.txt"]
        assert run([*task, *more, *options, "-q", "-o", "/dev/full"]) == ExitCode.OUTPUT
        stdout, stderr = capfd.readouterr()
        assert stdout.strip()
        assert re.fullmatch(r"fastkv: cannot write /dev/full \([^\n]+\n", stderr)

    @pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a\0b", "\ud800", "none/x", "/"])
    def test_unusable_names(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(OutputError, match="cannot write"):
            check_writable(Path(name), force=False)
        with pytest.raises(OutputError, match="cannot write"):
            write_file(Path(name), b"data")

    def test_what_is_no_descriptor(self, tmp_path: Path) -> None:
        assert find_descriptor(tmp_path / "1") is None
        assert find_descriptor(Path(f"/dev/fd/{'9' * 5000}")) is None
        assert find_descriptor(Path("/dev/fd/1")) == 1

    def test_sigterm_waits_for_the_file(self, tmp_path: Path) -> None:
        code = """
import os, signal, sys
from pathlib import Path
from fastkv_cli.output import output_file
replace = Path.replace
def slow(self, target):
    os.kill(os.getpid(), signal.SIGTERM)  # in the middle of writing
    return replace(self, target)
Path.replace = slow
output_file.write_file(Path(sys.argv[1]), b"whole")
print("not reached")
"""
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "out.txt"], capture_output=True, check=False
        )
        assert (done.returncode, done.stdout) == (-signal.SIGTERM, b"")
        assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
        assert (tmp_path / "out.txt").read_bytes() == b"whole"


@pytest.fixture
def deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is gone."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


class TestDeletedFolder:
    """The current folder was deleted."""

    def test_a_document_by_its_whole_path(self, options: list[str], tmp_path: Path) -> None:
        done = shell(f"cd {tmp_path}; mkdir gone; cd gone; rmdir ../gone; {FASTKV} extract {tmp_path}/a.txt -m {options[1]} -q")  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert "committee" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["--version"], ExitCode.OK),
            (["cache", "ls"], ExitCode.OK),
            (["extract", "a.txt"], ExitCode.INPUT),
            (["extract", "."], ExitCode.INPUT),
            (["extract", "*.txt"], ExitCode.INPUT),
            (["extract", "/none.txt", "-o", "out.txt"], ExitCode.OUTPUT),
            (["ask", "/none.txt", "--questions", "q.txt"], ExitCode.USAGE),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,
    )
    def test_commands(
        self, deleted: None, arguments: list[str], code: int, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(arguments) == code
        stderr = capfd.readouterr().err
        assert "unexpected" not in stderr
        assert code == ExitCode.OK or LINE.fullmatch(stderr)

    def test_a_relative_cache(self, deleted: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FASTKV_HOME", "here")
        with pytest.raises(UsageError, match="FASTKV_HOME=here cannot be a folder"):
            cache_dir()


class TestHome:
    """Where the user has no home, or one that is no folder."""

    @pytest.mark.parametrize("home", ["~nobody-knows/x", "x" * 300, "/" + "x" * 5000])
    def test_fastkv_home_that_can_be_none(
        self, home: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FASTKV_HOME", home)
        for arguments in (["cache", "ls"], ["cache", "path"], ["cache", "prune"]):
            assert run(arguments) == ExitCode.USAGE
            assert LINE.fullmatch(capfd.readouterr().err)
        from fastkv_cli.cli.commands.cache_command import complete_states

        assert complete_states("") == []

    def test_a_relative_fastkv_home_is_told_whole(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("FASTKV_HOME", "here")
        assert cache_dir() == tmp_path / "here"

    @pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root becomes another user"
    )
    def test_a_user_whom_nobody_knows(self) -> None:
        code = """
import os, sys
from fastkv_cli.cli.app import run
import platformdirs.unix, pwd, fastkv_cli.config, fastkv_cli.models.hub, fastkv_cli.cli.housekeeping
import rich.console, fastkv_cli.store
run(["cache", "path"])  # imports what it needs: the next user may not read this Python
for name in ("HOME", "FASTKV_HOME", "HF_HOME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
os.setuid(54321)
sys.exit(run(["cache", "path"]))
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == ExitCode.USAGE
        assert "no home folder is known" in done.stderr
        assert LINE.fullmatch(done.stderr)

    def test_no_home_for_hub_models(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HOME", "~nobody-knows/x")
        with pytest.raises(ModelError, match="no home folder is known for the Hugging Face cache"):
            resolve_model("org/name", offline=True)


DIGITS = "9" * 5000


class TestLongNamesAndNumbers:
    """Longer than anything, in no encoding, of other scripts."""

    @pytest.mark.parametrize(
        "name", ["x" * 300, "x" * 5000, "./" + "x" * 300, "org/" + "x" * 300, "a\0b", "a\nb", "\udcff", "~nobody-knows/x"],
        ids=ascii,
    )  # fmt: skip
    def test_models(self, name: str) -> None:
        with pytest.raises(ModelError):
            resolve_model(name, offline=True)

    @pytest.mark.parametrize(
        "text", [DIGITS, f"0.{DIGITS}", f"{DIGITS}%", "²", "nan", "inf", "1e9"]
    )
    def test_what_is_no_number(self, text: str) -> None:
        for parse in (Budget.parse, parse_tokens, PageRange.parse, parse_size, parse_age):
            with pytest.raises(UsageError):
                parse(text)

    @pytest.mark.parametrize("unit", ["", "GB", "GiB"])
    def test_store_limit(
        self, unit: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FASTKV_STORE_LIMIT", DIGITS + unit)
        assert run(["cache", "ls"]) == ExitCode.USAGE
        stderr = capfd.readouterr().err
        assert LINE.fullmatch(stderr)
        assert len(stderr) < 1000  # a line that a person can read

    def test_numbers_at_their_ends(self) -> None:
        assert Budget.parse("1000000k") == Budget(tokens=MAX_TOKENS)
        assert Budget.parse("٣٢") == Budget(tokens=32)
        assert PageRange.parse("1-999999999999999999").spans == ((1, 10**18 - 1),)
        for text in ("1000001k", "9" * 18):
            with pytest.raises(UsageError, match="out of range"):
                Budget.parse(text)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["summarize", "a.txt", "--pages", DIGITS],
            ["summarize", "a.txt", "--budget", DIGITS],
            ["summarize", "a.txt", "--max-tokens", DIGITS],
            ["summarize", "a.txt", "--max-tokens", "1000000001"],
            ["summarize", "a.txt", "--seed", DIGITS],
            ["summarize", "a.txt", "--temperature", DIGITS],
            ["summarize", "a.txt", "--extract-timeout", DIGITS],
            ["summarize", "a.txt", "--tsp-layer", DIGITS],
            ["summarize", "a.txt", "--tsp-rate", "nan"],
            ["bench", "--prompt-tokens", DIGITS],
            ["bench", "--budget", DIGITS],
            ["eval", "--lengths", DIGITS],
            ["eval", "--budgets", DIGITS],
            ["eval", "--texts", DIGITS],
            ["eval", "--qa", DIGITS],
            ["calibrate", "--tolerance", DIGITS],
            ["cache", "prune", "--limit", DIGITS],
            ["cache", "prune", "--older-than", f"{DIGITS}d"],
        ],
        ids=lambda arguments: " ".join(arguments)[:30],
    )
    def test_options(self, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        assert run(arguments) == ExitCode.USAGE
        assert LINE.fullmatch(capfd.readouterr().err)

    def test_device(self) -> None:
        from fastkv_cli.engine.model.hardware import choose_device

        with pytest.raises(UsageError, match="unknown device"):
            choose_device(f"cuda:{DIGITS}")


@pytest.mark.parametrize("seconds", [253402300800.0, 1e18, -62135596801.0, -1e18])
def test_states_of_no_year(seconds: float) -> None:
    entry = StateEntry(Path(f"{'0' * 32}.safetensors"), 1, seconds, None)
    assert "–" in render_text(*list_tables([entry], 10))
    assert '"last_used": null' in list_json([entry], Path(), 10)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 4e9])
def test_states_of_other_times(seconds: float) -> None:
    entry = StateEntry(Path(f"{'0' * 32}.safetensors"), 1, seconds, None)
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", render_text(*list_tables([entry], 10)))


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is enforced on Linux alone")
@pytest.mark.parametrize("kilobytes", [60_000, 300_000, 550_000, 650_000])
def test_little_memory_is_told(options: list[str], kilobytes: int) -> None:
    """PyTorch would fail in many ways, of which one ends the process with code 1."""
    done = shell(f"ulimit -v {kilobytes}; {FASTKV} extract a.txt -m {options[1]}")
    assert done.returncode == ExitCode.MEMORY
    assert LINE.fullmatch(done.stderr)


def test_memory_errors_are_known() -> None:
    def failed(error: Exception, cause: Exception | None = None) -> bool:
        error.__cause__ = cause
        return is_memory_error(error)

    assert failed(ImportError("libtorch_cpu.so: failed to map segment from shared object"))
    assert failed(RuntimeError("can't start new thread"))
    assert failed(OSError(12, "Cannot allocate memory"))
    assert failed(ValueError("no"), MemoryError())
    assert not failed(ImportError("No module named x"))
