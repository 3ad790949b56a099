"""Scores of heads, against transformers' own attention; and their way into HeadKV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from measuring import content_of, find_ids, load_tokenizer, make_context, make_haystack, save_parrot

from fastkv_cli import Engine
from fastkv_cli.cli.app import run
from fastkv_cli.config import MethodName, MethodSettings
from fastkv_cli.engine.heads import needle_attention
from fastkv_cli.engine.methods import HeadKV, build_method
from fastkv_cli.engine.tuning import load_tuning, tuning_path
from fastkv_cli.errors import ExitCode, ModelError
from fastkv_cli.evaluation.quality.head_scores import LENGTHS, head_prompts, profile_heads
from fastkv_cli.evaluation.quality.quality_options import HeadOptions
from fastkv_cli.evaluation.quality.suites import load_haystack

SAMPLES = 6


def load(folder: Path) -> Engine:
    return Engine.load(str(folder), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def tokenizer(tiny_models: dict[str, Path]) -> Any:
    return load_tokenizer(tiny_models["llama"])


def answer_of(seed: int, tokenizer: Any) -> str:
    """What the first prompt of this seed hides, in the novel that ships."""
    (first,) = head_prompts(load_haystack(None, tokenizer), LENGTHS, 1, seed, tokenizer)
    return first.answer


@pytest.fixture(scope="module")
def seed(tokenizer: Any) -> int:
    """One whose first number has five different digits."""
    return next(seed for seed in range(99) if len(set(answer_of(seed, tokenizer))) == 5)


@pytest.fixture(scope="module")
def parrot(
    tiny_models: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: Any,
    seed: int,
) -> Path:
    """A model that gives the answer of the first prompt to every prompt."""
    folder = tmp_path_factory.mktemp("parrots") / "parrot"
    return save_parrot(tiny_models["llama"], folder, answer_of(seed, tokenizer))


class TestNeedleAttention:
    """The attention on a needle while the answer is said."""

    @pytest.mark.parametrize("needle", [slice(40, 52), slice(0, 30), slice(0, 100)], ids=str)
    def test_against_the_model_s_own_weights(
        self, tiny_models: dict[str, Path], needle: slice
    ) -> None:
        engine = load(tiny_models["llama"])
        ids = torch.randint(3, 300, (150,), generator=torch.Generator().manual_seed(1)).tolist()
        scores, answer = needle_attention(engine, ids, needle, 9)
        assert len(answer) == 9

        model = load(tiny_models["llama"]).loaded.model
        model.set_attn_implementation("eager")
        with torch.no_grad():
            outputs = model(torch.tensor([ids + answer[:-1]]), output_attentions=True)
        assert outputs.logits[0, len(ids) - 1 :].argmax(dim=-1).tolist() == answer
        size = needle.stop - needle.start
        expected = torch.zeros(4, 4)
        for layer, weights in enumerate(outputs.attentions):
            for head in range(4):
                for row in range(len(ids), len(ids) + len(answer) - 1):
                    paid = weights[0, head, row, : row + 1]
                    top = paid.argsort(descending=True)[:size].tolist()
                    inside = [paid[at] for at in top if needle.start <= at < needle.stop]
                    expected[layer, head] += sum(inside, torch.tensor(0.0)) / size
        expected /= len(answer) - 1
        assert scores.shape == (4, 4)
        assert expected.max() > 0
        torch.testing.assert_close(scores, expected, atol=1e-6, rtol=1e-4)

    @pytest.mark.parametrize("kv_dtype", ["int8", "bf16"])
    def test_the_cache_is_the_engine_s(self, tiny_models: dict[str, Path], kv_dtype: str) -> None:
        folder, ids = str(tiny_models["llama"]), list(range(3, 140))
        engine = Engine.load(folder, dtype="float32", device="cpu", kv_dtype=kv_dtype)
        exact, _ = needle_attention(load(tiny_models["llama"]), ids, slice(40, 52), 4)
        rounded, _ = needle_attention(engine, ids, slice(40, 52), 4)
        assert 0 < torch.dist(rounded, exact) < 0.1 * exact.norm()

    def test_an_answer_of_one_token_looks_at_nothing(self, tiny_models: dict[str, Path]) -> None:
        engine = load(tiny_models["llama"])
        scores, answer = needle_attention(engine, list(range(3, 40)), slice(5, 9), 1)
        assert len(answer) == 1
        assert not scores.any()


class TestPrompts:
    """What the heads are watched on."""

    def test_the_needle_is_where_it_is_said_to_be(self, tokenizer: Any) -> None:
        haystack = make_haystack(tokenizer)
        prompts = list(head_prompts(haystack, LENGTHS, SAMPLES, 0, tokenizer))
        assert len(prompts) == SAMPLES
        for number, one in enumerate(prompts):
            ids = one.prompt.token_ids
            text = tokenizer.decode(ids[one.needle])
            assert one.answer in text
            assert text.startswith((" The special magic number of", " The locker of"))
            assert find_ids(ids, ids[one.needle]) == [one.needle.start]
            assert len(ids) in (1000, 2000, 3000)
            # by turns one needle, and one beside a distractor
            whole = tokenizer.decode(ids)
            assert whole.count(" has the number ") == (2 if number % 2 else 0)
            asked = tokenizer.decode(ids[one.prompt.question_span])
            assert ("lives in" in asked) is bool(number % 2)

    def test_the_same_seed_the_same_prompts(self, tokenizer: Any) -> None:
        haystack = make_haystack(tokenizer)
        once, again, other = (
            [one.prompt.token_ids for one in head_prompts(haystack, LENGTHS, 2, seed, tokenizer)]
            for seed in (1, 1, 2)
        )
        assert once == again != other


class TestProfile:
    """From prompts to a file to HeadKV."""

    def test_only_right_answers_count(self, parrot: Path, seed: int, tokenizer: Any) -> None:
        context = make_context(load(parrot))
        measured = profile_heads(context, HeadOptions(samples=3, seed=seed))
        assert (measured["prompts"], measured["right"], measured["seed"]) == (3, 1, seed)
        (first,) = head_prompts(load_haystack(None, tokenizer), LENGTHS, 1, seed, tokenizer)
        alone, _ = needle_attention(context.engine, first.prompt.token_ids, first.needle, 32)
        expected = (alone / alone.sum()).tolist()
        for row, wanted in zip(measured["scores"], expected, strict=True):
            assert row == pytest.approx(wanted, abs=1e-6)
        assert sum(map(sum, measured["scores"])) == pytest.approx(1, abs=1e-6)

    def test_none_is_right(self, tiny_models: dict[str, Path]) -> None:
        context = make_context(load(tiny_models["llama"]))
        with pytest.raises(ModelError, match="answered none of 1 needle prompts correctly"):
            profile_heads(context, HeadOptions(samples=1))

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
        return tmp_path / "home"

    def test_the_command_writes_what_headkv_needs(
        self, parrot: Path, seed: int, capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "a.txt").write_text("The committee met 14 times. " * 60)
        asked = ["ask", str(tmp_path / "a.txt"), "When?", "-m", str(parrot), "--json"]
        asked += ["--method", "headkv", "--budget", "20%", "--max-tokens", "4"]
        assert run(asked) == ExitCode.USAGE
        assert f"fastkv profile-heads {parrot}" in capfd.readouterr().err

        arguments = ["profile-heads", str(parrot), "--samples", "1", "--seed", str(seed)]
        assert run([*arguments, "--dtype", "float32"]) == 0
        stdout, stderr = capfd.readouterr()
        path = tuning_path("heads", content_of(parrot))
        assert stderr.splitlines()[-1] == f"saved for {parrot} in {path}"
        assert "1 of 1 prompts answered correctly" in stdout
        assert len(stdout.splitlines()) == 2 + 10

        written = json.loads(path.read_text(encoding="utf-8"))
        assert written["schema"] == "fastkv-tuning/1"
        assert (written["model"], written["dtype"]) == (str(parrot), "float32")
        scores = load_tuning(str(parrot), content_of(parrot)).head_scores
        assert scores == tuple(map(tuple, written["scores"]))
        assert [len(row) for row in scores] == [4] * 4
        tuning = load_tuning(str(parrot), content_of(parrot))
        assert isinstance(build_method(MethodSettings(MethodName.HEADKV), tuning), HeadKV)
        assert run(asked) == 0
        assert json.loads(capfd.readouterr().out)["kv"]["method"] == "headkv"

    def test_json_is_what_is_kept(
        self, parrot: Path, seed: int, capfd: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["profile-heads", str(parrot), "--samples", "1", "--seed", str(seed)]
        assert run([*arguments, "--json", "-q"]) == 0
        stdout, stderr = capfd.readouterr()
        assert stderr == ""
        assert stdout == tuning_path("heads", content_of(parrot)).read_text(encoding="utf-8")

    def test_a_model_that_answers_nothing_rightly(
        self,
        tiny_models: dict[str, Path],
        capfd: pytest.CaptureFixture[str],
        home: Path,
    ) -> None:
        arguments = ["profile-heads", str(tiny_models["llama"]), "--samples", "1"]
        assert run(arguments) == ExitCode.MODEL
        stdout, stderr = capfd.readouterr()
        assert stdout == ""
        assert stderr.count("\n") == 1
        assert stderr.startswith("fastkv: the model answered none of 1 needle prompts correctly: ")
        assert not list(home.glob("tuning/*"))
