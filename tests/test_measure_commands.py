"""`fastkv eval`, `bench`, `calibrate` and `profile-heads` from end to end, and whatever can be asked wrongly."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest
from processes import Capture, failure

from fastkv_cli.cli.app import run
from fastkv_cli.config import Preset
from fastkv_cli.errors import ExitCode

COMMANDS = ["eval", "bench", "calibrate", "profile-heads"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    Path("there.png").write_bytes(b"something")
    Path("a.txt").write_text("The committee met 14 times in 1999. " * 60)
    return tmp_path / "home"


@pytest.fixture
def quick(tiny_models: dict[str, Path]) -> list[str]:
    """An evaluation of four prompts."""
    own = ["eval", "--model", str(tiny_models["llama"]), "--suite", "needle,qa", "--samples", "2"]
    return [*own, "--lengths", "300", "--methods", "fast,snapkv", "--dtype", "float32"]


class TestHelp:
    """Every command says what it takes."""

    @pytest.mark.parametrize(
        ("command", "options"),
        [
            (
                "eval",
                "--suite --methods --budgets --lengths --samples --seed --texts --qa --heatmap "
                "--csv --report --model -m",
            ),
            (
                "bench",
                "--prompt-tokens --methods --budget --repetitions --max-tokens --csv --md --plot "
                "--report --model -m",
            ),
            ("calibrate", "--texts --tolerance --suite --samples --minutes --seed"),
            ("profile-heads", "--texts --samples --minutes --seed"),
        ],
    )
    def test_it_names_every_option(self, command: str, options: str, capfd: Capture) -> None:
        assert run([command, "--help"]) == 0
        stdout = capfd.readouterr().out
        shared = "--dtype --device --attention --offline --json --quiet -q --output -o --force"
        wanted = f"{options} {shared} --debug".split()
        assert [one for one in wanted if not re.search(f" {one}[ ,]|,{one} ", stdout)] == []

    def test_they_are_in_the_help_of_the_app(self, capfd: Capture) -> None:
        assert run(["--help"]) == 0
        stdout = capfd.readouterr().out
        assert all(re.search(rf"^\W*{command} ", stdout, re.MULTILINE) for command in COMMANDS)


# With a model that is nowhere: whatever is found wrong was found before one was loaded.
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--suite", "needles"], ExitCode.USAGE, "suite 'needles' is unknown: .*needle, qa, ruler"),
        (["--suite", ""], ExitCode.USAGE, "suite '' is unknown"),
        (["--suite", "needle,"], ExitCode.USAGE, "suite '' is unknown"),
        (["--methods", "magic"], ExitCode.USAGE, "method 'magic' is unknown: .*fastkv.*balanced"),
        (["--methods", "snapkv,,h2o"], ExitCode.USAGE, "method '' is unknown"),
        (["--methods", "full"], ExitCode.USAGE, "nothing to compare with full"),
        (["--budgets", "0%"], ExitCode.USAGE, "budget 0 is out of range"),
        (["--budgets", "10%,200%"], ExitCode.USAGE, "budget 2 is out of range"),
        (["--budgets", "some"], ExitCode.USAGE, "cannot read the budget 'some'"),
        (["--lengths", "long"], ExitCode.USAGE, "cannot read 'long'.*as 512 or 2k"),
        (["--lengths", "1k,,2k"], ExitCode.USAGE, "cannot read ''"),
        (["--lengths", "10%"], ExitCode.USAGE, "cannot read '10%'"),
        (["--lengths", "0"], ExitCode.USAGE, "cannot read '0'"),
        (["--samples", "0"], ExitCode.USAGE, "--samples 0 is out of range: it is 1 or more"),
        (["--samples", "few"], ExitCode.USAGE, "--samples.*see fastkv eval --help"),
        (["--json", "--csv"], ExitCode.USAGE, "--csv and --json exclude each other"),
        (["--qa", "no.jsonl"], ExitCode.USAGE, r"--qa no\.jsonl does not exist"),
        (["--texts", "no"], ExitCode.USAGE, "--texts no does not exist"),
        (["--heatmap", "no/a.png"], ExitCode.OUTPUT, "make the folder no first"),
        (["--heatmap", "there.png"], ExitCode.OUTPUT, "there.png exists already: give --force"),
        (["--heatmap", "."], ExitCode.OUTPUT, "is a folder; give a file"),
        (["--heatmap", "a.png", "--suite", "qa"], ExitCode.USAGE, "--heatmap.*needle"),
        (["-o", "no/a.txt"], ExitCode.OUTPUT, "make the folder no first"),
        (["-o", "there.png"], ExitCode.OUTPUT, "there.png exists already: give --force"),
        (["--frobnicate"], ExitCode.USAGE, "No such option: --frobnicate"),
        ([], ExitCode.MODEL, "unknown model 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_evaluations(options: list[str], code: ExitCode, words: str, capfd: Capture) -> None:
    failure(["eval", "--model", "nowhere", *options], code, words, capfd)


@pytest.mark.parametrize("asked", [["eval", "--heatmap", "a.png"], ["bench", "--plot", "a.png"]])
def test_a_picture_without_matplotlib(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = r"a picture needs matplotlib: pip install 'fastkv-cli\[plots\]'"
    failure([*asked, "--model", "nowhere"], ExitCode.USAGE, words, capfd)
    assert not Path("a.png").exists()


@pytest.mark.parametrize("command", ["eval", "bench"])
def test_no_picture_without_matplotlib(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    failure([command, "--model", "nowhere"], ExitCode.MODEL, "unknown model 'nowhere'", capfd)


@pytest.mark.parametrize("command", ["calibrate", "profile-heads"])
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--samples", "0"], ExitCode.USAGE, "--samples 0 is out of range: it is 1 or more"),
        (["--samples", "-3"], ExitCode.USAGE, "--samples -3 is out of range"),
        (["--minutes", "0"], ExitCode.USAGE, "--minutes 0 is out of range: it is above 0 and at"),
        (["--minutes", "-1"], ExitCode.USAGE, "--minutes -1 is out of range"),
        (["--minutes", "nan"], ExitCode.USAGE, "--minutes nan is out of range"),
        (["--minutes", "1e9"], ExitCode.USAGE, "--minutes 1e\\+09 is out of range"),
        (["--texts", "no"], ExitCode.USAGE, "--texts no does not exist"),
        (["-o", "no/a.txt"], ExitCode.OUTPUT, "make the folder no first"),
        ([], ExitCode.MODEL, "unknown model 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_measurements(
    command: str, options: list[str], code: ExitCode, words: str, capfd: Capture
) -> None:
    failure([command, "nowhere", *options], code, words, capfd)


def test_suites_of_a_calibration(capfd: Capture) -> None:
    words = "suite 'needles' is unknown: it is one of needle, qa, ruler"
    failure(["calibrate", "nowhere", "--suite", "needles"], ExitCode.USAGE, words, capfd)


@pytest.mark.parametrize("tolerance", ["200%", "100%", "1", "-1%", "nan", "little", "", "%", "1%%"])
def test_tolerances_out_of_range(tolerance: str, capfd: Capture) -> None:
    words = "--tolerance .*is out of range: give a share as 1% or 0.01"
    failure(["calibrate", "nowhere", "--tolerance", tolerance], ExitCode.USAGE, words, capfd)


class TestWrongForTheModel:
    """What only the model tells."""

    @pytest.mark.parametrize("length", ["2048", "2017", "300,4k"])
    def test_a_length_over_the_window(self, quick: list[str], length: str, capfd: Capture) -> None:
        words = "--lengths .* is out of range: the model's window holds 2,048 tokens"
        failure([*quick, "--lengths", length], ExitCode.USAGE, words, capfd)

    def test_the_longest_prompt_fits(self, quick: list[str], capfd: Capture) -> None:
        small = ["--lengths", "2016", "--samples", "1", "--suite", "needle", "--methods", "fast"]
        assert run([*quick, *small, "-q"]) == 0

    def test_a_length_below_the_template(self, quick: list[str], capfd: Capture) -> None:
        small = ["--suite", "needle", "--samples", "1", "--texts", ".", "--lengths", "50"]
        failure([*quick, *small], ExitCode.USAGE, "50", capfd)

    def test_headkv_without_scores(self, quick: list[str], capfd: Capture) -> None:
        words = "headkv needs scores.*fastkv profile-heads"
        failure([*quick, "--methods", "headkv"], ExitCode.USAGE, words, capfd)
        model = quick[2]
        asked = ["ask", "a.txt", "When?", "-m", model, "--method", "headkv"]
        assert model in failure(asked, ExitCode.USAGE, words, capfd)

    def test_a_folder_without_texts(self, quick: list[str], capfd: Capture) -> None:
        Path("texts").mkdir()
        words = "texts holds no text"
        failure([*quick, "--texts", "texts", "--suite", "needle"], ExitCode.USAGE, words, capfd)

    def test_an_answer_that_is_not_in_its_document(self, quick: list[str], capfd: Capture) -> None:
        pair = {"doc": "a.txt", "question": "Who was the chair?", "answer": "Eve"}
        Path("own.jsonl").write_text(json.dumps(pair))
        words = "a.txt does not hold 'Eve': check the answer"
        failure([*quick, "--qa", "own.jsonl"], ExitCode.INPUT, words, capfd)


class TestEval:
    """What comes of it."""

    def test_a_table(self, quick: list[str], capfd: Capture, home: Path) -> None:
        assert run([*quick, "--report", "e.html"]) == 0
        assert "needle, 2 questions" in Path("e.html").read_text(encoding="utf-8")
        stdout, stderr = capfd.readouterr()
        lines = stdout.splitlines()
        assert lines[0].strip() == "4 questions"
        assert [line.split()[0] for line in lines[2:5]] == ["full", "fast", "snapkv"]
        assert max(map(len, lines)) <= 100
        assert "needle, 2 questions" in stdout
        assert "Brackets hold 95% intervals" in stdout
        assert stderr == ""
        assert list(home.glob("evaluations/*.jsonl")) == []

    def test_json(self, quick: list[str], capfd: Capture) -> None:
        long = ["--lengths", "1500", "--seed", "3"]  # else the question alone is a tenth of it
        assert run([*quick, *long, "--json", "--budgets", "20%,30%"]) == 0
        found = json.loads(capfd.readouterr().out)
        labels = ["full", "fast 10%", "snapkv 20%", "snapkv 30%"]
        assert [row["arm"] for row in found["methods"]] == labels
        assert [row["count"] for row in found["methods"]] == [4] * 4
        assert all(row["ttft_ratio"] > 0 for row in found["methods"])
        kept = [row["kept_ratio"] for row in found["methods"]]
        assert kept == pytest.approx([1, 0.1, 0.2, 0.3], abs=0.01)
        settings = found["settings"]
        assert (settings["seed"], settings["lengths"]) == (3, [1500])
        assert settings["model"] == quick[2]
        assert settings["dtype"] == "float32"
        assert {"fastkv", "torch", "transformers", "device", "attention"} <= set(settings)
        assert len(set(found["questions"])) == 4

    def test_csv(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--csv"]) == 0
        rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
        expected = [(s, m) for s in ("all", "needle", "qa") for m in ("full", "fast", "snapkv")]
        assert [(row["suite"], row["name"]) for row in rows] == expected

    def test_a_name_given_twice_is_asked_once(self, quick: list[str], capfd: Capture) -> None:
        twice = ["--methods", "snapkv,snapkv", "--budgets", "20%,20%", "--suite", "needle,needle"]
        assert run([*quick, *twice, "--lengths", "300,300", "--json"]) == 0
        found = json.loads(capfd.readouterr().out)
        assert [row["arm"] for row in found["methods"]] == ["full", "snapkv 20%"]
        assert [row["count"] for row in found["methods"]] == [2, 2]

    def test_a_heatmap(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--heatmap", "a.png", "-q"]) == 0
        assert Path("a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert run([*quick, "--heatmap", "there.png", "--force", "-q"]) == 0
        assert Path("there.png").read_bytes() == Path("a.png").read_bytes()

    def test_a_file(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--json", "-o", "out.json"]) == 0
        assert capfd.readouterr().out == ""
        text = Path("out.json").read_text(encoding="utf-8")
        assert json.loads(text)["schema"] == "fastkv-eval/1"
        assert text.endswith("}\n")
        assert {path.name for path in Path().iterdir()} == {"out.json", "a.txt", "there.png"}

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
    def test_what_cannot_be_written_is_not_lost(
        self, quick: list[str], capfd: Capture, home: Path
    ) -> None:
        failure([*quick, "-o", "/dev/full"], ExitCode.OUTPUT, "cannot write /dev/full", capfd)
        (journal,) = home.glob("evaluations/*.jsonl")
        assert journal.read_text(encoding="utf-8").count('"key"') > 4 * 3

    def test_texts_and_questions_of_one_s_own(self, quick: list[str], capfd: Capture) -> None:
        pair = {"doc": "a.txt", "question": "How often did it meet?", "answer": "14 times"}
        Path("own.jsonl").write_text(json.dumps(pair))
        assert run([*quick, "--texts", ".", "--qa", "own.jsonl", "--json"]) == 0
        found = json.loads(capfd.readouterr().out)
        assert [key.split("/")[0] for key in found["questions"]] == ["needle", "needle", "qa"]
        assert "qa/a.txt/300" in found["questions"][2]

    def test_every_method_can_be_evaluated(self, quick: list[str], capfd: Capture) -> None:
        names = "fastkv-probe,fastkv,snapkv,adakv,pyramidkv,streamingllm,h2o,tova,gemfilter"
        names += ",fast,balanced,quality"
        small = ["--suite", "needle", "--samples", "1", "--methods", names, "--lengths", "600"]
        assert run([*quick, *small, "--json"]) == 0
        found = json.loads(capfd.readouterr().out)
        assert [row["name"] for row in found["methods"]] == ["full", *names.split(",")]


class TestPresets:
    """`--preset`, where answers are given."""

    @pytest.mark.parametrize(
        ("preset", "rate"), [(Preset.FAST, 0.1), (Preset.BALANCED, 0.2), (Preset.QUALITY, 0.4)]
    )
    def test_each_keeps_its_share(
        self, tiny_models: dict[str, Path], preset: Preset, rate: float, capfd: Capture
    ) -> None:
        asked = ["ask", "a.txt", "When?", "-m", str(tiny_models["llama"]), "--max-tokens", "2"]
        assert run([*asked, "--preset", preset, "--json"]) == 0
        kv = json.loads(capfd.readouterr().out)["kv"]
        assert kv["settings"].startswith(f"preset {preset}, not calibrated")
        assert kv["kept_bytes"] / kv["full_bytes"] == pytest.approx(rate, abs=0.01)

    @pytest.mark.parametrize("command", [["summarize", "a.txt"], ["ask", "a.txt", "When?"]])
    def test_an_unknown_one_is_refused(self, command: list[str], capfd: Capture) -> None:
        words = "--preset.*'fast', 'balanced', 'quality'"
        failure([*command, "--preset", "best"], ExitCode.USAGE, words, capfd)

    def test_full_has_none(self, tiny_models: dict[str, Path], capfd: Capture) -> None:
        asked = ["ask", "a.txt", "When?", "-m", str(tiny_models["llama"]), "--method", "full"]
        failure([*asked, "--preset", "fast"], ExitCode.USAGE, "leave out .*--preset", capfd)
