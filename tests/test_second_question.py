"""The second question, from the command line: it starts from what the first one left."""

from __future__ import annotations

import json
import os
import shutil
import stat
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from processes import start

from fastkv_cli.cli.app import run

RULES = files("fastkv_cli.evaluation") / "data" / "nist-sp800-63b.md"
QUESTIONS = ("What are look-up secrets?", "How long shall a memorized secret be at least?")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fastkv_home: Path) -> Path:
    """A home of its own for what is kept."""
    home = tmp_path / "home"
    home.mkdir()
    (fastkv_home / "models").mkdir(exist_ok=True)
    (home / "models").symlink_to(fastkv_home / "models", target_is_directory=True)
    monkeypatch.setenv("FASTKV_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def embedded_document(home: Path, embedded_dir: Path) -> str:
    """A text of about 900 tokens, for the model that most people have."""
    Path("rules.md").write_text(RULES.read_text("utf-8")[8_000:12_000])
    return "rules.md"


@pytest.fixture
def document(home: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """A text of about as many tokens of a tiny model: what is found and kept is the same there."""
    monkeypatch.setenv("FASTKV_MODEL", str(tiny_models["llama"]))
    Path("rules.md").write_text(RULES.read_text("utf-8")[8_000:10_000])
    return "rules.md"


def states() -> list[Path]:
    return sorted((Path(os.environ["FASTKV_HOME"]) / "states").glob("*.safetensors"))


def ask(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, Any], str]:
    assert run(["ask", *arguments, "--json", "--max-tokens", "12", "--no-check"]) == 0
    out, err = capfd.readouterr()
    report: dict[str, Any] = json.loads(out)
    return report, err


def known(report: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a state was found, and whether one was kept."""
    state = report["reading"]["state"]
    return state["tokens_found"] > 0, state["tokens_kept"] > 0


def test_a_second_process_finds_the_state(
    embedded_document: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with start(["ask", embedded_document, QUESTIONS[0], "-q"]) as first:
        _, errors = first.communicate(timeout=120)
        assert (first.returncode, errors) == (0, "")
    [path] = states()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with start(
        ["ask", embedded_document, QUESTIONS[1], "--max-tokens", "12", "--stats", "full"]
    ) as second:
        answer, errors = second.communicate(timeout=120)
    assert "prefix cache" in errors.lower()
    assert states() == [path]
    afresh, _ = ask(capfd, embedded_document, QUESTIONS[1], "--no-store")
    assert answer == afresh["answer"] + "\n" * (not afresh["answer"].endswith("\n"))


def test_a_summary_warms_the_store(document: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["summarize", document, "-q", "--max-tokens", "12"]) == 0
    capfd.readouterr()
    report, _ = ask(capfd, document, QUESTIONS[0])
    assert known(report) == (True, False)


def test_another_text_is_another_state(document: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert known(ask(capfd, document, QUESTIONS[0])[0]) == (False, True)
    text = Path(document).read_text()
    Path(document).write_text(text.replace("secret", "secrets", 1))
    assert known(ask(capfd, document, QUESTIONS[0])[0]) == (False, True)
    Path("copy.txt").write_text(text)  # the name does not matter
    shutil.copy("copy.txt", "rules.md")
    assert known(ask(capfd, document, QUESTIONS[0])[0]) == (True, False)
    assert len(states()) == 2


# What leaves a run without a store: an option, and variables.
STORELESS = [
    (["--no-store"], {}),
    ([], {"FASTKV_STORE": "off"}),
    ([], {"FASTKV_STORE_LIMIT": "0"}),
]


@pytest.fixture(params=STORELESS, ids=["option", "variable", "limit"])
def storeless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a run without a store; its variables are set."""
    options, variables = request.param
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return list(options)


def test_without_a_store_a_single_question_holds_nothing(
    document: str, capfd: pytest.CaptureFixture[str], storeless: list[str]
) -> None:
    report, _ = ask(capfd, document, QUESTIONS[0], *storeless)
    assert report["reading"]["state"] is None
    assert not (Path(os.environ["FASTKV_HOME"]) / "states").exists()


def test_without_a_store_several_questions_share_a_state_in_memory(
    document: str, capfd: pytest.CaptureFixture[str], storeless: list[str]
) -> None:
    named = [f"--question={question}" for question in QUESTIONS]
    assert run(["ask", document, *named, "-q", *storeless, "--max-tokens", "12"]) == 0
    reports = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [known(report) for report in reports] == [(False, True), (True, False)]
    assert not (Path(os.environ["FASTKV_HOME"]) / "states").exists()


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_state_is_named_and_made_again(
    document: str, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    whole, _ = ask(capfd, document, QUESTIONS[0])
    [path] = states()
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1000] ^= 1
    else:
        del data[-1000:]
    path.write_bytes(data)
    report, errors = ask(capfd, document, QUESTIONS[0])
    assert report["answer"] == whole["answer"]
    assert known(report) == (False, True)
    assert errors.count("warning: the stored state of rules.md") == 1
    assert [f"warning: {each}" for each in report["warnings"]][:1] == errors.splitlines()[:1]
    again, errors = ask(capfd, document, QUESTIONS[0])
    assert known(again) == (True, False)
    assert "kept state" not in errors


def test_what_another_version_made_is_outdated(
    document: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = ask(capfd, document, QUESTIONS[0])
    monkeypatch.setattr("fastkv_cli.engine.reuse.state_identity.__version__", "99.0")
    report, errors = ask(capfd, document, QUESTIONS[0])
    assert "was made with another version of fastkv" in errors
    assert known(report) == (False, True)
    assert report["answer"] == whole["answer"]
    assert len(states()) == 1


def test_a_folder_that_cannot_be_written_costs_no_answer(
    document: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(os.environ["FASTKV_HOME"], "states").write_text("a file stands in the way")
    report, errors = ask(capfd, document, QUESTIONS[0])
    assert report["answer"]
    assert errors.count("warning: cannot store the state of rules.md") == 1
    assert sum("cannot store the state" in each for each in report["warnings"]) == 1
    assert known(report) == (False, False)


def test_eight_bits_take_half_the_room(
    embedded_document: str, capfd: pytest.CaptureFixture[str]
) -> None:
    exact, _ = ask(capfd, embedded_document, QUESTIONS[0])
    int8, _ = ask(capfd, embedded_document, QUESTIONS[0], "--store", "int8")
    sizes = [report["reading"]["state"]["bytes_kept"] for report in (exact, int8)]
    bytes_each = 4 if exact["model"]["dtype"] == "float32" else 2
    assert 1 / bytes_each < sizes[1] / sizes[0] < 1.07 / bytes_each
    assert known(ask(capfd, embedded_document, QUESTIONS[1], "--store", "int8")[0]) == (True, False)


def test_the_parts_of_a_long_text_are_kept_each(
    document: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("long.md").write_text(RULES.read_text("utf-8")[8_000:14_000])
    first, _ = ask(capfd, "long.md", QUESTIONS[0])
    assert first["reading"]["parts"] == len(states()) > 1
    assert known(first) == (False, True)
    second, _ = ask(capfd, "long.md", QUESTIONS[1])
    assert known(second) == (True, False)
    afresh, _ = ask(capfd, "long.md", QUESTIONS[1], "--no-store")
    assert second["answer"] == afresh["answer"]
    assert second["kv"]["layers"] == afresh["kv"]["layers"]
