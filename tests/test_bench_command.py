"""`fastkv bench` from end to end, and whatever can be asked wrongly of it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from processes import Capture, failure

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    Path("there.png").write_bytes(b"something")
    Path("a.txt").write_text("The committee met 14 times in 1999. " * 40)
    Path("empty.txt").write_text("")


@pytest.fixture
def quick(tiny_models: dict[str, Path]) -> list[str]:
    """A bench of two methods, a warm-up and two rounds each."""
    own = ["bench", "--model", str(tiny_models["llama"]), "--methods", "fast", "--dtype", "float32"]
    return [*own, "--prompt-tokens", "300", "--repetitions", "2", "--max-tokens", "3"]


# With a model that is nowhere: whatever is found wrong was found before one was loaded.
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--prompt-tokens", "long"], ExitCode.USAGE, "cannot read 'long'.*as 512 or 2k"),
        (["--prompt-tokens", "1k,,2k"], ExitCode.USAGE, "cannot read ''"),
        (["--prompt-tokens", ""], ExitCode.USAGE, "cannot read ''"),
        (["--prompt-tokens", "0"], ExitCode.USAGE, "cannot read '0'"),
        (["--methods", "magic"], ExitCode.USAGE, "method 'magic' is unknown: .*fastkv.*balanced"),
        (["--methods", "snapkv,,h2o"], ExitCode.USAGE, "method '' is unknown"),
        (["--budget", "200%"], ExitCode.USAGE, "budget 2 is out of range"),
        (
            ["--budget", "20%", "--methods", "full,fast"],
            ExitCode.USAGE,
            "--budget 20% is of no use",
        ),
        (["--repetitions", "0"], ExitCode.USAGE, "--repetitions 0 is out of range: it is 1 or"),
        (["--repetitions", "few"], ExitCode.USAGE, "--repetitions.*see fastkv bench --help"),
        (["--max-tokens", "0"], ExitCode.USAGE, "--max-tokens 0 is out of range: it is 1 or more"),
        (["--json", "--csv"], ExitCode.USAGE, "--json, --csv and --md exclude each other"),
        (["--json", "--md"], ExitCode.USAGE, "exclude each other"),
        (["--csv", "--md"], ExitCode.USAGE, "exclude each other"),
        (["no.txt"], ExitCode.INPUT, "no.txt does not exist"),
        (["empty.txt"], ExitCode.INPUT, "empty.txt is empty"),
        (["--plot", "no/a.png"], ExitCode.OUTPUT, "make the folder no first"),
        (["--plot", "there.png"], ExitCode.OUTPUT, "there.png exists already: give --force"),
        (["-o", "there.png", "no.txt"], ExitCode.OUTPUT, "there.png exists already: give --force"),
        (["-o", "no/a.txt"], ExitCode.OUTPUT, "make the folder no first"),
        (["--report", "there.png"], ExitCode.OUTPUT, "there.png exists already: give --force"),
        ([], ExitCode.MODEL, "unknown model 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_benches(options: list[str], code: ExitCode, words: str, capfd: Capture) -> None:
    failure(["bench", "--model", "nowhere", *options], code, words, capfd)


class TestWrongForTheModel:
    """What only the model tells."""

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--prompt-tokens", "2046"], "--prompt-tokens 2,046 is out of range: .* 2,048 tokens"),
            (["--prompt-tokens", "30"], "prompts of 30 tokens leave no room for text"),
            (["--max-tokens", "5k"], "--max-tokens"),
            (["--max-tokens", "2048"], "--max-tokens 2,048 is out of range"),
            (["a.txt", "--prompt-tokens", "2k"], "out of range: a.txt makes a prompt of"),
            (["--methods", "headkv"], "headkv needs scores.*fastkv profile-heads"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_it_is_one_line(
        self, quick: list[str], options: list[str], words: str, capfd: Capture
    ) -> None:
        failure([*quick, *options], ExitCode.USAGE, words, capfd)


class TestBench:
    """What comes of it."""

    def test_a_table(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--report", "b.html"]) == 0
        assert "Prompt of 300 tokens" in Path("b.html").read_text(encoding="utf-8")
        stdout, stderr = capfd.readouterr()
        lines = stdout.splitlines()
        at = lines.index("prompt of 300 tokens")
        assert [line.split()[0] for line in lines[at + 1 : at + 4]] == ["method", "full", "fast"]
        assert max(map(len, lines)) <= 100
        assert stderr == ""

    def test_json(self, quick: list[str], capfd: Capture) -> None:
        own = ["--methods", "snapkv,fast", "--budget", "30%", "--prompt-tokens", "400,300,400"]
        assert run([*quick, *own, "--json"]) == 0
        found = json.loads(capfd.readouterr().out)
        assert found["schema"] == "fastkv-bench/1"
        assert [prompt["prompt_tokens"] for prompt in found["prompts"]] == [300, 400]
        for prompt in found["prompts"]:
            assert [row["arm"] for row in prompt["methods"]] == ["full", "snapkv 30%", "fast 10%"]
            for row in prompt["methods"]:
                assert [sample["output_tokens"] for sample in row["samples"]] == [3, 3]
                assert row["ttft_s"]["low"] <= row["ttft_s"]["median"] <= row["ttft_s"]["high"]
        settings = found["settings"]
        assert (settings["model"], settings["dtype"]) == (quick[2], "float32")
        assert (settings["repetitions"], settings["max_tokens"]) == (2, 3)
        stamp = {"fastkv", "torch", "transformers", "revision", "device", "attention"}
        assert stamp <= set(settings)
        machine = {"date", "python", "cpu", "cores", "instruction_sets", "memory_bytes", "gpu"}
        assert machine | {"threads"} <= set(found["machine"])
        assert re.match(r"\d{4}-\d\d-\d\dT", found["machine"]["date"])

    def test_csv(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--csv"]) == 0
        rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
        found = [(row["prompt_tokens"], row["name"], row["output_tokens"]) for row in rows]
        assert found == [("300", "full", "3"), ("300", "fast", "3")]

    def test_markdown(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--md"]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert [line.split(" | ")[1] for line in lines[2:4]] == ["full", "fast"]
        assert len({line.count("|") for line in lines[:4]}) == 1

    def test_a_document(self, quick: list[str], capfd: Capture) -> None:
        whole = [part for part in quick if part not in ("--prompt-tokens", "300")]
        assert run([*whole, "a.txt", "--json"]) == 0
        found = json.loads(capfd.readouterr().out)
        [prompt] = found["prompts"]
        assert found["settings"]["document"] == "a.txt"
        assert prompt["prompt_tokens"] > found["settings"]["document_tokens"] > 300

    def test_a_document_over_the_window_is_cut_with_a_note(
        self, quick: list[str], capfd: Capture
    ) -> None:
        Path("long.txt").write_text("The committee met 14 times in 1999. " * 400)
        whole = [part for part in quick if part not in ("--prompt-tokens", "300")]
        assert run([*whole, "long.txt", "--json", "--repetitions", "1"]) == 0
        stdout, stderr = capfd.readouterr()
        assert json.loads(stdout)["settings"]["prompt_tokens"] == [2045]
        assert re.fullmatch(r"long.txt is cut to its first [\d,]+ of [\d,]+ tokens: .*\n", stderr)

    def test_what_is_left_out_is_told(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--prompt-tokens", "300,4k", "--json"]) == 0
        stdout, stderr = capfd.readouterr()
        settings = json.loads(stdout)["settings"]
        assert (settings["prompt_tokens"], settings["left_out"]) == ([300], [4000])
        assert re.fullmatch(r"left out prompts of 4,000 tokens: [^\n]+\n", stderr)
        assert run([*quick, "--prompt-tokens", "300,4k", "--csv", "-q"]) == 0
        assert capfd.readouterr().err == ""

    def test_full_alone(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--methods", "full", "--json"]) == 0
        [prompt] = json.loads(capfd.readouterr().out)["prompts"]
        assert [row["arm"] for row in prompt["methods"]] == ["full"]

    def test_a_picture(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--plot", "a.png", "--prompt-tokens", "300,400", "-q"]) == 0
        assert run([*quick, "--plot", "there.png", "--force", "-q"]) == 0
        assert Path("a.png").read_bytes().startswith(PNG)
        assert Path("there.png").read_bytes().startswith(PNG)

    def test_a_file(self, quick: list[str], capfd: Capture) -> None:
        assert run([*quick, "--json", "-o", "out.json"]) == 0
        assert capfd.readouterr().out == ""
        assert json.loads(Path("out.json").read_text(encoding="utf-8"))["prompts"]

    def test_ctrl_c_writes_nothing(
        self, quick: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fastkv_cli import Engine

        generate, runs = Engine.generate, []

        def interrupted(self: Engine, *rest: object, **more: object) -> object:
            runs.append(1)
            if len(runs) == 4:
                raise KeyboardInterrupt
            return generate(self, *rest, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(Engine, "generate", interrupted)
        wanted = ["-o", "out.json", "--json", "--plot", "a.png"]
        words = "interrupted: nothing was written"
        failure([*quick, *wanted], ExitCode.INTERRUPTED, words, capfd)
        assert len(runs) == 4
