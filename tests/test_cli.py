"""Bad input: the exit code of each, one line that says what to do, and nothing left behind."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from fastkv_cli.cli import run as running
from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

FILES = Path(__file__).parent / "documents" / "files"
QUESTION = "What is it about?"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own as the working directory, with a good text in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_text("The committee met 14 times in 1999.\n")
    return tmp_path


def failure(
    arguments: list[str], code: ExitCode, words: str, capfd: pytest.CaptureFixture[str]
) -> str:
    """Run what must fail, and check all that holds for every failure."""
    before = sorted(Path().rglob("*"))
    capfd.readouterr()
    assert run(arguments) == code
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert stderr.startswith("fastkv: ")
    assert stderr.count("\n") == 1
    assert stderr.endswith("\n")
    assert len(stderr.split()) > 3
    assert "Traceback" not in stderr
    assert re.search(words, stderr), stderr
    assert sorted(Path().rglob("*")) == before
    return stderr


@pytest.mark.parametrize("command", ["summarize", "ask"])
@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (None, ExitCode.INPUT, "bad does not exist: check the path"),
        (b"", ExitCode.INPUT, "bad is empty: check that"),
        (b"\0\1\2\3" * 300, ExitCode.INPUT, "bad"),
        (b" \n\t\n ", ExitCode.INPUT, "bad"),
        ("invalid.pdf", ExitCode.INPUT, "bad"),
        ("qpdf_zero_pages.pdf", ExitCode.INPUT, "bad"),
        ("cardinal.pdf", ExitCode.INPUT, "no text.*run OCR"),
        ("no_contents.pdf", ExitCode.INPUT, "no text"),
        ("libreoffice-writer-password.pdf", ExitCode.ENCRYPTED, "--password.*FASTKV_PDF_PASSWORD"),
    ],
)
@pytest.mark.usefixtures("without_ocr")
def test_documents_that_cannot_be_read(
    here: Path,
    capfd: pytest.CaptureFixture[str],
    command: str,
    make: bytes | str | None,
    code: ExitCode,
    words: str,
) -> None:
    if isinstance(make, str):
        make = (FILES / make).read_bytes()
    if make is not None:
        (here / "bad").write_bytes(make)
    question = [QUESTION] if command == "ask" else []
    failure([command, "good.txt", "bad", *question], code, words, capfd)


def test_a_folder_without_documents(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    failure(["summarize", "empty"], ExitCode.INPUT, "empty holds no document: documents in", capfd)
    failure(["ask", "empty/*", "Who?"], ExitCode.INPUT, "matches no document", capfd)


@pytest.mark.parametrize("name", ["folder", "*.txt", "good.txt"])
def test_a_document_is_no_question(
    here: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    failure(["ask", "good.txt", name], ExitCode.USAGE, "the question is missing", capfd)


def test_passwords(
    here: Path,
    capfd: pytest.CaptureFixture[str],
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = str(FILES / "r4-aes-user-password.pdf")
    arguments = ["summarize", path, "-m", str(tiny_models["llama"]), "--max-tokens", "2", "-q"]
    failure(arguments, ExitCode.ENCRYPTED, "needs a password", capfd)
    failure(
        [*arguments, "--password", "wrong"], ExitCode.ENCRYPTED, "not the password|wrong", capfd
    )
    assert run([*arguments, "--password", "asdfzxcv"]) == 0
    monkeypatch.setenv("FASTKV_PDF_PASSWORD", "wrong")
    failure(arguments, ExitCode.ENCRYPTED, "not the password|wrong", capfd)
    monkeypatch.setenv("FASTKV_PDF_PASSWORD", "asdfzxcv")
    assert run(arguments) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--budget", "0%"], "budget 0 is out of range: a share is above 0% and at most 100%"),
        (["--budget", "101%"], "above 0% and at most 100%"),
        (["--budget", "0"], "budget 0 is out of range: .* 1 or more"),
        (["--budget", "0.5"], "for a share write 0.5%"),
        (["--budget", "much"], "as 10%, or a number of tokens"),
        (["--budget", "-5"], "budget"),
        (["--tsp-rate", "0"], "TSP rate 0 is out of range: it is above 0 and at most 1"),
        (["--tsp-rate", "1.5"], "TSP rate 1.5 is out of range: it is above 0 and at most 1"),
        (["--tsp-rate", "nan"], "TSP rate nan is out of range"),
        (["--tsp-layer", "-1"], "TSP layer -1 is out of range: layers count from 0"),
        (["--tsp-layer", "4"], "TSP layer 4 is out of range: this model has layers 0 to 3"),
        (["--tsp-layer", "two"], "--tsp-layer.*see fastkv summarize --help"),
        (["--budget", "50%", "--tsp-rate", "0.2"], r"no layer can keep more .*\(0, 0.2\]"),
        (["--method", "full", "--budget", "10%"], "leave out --budget"),
        (["--temperature", "-1"], "temperature -1 is out of range: give a value between 0 and 5"),
        (["--temperature", "6"], "give a value between 0 and 5"),
        (["--temperature", "nan"], "temperature nan is out of range"),
        (["--seed", "-1"], "seed -1 is out of range: give a value between 0 and"),
        (["--seed", "x"], "--seed.*see fastkv summarize --help"),
        (["--max-tokens", "0"], "--max-tokens 0 is out of range: give a number from 1"),
        (["--pages", "0"], "the first page is 1"),
        (["--pages", "5-2"], "runs backwards: write 2-5"),
        (["--pages", "1"], "is not a PDF and has no pages"),
        (["--length", "huge"], "'short', 'medium', 'long'"),
        (["--method", "magic"], "'fastkv', 'full'"),
        (["--dtype", "int3"], "'bfloat16'"),
        (["--device", "abacus"], "unknown device 'abacus': give auto, or one that is there: cpu"),
        (["--attention", "flash"], "flash.*(CUDA|extra|sdpa)"),
        (["--frobnicate"], r"No such option: --frobnicate .*\(see fastkv summarize --help\)"),
        (["--model"], "requires an argument.*see fastkv summarize --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_out_of_range(
    here: Path,
    capfd: pytest.CaptureFixture[str],
    tiny_models: dict[str, Path],
    options: list[str],
    words: str,
) -> None:
    arguments = ["summarize", "good.txt", "-m", str(tiny_models["llama"]), "--max-tokens", "2"]
    failure([*arguments, *options], ExitCode.USAGE, words, capfd)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ask"], "the question is missing: put it last, as in: fastkv ask"),
        (["ask", "good.txt"], "the question is missing"),
        (["ask", "good.txt", " "], "the question is missing"),
        (["ask", "good.txt", "-"], "the question is missing"),
        (["summarise", "good.txt"], r"No such command 'summarise'.*\(see fastkv --help\)"),
        (["--frobnicate"], r"No such option: --frobnicate \(see fastkv --help\)"),
        (["summarize", "-", "-"], "standard input can be read only once"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_commands(
    here: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    failure(arguments, ExitCode.USAGE, words, capfd)


def test_no_command_shows_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([]) == ExitCode.USAGE
    stdout, stderr = capfd.readouterr()
    assert "summarize" in stdout
    assert stderr == "fastkv: no command given: try fastkv summarize FILE\n"


@pytest.mark.parametrize("command", ["summarize", "ask"])
def test_a_keyboard_as_stdin_is_an_error_and_no_wait(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    pty = pytest.importorskip("pty")
    keyboard, terminal = pty.openpty()
    with os.fdopen(terminal, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        question = [QUESTION] if command == "ask" else []
        failure([command, *question], ExitCode.USAGE, "no document given: name", capfd)
    os.close(keyboard)


@pytest.mark.parametrize(
    "arguments",
    [["summarize"], ["extract"], ["ask", QUESTION], ["ask", "good.txt", "--questions", "-"]],
    ids=" ".join,
)
def test_a_closed_stdin_is_told(
    here: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it after <&-
    failure(arguments, ExitCode.USAGE, "standard input is closed: name a file", capfd)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("no-such-model", "unknown model 'no-such-model': give smollm2-135m"),
        ("./no-such-folder", "there is no model at ./no-such-folder"),
        ("good.txt", "good.txt"),
        (" ", "empty"),
    ],
)
def test_unknown_models(
    here: Path, capfd: pytest.CaptureFixture[str], model: str, words: str
) -> None:
    failure(["summarize", "good.txt", "--model", model], ExitCode.MODEL, words, capfd)


@pytest.mark.parametrize("by_flag", [True, False])
def test_a_model_missing_while_offline(
    here: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    by_flag: bool,
) -> None:
    arguments = ["summarize", "good.txt", "--model", "nobody/nothing"]
    if by_flag:
        arguments.append("--offline")
    else:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    failure(arguments, ExitCode.MODEL, "not in the Hugging Face cache.*without --offline", capfd)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("good.txt", "good.txt exists already: give --force"),
        (".", "is a folder; give a file"),
        ("no/folder/out.txt", "make the folder no/folder first"),
        ("good.txt/out.txt", "good.txt/out.txt"),
        ("x" * 300, "(?i)too long.*: name another file"),
        ("circle", "circle"),
    ],
)
def test_outputs_that_cannot_be_written(
    here: Path, capfd: pytest.CaptureFixture[str], output: str, words: str
) -> None:
    Path("circle").symlink_to("circle")
    arguments = ["summarize", "missing.txt", "-o", output]  # found out before anything is read
    failure(arguments, ExitCode.OUTPUT, words, capfd)
    assert Path("good.txt").read_text() == "The committee met 14 times in 1999.\n"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs another user to be")
def test_a_folder_without_permission(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_CONFIG", "/config.toml")  # in a folder that all can read
    tmp_path.chmod(0o755)
    os.seteuid(65534)
    try:
        assert run(["summarize", "x", "-o", "/proc/1/out.txt"]) == ExitCode.OUTPUT
        assert run(["summarize", "x", "-o", str(tmp_path / "out.txt")]) in {ExitCode.OUTPUT}
    finally:
        os.seteuid(0)
    for line in capfd.readouterr().err.splitlines():
        assert re.fullmatch(r"fastkv: cannot write .*: .*", line)


def test_no_room_for_text(
    here: Path, capfd: pytest.CaptureFixture[str], tiny_models: dict[str, Path]
) -> None:
    arguments = ["ask", "good.txt", QUESTION, "-m", str(tiny_models["llama"])]
    words = "no room for text: .*2,048.*shorten the question or give a smaller --max-tokens"
    failure([*arguments, "--max-tokens", "2040"], ExitCode.CONTEXT, words, capfd)
    long_question = [*arguments[:2], QUESTION * 400, *arguments[3:]]
    failure(long_question, ExitCode.CONTEXT, "no room for text", capfd)


def test_debug_shows_the_traceback(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["summarize", "missing.txt", "--debug"]) == ExitCode.INPUT
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert "Traceback (most recent call last)" in stderr
    assert "DocumentError" in stderr
    assert stderr.splitlines()[-1].startswith("fastkv: missing.txt does not exist")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ValueError("odd\nthing"), ExitCode.FAILURE, "unexpected ValueError: odd thing; run again"),
        (KeyError(), ExitCode.FAILURE, "unexpected KeyError; run again with --debug"),
        (MemoryError(), ExitCode.MEMORY, "memory ran out: try"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "fastkv: interrupted"),
        (RuntimeError("\x1b[31mred"), ExitCode.FAILURE, "unexpected RuntimeError"),
    ],
)
def test_what_nobody_expected_is_one_line(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: ExitCode,
    words: str,
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(running, "answer_once", fail)
    assert run(["summarize", "-"]) == code
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert re.search(words, stderr)
    assert stderr.count("\n") == 1
    assert "\x1b" not in stderr
    assert "Traceback" not in stderr


def test_the_help_names_every_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    stdout = capfd.readouterr().out
    for code in ExitCode:
        assert re.search(rf"^\s*{code.value}\s+{re.escape(code.meaning)}\s*$", stdout, re.MULTILINE)


def test_the_help_of_a_command_names_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    expected = (
        "--length --method --budget --tsp-layer --tsp-rate --max-tokens --seed --temperature "
        "--dtype --device --attention --pages --json --stats --no-stats --quiet -q --output -o "
        "--debug --password --model -m --offline --force"
    )
    assert run(["summarize", "--help"]) == 0
    stdout = capfd.readouterr().out
    assert [
        option for option in expected.split() if not re.search(f" {option}[ ,]|,{option} ", stdout)
    ] == []


def test_the_process_exits_with_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastkv_cli", "summarize", "no-such-file.txt"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == ExitCode.INPUT
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "fastkv: no-such-file.txt does not exist: check the path and the spelling"
    ]


def test_an_empty_pipe_is_an_empty_document(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    failure(["summarize"], ExitCode.INPUT, "standard input is empty", capfd)
