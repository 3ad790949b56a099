"""How tokens are chosen: greedy, by a seed, and never round in circles."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from fastkv_cli.config import GREEDY, Sampling
from fastkv_cli.engine import sampling
from fastkv_cli.engine.sampling import LoopGuard, Sampler

VOCABULARY = 50


def favour(token_id: int, second: int = 0) -> Tensor:
    """Logits with a clear first and second choice."""
    logits = torch.zeros(VOCABULARY)
    logits[second] = 5.0
    logits[token_id] = 10.0
    return logits


def random_logits(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return list(torch.randn(count, VOCABULARY, generator=generator))


def answer(sampler: Sampler, wishes: Iterable[int]) -> list[int]:
    """What is chosen by a model that would like to say these tokens."""
    return [sampler.choose(favour(wish, second=40)) for wish in wishes]


def test_greedy_takes_the_likeliest() -> None:
    for guard in (None, LoopGuard()):
        sampler = Sampler(GREEDY, guard)
        for logits in random_logits(30):
            assert sampler.choose(logits) == int(logits.argmax())


def test_the_same_seed_gives_the_same_tokens() -> None:
    def draw(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed))
        return [sampler.choose(logits) for logits in random_logits(40)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_the_seed_is_the_sampler_s_own() -> None:
    torch.manual_seed(0)
    before = torch.rand(1)
    torch.manual_seed(0)
    sampler = Sampler(Sampling(temperature=1.0, seed=3))
    for logits in random_logits(3):
        sampler.choose(logits)
    assert torch.equal(torch.rand(1), before)


def test_temperature_sets_how_often_the_likeliest_comes() -> None:
    logits = torch.zeros(VOCABULARY)
    logits[3] = 4.0

    def share(temperature: float) -> float:
        sampler = Sampler(Sampling(temperature=temperature, seed=0))
        return sum(sampler.choose(logits) == 3 for _ in range(500)) / 500

    expected = float(logits.softmax(0)[3])
    assert share(1.0) == pytest.approx(expected, abs=0.08)
    assert share(0.1) == 1.0
    assert share(5.0) < 0.2


RUN = list(range(1, 1 + sampling._RUN_LENGTH))


def test_a_run_does_not_come_twice() -> None:
    said = answer(Sampler(GREEDY, LoopGuard()), RUN * 2)
    assert said == [*RUN, *RUN[:-1], 40]  # its last token would have made it the same run again


def test_shorter_repetitions_pass() -> None:
    wishes = [token for at in range(4) for token in [*RUN[:-1], 20 + at]]
    assert answer(Sampler(GREEDY, LoopGuard()), wishes) == wishes


def test_quoting_the_prompt_passes() -> None:
    """The guard knows nothing of the prompt: a passage of any length may be quoted once."""
    passage = list(range(1, 39))
    assert answer(Sampler(GREEDY, LoopGuard()), passage) == passage


def test_every_follower_of_a_run_is_banned() -> None:
    guard = LoopGuard()
    answer(Sampler(GREEDY, guard), [*RUN[:-1], 20, *RUN[:-1], 30, *RUN[:-1]])
    logits = guard.filter(torch.zeros(VOCABULARY))
    assert torch.isinf(logits).nonzero().flatten().tolist() == [20, 30]


def test_the_beginning_of_an_answer_is_no_run() -> None:
    """Shorter than a run, nothing can be said twice."""
    guard = LoopGuard()
    answer(Sampler(GREEDY, guard), [5] * (sampling._RUN_LENGTH - 2))
    logits = torch.zeros(VOCABULARY)
    assert guard.filter(logits) is logits


def test_logits_are_left_as_they_are() -> None:
    guard = LoopGuard()
    answer(Sampler(GREEDY, guard), [*RUN, *RUN[:-1]])
    logits = favour(RUN[-1])
    kept = logits.clone()
    assert int(guard.filter(logits).argmax()) == 0
    assert torch.equal(logits, kept)


def test_a_loop_with_variations_is_ended() -> None:
    sampler = Sampler(GREEDY, LoopGuard())
    generator = torch.Generator().manual_seed(0)
    spoken = 0
    while not sampler.is_looping and spoken < 500:
        logits = favour(1 + spoken % 8)
        logits[20:] += torch.rand(VOCABULARY - 20, generator=generator)
        sampler.choose(logits)
        spoken += 1
    assert sampler.is_looping
    assert sampling._HORIZON <= spoken < 200


def test_a_refrain_now_and_then_is_no_loop() -> None:
    sampler = Sampler(GREEDY, LoopGuard())
    generator = torch.Generator().manual_seed(1)
    for _ in range(10):
        answer(sampler, RUN[:6])
        answer(sampler, torch.randint(5, 39, (20,), generator=generator).tolist())
        assert not sampler.is_looping


def test_what_was_said_grows_less_likely() -> None:
    """Positive scores are divided, negative ones multiplied (CTRL, section 4.1)."""
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    logits = torch.full((VOCABULARY,), -8.0)
    logits[:3] = torch.tensor([6.0, 4.0, 2.0])
    kept = logits.clone()
    assert [sampler.choose(logits) for _ in range(4)] == [0, 1, 0, 0]
    assert torch.equal(logits, kept)
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    assert [sampler.choose(torch.tensor([-3.0, -4.0])) for _ in range(2)] == [0, 1]
    sampler = Sampler(Sampling(repetition_penalty=1.0))
    assert [sampler.choose(logits) for _ in range(3)] == [0, 0, 0]


def test_without_a_guard_the_model_may_go_round() -> None:
    sampler = Sampler(GREEDY)
    assert answer(sampler, [1, 2] * 50) == [1, 2] * 50
    assert not sampler.is_looping
