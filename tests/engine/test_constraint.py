"""Whatever a model would say, its answer is a text of the grammar."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fastkv_cli import Engine
from fastkv_cli.config import Sampling
from fastkv_cli.engine.constraint import ConstrainedSampler, constrain
from fastkv_cli.engine.sampling import Sampler
from fastkv_cli.errors import FastKVError


@pytest.fixture(scope="module")
def tiny(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


WORDS = 'start: "yes" | "no, never" | "né 3 €"'


def test_answers_are_of_the_grammar(tiny: Engine) -> None:
    for seed in range(3):
        answer = tiny.generate("Is it?", None, 32, sampling=Sampling(1.5, seed), grammar=WORDS)
        assert answer.text in {"yes", "no, never", "né 3 €"}
        assert answer.finish_reason == "stop"
    assert tiny.generate("Is it?", None, 1, grammar='start: "no, never"').finish_reason == "length"


def test_the_likeliest_allowed_token_is_taken(tiny: Engine) -> None:
    sampler = ConstrainedSampler(Sampler(Sampling()), tiny.vocabulary, WORDS)
    yes = tiny.tokenizer("yes", add_special_tokens=False)["input_ids"]
    logits = torch.zeros(tiny.loaded.model.config.vocab_size)
    logits[yes[0]] = 5.0
    logits[yes[0] - 1] = 9.0
    assert sampler.choose(logits) == yes[0]


def test_a_broken_grammar_is_an_error(tiny: Engine) -> None:
    with pytest.raises(FastKVError, match="the grammar of the answer fails"):
        constrain(Sampling(), tiny.vocabulary, "start: missing")()
