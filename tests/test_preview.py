"""`fastkv extract` and `--dry-run`, from the command line: what they say, and what they leave be."""

from __future__ import annotations

import json
import re
import shutil
from math import nan
from pathlib import Path

import pytest
from processes import quick_options
from safetensors.torch import load_file, save_file

from fastkv_cli import Engine
from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

Capture = pytest.CaptureFixture[str]
FILES = Path(__file__).parent / "documents" / "files"
DAMAGED = str(FILES / "cfr_21_1308_damaged_pages.pdf")
MIXED = str(FILES / "pdflatex-4-pages.pdf")


@pytest.fixture
def options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: dict[str, Path]
) -> list[str]:
    return quick_options(tmp_path, monkeypatch, tiny_models)


@pytest.fixture
def model(options: list[str]) -> list[str]:
    return options[:2]


def test_pages_are_shown_and_counted(model: list[str], capfd: Capture) -> None:
    assert run(["extract", MIXED, "--pages", "2-3", *model]) == 0
    stdout, stderr = capfd.readouterr()
    assert re.findall(r"^--- page (\d) of 4 ---$", stdout, re.MULTILINE) == ["2", "3"]
    assert "Huardest gefburn" in stdout
    assert re.search(r"^ +2 +3,953 +\d", stderr, re.MULTILINE)


def test_the_json_counts_what_the_model_would_read(model: list[str], capfd: Capture) -> None:
    assert run(["extract", DAMAGED, "a.txt", "--json", *model]) == 0
    pdf, text = json.loads(capfd.readouterr().out)["documents"]
    assert (pdf["num_pages"], len(pdf["pages"])) == (19, 19)
    unread = [page["number"] for page in pdf["pages"] if page["status"] != "read"]
    assert unread == [2, 12, 13]
    tokenizer = Engine.load(model[1], dtype="float32", device="cpu").tokenizer
    assert text["tokens"] == len(tokenizer(text["text"], add_special_tokens=False)["input_ids"])
    for page in pdf["pages"][:3]:
        alone = tokenizer(page["text"], add_special_tokens=False)["input_ids"]
        assert abs(page["tokens"] - len(alone)) <= 2  # a token may reach over a page's edge


def test_extract_writes_files_and_fails_as_every_command(model: list[str], capfd: Capture) -> None:
    assert run(["extract", "a.txt", "-o", "out.txt", "-q", *model]) == 0
    assert capfd.readouterr() == ("", "")
    assert Path("out.txt").read_text() == Path("a.txt").read_text()
    assert run(["extract", "a.txt", "-o", "out.txt", *model]) == ExitCode.OUTPUT
    assert run(["extract", "missing.txt", *model]) == ExitCode.INPUT
    assert run(["extract", "a.txt", "--pages", "2", *model]) == ExitCode.USAGE
    assert run(["extract", "a.txt", "--model", "missing/"]) == ExitCode.MODEL


def dry_run(arguments: list[str], capfd: Capture) -> dict[str, object]:
    capfd.readouterr()
    assert run([*arguments, "--dry-run", "--json"]) == 0
    found: dict[str, object] = json.loads(capfd.readouterr().out)
    return found


@pytest.mark.parametrize(
    "command", [["ask", "long.txt", "Who met?", "--no-check"], ["summarize", "long.txt"]]
)
@pytest.mark.parametrize("repetitions", [20, 200])
def test_what_is_told_is_what_happens(
    options: list[str], capfd: Capture, command: list[str], repetitions: int
) -> None:
    """Parts, bytes and tokens of the real run, told before."""
    Path("long.txt").write_text(Path("a.txt").read_text() * repetitions)
    arguments = [*command, *options, "--budget", "25%"]
    told = dry_run(arguments, capfd)
    assert run([*arguments, "--json"]) == 0
    happened = json.loads(capfd.readouterr().out)
    assert told["documents"] == happened["documents"]
    reading, kv = told["reading"], happened["kv"]
    assert isinstance(reading, dict)
    assert reading["parts"] == happened["reading"]["parts"]
    assert reading["tokens"] == happened["reading"]["tokens_read"]
    assert reading["fits_window"] is (repetitions == 20)
    assert (told["method"], told["settings"]) == (kv["method"], kv["settings"])
    if repetitions == 20 and command[0] == "ask":  # a summary's text is scored, and not kept
        memory = told["memory"]
        assert isinstance(memory, dict)
        assert reading["longest_prompt"] == happened["stats"]["prompt_tokens"] + 12
        assert memory["kept_kv_bytes"] == kv["kept_bytes"]
        per_token = kv["full_bytes"] // happened["stats"]["prompt_tokens"]
        assert memory["full_kv_bytes"] == per_token * reading["longest_prompt"]
    if command[0] == "summarize" and repetitions == 20:
        assert reading["longest_prompt"] < 2048
    seconds = told["time"]
    assert isinstance(seconds, dict)
    assert 0 < seconds["first_token_s"] < seconds["answer_s"]
    assert seconds["output_tokens"] == 12


