"""`Full` against transformers' own generate, family by family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import load_tiny, make_prompt
from checks import Checks
from conftest import tiny_settings

from fastkv_cli import Engine, FastKV, Full
from fastkv_cli.engine.model import loader

PROMPT = (
    "Keys and values of the tokens that matter are kept; the others are left out. "
    "What is the answer to the question? The answer is in the text, on page 42. "
) * 3


def reference_tokens(engine: Engine, prompt_ids: list[int], count: int) -> list[int]:
    """What transformers generates; the eager attention is the plainest that it has."""
    model = engine.loaded.model
    model.set_attn_implementation("eager")
    output = model.generate(
        torch.tensor([prompt_ids]), max_new_tokens=count, do_sample=False, use_cache=True
    )
    tokens: list[int] = output[0, len(prompt_ids) :].tolist()
    return tokens


@torch.no_grad()
@pytest.mark.parametrize("family", tiny_settings())
def test_full_gives_the_tokens_of_transformers(family: str, tiny_models: dict[str, Path]) -> None:
    engine, said = load_tiny(tiny_models[family]), set[int]()
    with Checks() as check:
        for length in (1, 7, 79, 700):  # within the sliding window of 48, and beyond
            prompt_ids = make_prompt(length)
            ours = engine.generate(prompt_ids, Full(), 16)
            said.update(ours.token_ids)
            with check(f"{length} tokens: the answer"):
                assert ours.token_ids == reference_tokens(engine, prompt_ids, 16)
            with check(f"{length} tokens: logits"):
                theirs = engine.loaded.model(torch.tensor([prompt_ids]), use_cache=False).logits
                torch.testing.assert_close(ours.first_logits, theirs[0, -1], atol=1e-4, rtol=1e-5)
        with check("the longest one at a rate of 1"):
            all_kept = FastKV(tsp_layer=1, tsp_rate=1.0, retention_rate=1.0)
            same = engine.generate(prompt_ids, all_kept, 4)
            assert same.token_ids == ours.token_ids[:4]
            assert torch.equal(same.first_logits, ours.first_logits)
        with check("the answers differ"):  # a model that says one thing proves nothing
            assert len(said) > 8


@pytest.mark.parametrize("family", ["llama", "mistral-sliding", "phi3"])
def test_the_blocked_kernel_agrees_with_torch(family: str, tiny_models: dict[str, Path]) -> None:
    from fastkv_cli.engine.kernels.attention import Kernel

    engine = Engine.load(str(tiny_models[family]), dtype="float32", device="cpu")
    prompt_ids = engine.tokenizer(PROMPT * 2)["input_ids"]
    plain = engine.generate(prompt_ids, method=Full(), max_new_tokens=8)
    blocked = Engine(replace(engine.loaded, kernel=Kernel.BLOCKED)).generate(
        prompt_ids, method=Full(), max_new_tokens=8
    )
    assert blocked.token_ids == plain.token_ids
    assert (blocked.first_logits - plain.first_logits).abs().max() < 1e-3


def test_full_gives_the_tokens_of_transformers_on_the_embedded_model(
    embedded_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "is_plain", lambda *_: False)  # for transformers' own class
    engine = Engine.load("smollm2-135m", dtype="float32", device="cpu")
    prompt_ids = engine.tokenizer("The three primary colours are red, yellow and")["input_ids"]
    ours = engine.generate(prompt_ids, method=Full(), max_new_tokens=24)
    expected = reference_tokens(engine, prompt_ids, 24)
    assert ours.token_ids == expected
    assert "blue" in ours.text.split()[0]


def test_a_string_is_a_prompt_too(tiny_models: dict[str, Path]) -> None:
    engine = Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")
    by_text = engine.generate(PROMPT, method=Full(), max_new_tokens=4)
    by_ids = engine.generate(engine.tokenizer(PROMPT)["input_ids"], Full(), 4)
    assert by_text.token_ids == by_ids.token_ids
    assert by_text.stats.prompt_tokens == len(engine.tokenizer(PROMPT)["input_ids"])


def test_every_family_that_is_let_in_can_be_run() -> None:
    from fastkv_cli.engine.model.families import FAMILIES

    assert {settings["model_type"] for settings in tiny_settings().values()} == set(FAMILIES)


@torch.no_grad()
def test_long_texts_have_their_own_embeddings_from_the_start(tiny_models: dict[str, Path]) -> None:
    """LongRoPE has two kinds, and which it is depends on where the answer may end.

    As transformers reads prompt and answer at once, when they are there.
    """
    engine = Engine.load(str(tiny_models["phi3-longrope"]), dtype="float32", device="cpu")
    for length, count in ((79, 21), (79, 60), (99, 12), (100, 1), (100, 2)):
        prompt_ids = make_prompt(length)
        answer = engine.generate(prompt_ids, Full(), count, ignore_eos=True).token_ids
        whole = torch.tensor([prompt_ids + answer])
        logits = engine.loaded.model(whole, use_cache=False).logits[0, length - 1 : -1]
        assert answer == logits.argmax(dim=-1).tolist(), (length, count)