def test_a_summary_keeps_nothing_of_its_text(options: list[str], capfd: Capture) -> None:
    """Its text is scored; its answer is written from the key sentences, or quoted."""
    Path("long.txt").write_text(Path("a.txt").read_text() * 60)
    prose = dry_run(["summarize", "long.txt", *options, "--budget", "100%"], capfd)
    quoted = dry_run(["summarize", "long.txt", *options, "--style", "extractive"], capfd)
    for told in (prose, quoted):
        memory, reading = told["memory"], told["reading"]
        assert isinstance(memory, dict)
        assert isinstance(reading, dict)
        # the text's full cache is what reading it would keep
        assert memory["kept_kv_bytes"] < 0.2 * memory["full_kv_bytes"]
        assert reading["longest_prompt"] > reading["tokens"]
    seconds = [told["time"] for told in (prose, quoted)]
    assert isinstance(seconds[0], dict)
    assert isinstance(seconds[1], dict)
    assert (seconds[0]["output_tokens"], seconds[1]["output_tokens"]) == (12, 0)
    assert seconds[1]["answer_s"] == seconds[1]["first_token_s"] < seconds[0]["first_token_s"]


@pytest.mark.parametrize("repetitions", [60, 300])
def test_stored_prefix_states_are_found(
    options: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch, repetitions: int
) -> None:
    """In one prompt and in parts; and not with another number format."""
    monkeypatch.setenv("FASTKV_HOME", str(Path("home").absolute()))
    lines = (f"The committee met {n} times in {1000 + n}.\n" for n in range(repetitions))
    Path("long.txt").write_text("".join(lines))
    arguments = ["ask", "long.txt", "Who met?", "--no-check", *options]
    before = dry_run(arguments, capfd)["time"]
    assert run([*arguments[:2], "When did they meet?", *arguments[3:], "--json"]) == 0
    kept = json.loads(capfd.readouterr().out)["reading"]["state"]["tokens_kept"]
    after = dry_run(arguments, capfd)["time"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert (before["tokens_found"], after["tokens_found"]) == (0, kept)
    assert kept > 0
    assert after["first_token_s"] < before["first_token_s"]
    assert dry_run([*arguments, "--attention", "sdpa"], capfd)["time"] == after
    other = dry_run([*arguments, "--no-store"], capfd)["time"]
    assert isinstance(other, dict)
    assert other["tokens_found"] == 0


def test_no_weights_are_looked_at(
    options: list[str], capfd: Capture, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "hollow"
    shutil.copytree(tiny_models["llama"], folder)
    weights = load_file(folder / "model.safetensors")  # its header is read: it has the shapes
    for tensor in weights.values():
        tensor.fill_(nan)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    arguments = ["ask", "a.txt", "Who?", *options, "--model", str(folder)]
    assert dry_run(arguments, capfd)["max_context"] == 2048
    assert run(arguments) == ExitCode.MODEL


def test_the_table_is_on_stdout(options: list[str], capfd: Capture) -> None:
    assert run(["summarize", DAMAGED, "--dry-run", *options]) == 0
    stdout, stderr = capfd.readouterr()
    assert "16 of 19 pages (3 failed)" in stdout
    assert re.search(r"^Parts +\d+: \w", stdout, re.MULTILINE)
    assert re.search(r"^Peak memory +about [\d,.]+ .iB; [\d,.]+ .iB in full$", stdout, re.MULTILINE)
    assert re.search(r"^Time +about [\d.]+ s to the first token, [\d.]+ s with an", stdout, re.M)
    assert stderr.startswith("warning: ")


def test_mistakes_are_found_without_weights_too(options: list[str], capfd: Capture) -> None:
    assert run(["ask", "a.txt", "Who?", "--dry-run", *options, "--tsp-layer", "9"]) == 2
    assert "TSP layer 9 is out of range" in capfd.readouterr().err
    assert run(["ask", "a.txt", "Who? " * 3000, "--dry-run", *options]) == ExitCode.CONTEXT
