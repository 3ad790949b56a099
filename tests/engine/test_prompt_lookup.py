"""Prompt lookup: what is drafted, and that answers are the same with it and without it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, make_prompt, name_of, shared_tiny
from torch import Tensor

from fastkv_cli import AdaKV, Engine, Full
from fastkv_cli.config import EMBEDDED_MODEL, Sampling, parse_prompt_lookup
from fastkv_cli.engine import generate, prompt_lookup
from fastkv_cli.engine.cache import CompressedCache
from fastkv_cli.engine.decode import decode, decode_by_lookup
from fastkv_cli.engine.generation import Generation
from fastkv_cli.engine.kernels.cuda_graph import choose_step
from fastkv_cli.engine.methods import Method
from fastkv_cli.engine.prefill import prefill
from fastkv_cli.engine.prompt_lookup import PromptLookup, pass_costs
from fastkv_cli.engine.sampling import make_plain_sampler
from fastkv_cli.errors import UsageError
from fastkv_cli.weight_formats import DecodingWeights

FREE = [1.0] * 9  # a pass with 9 tokens takes as long as one: as many as possible are drafted
FAMILIES = [
    *("llama", "mistral-sliding", "ministral", "gemma3", "phi3-partial", "phi3-longrope"),
    *("qwen3-moe", "gpt-oss", "olmo3", "granite"),
]
TOKENS = 40
# one setting of each method, and those that keep entries for each query head
METHODS = {name_of(method): method for method in CASES.values()}


class Wrong(PromptLookup):
    """Drafts from a known answer, every third time with a wrong token in it."""

    def __init__(self, prompt_ids: Sequence[int], answer: Sequence[int], vocabulary: int) -> None:
        super().__init__(prompt_ids, len(answer) + 1, FREE)
        self._answer, self._vocabulary, self._num_pushed = list(answer), vocabulary, 0

    def push(self, token_id: int) -> None:
        super().push(token_id)
        self._num_pushed += 1

    def draft(self) -> list[int]:
        super().draft()
        drafted = self._answer[self._num_pushed : self._num_pushed + self.num_passes % 5]
        if drafted and self.num_passes % 3 == 0:
            wrong = self.num_passes % len(drafted)
            drafted[wrong] = (drafted[wrong] + 1) % self._vocabulary
        return drafted


def drafts(prompt: Sequence[int], answer: Sequence[int], room: int = 50) -> list[int]:
    lookup = PromptLookup(prompt, len(answer) + room, FREE)
    for token_id in answer:
        lookup.push(token_id)
    return lookup.draft()


def test_what_followed_the_longest_run_is_drafted() -> None:
    prompt = [1, 2, 3, 4, 5, 6, 9, 3, 4, 7, 8, 0]
    assert drafts(prompt, [2, 3, 4]) == [5, 6, 9, 3, 4, 7, 8, 0]
    assert drafts(prompt, [9, 3, 4]) == [7, 8, 0, 9, 3, 4]
    assert drafts(prompt, [3, 4]) == [7, 8, 0, 3, 4]  # of two runs of the same length the last
    assert drafts(prompt, [6, 77]) == []


def test_the_answer_itself_is_looked_up() -> None:
    assert drafts([1], [5, 6, 7, 8, 5, 6]) == [7, 8, 5, 6]
    assert drafts([4, 5], [4, 5, 4, 5]) == [4, 5]


def test_a_draft_leaves_room_for_one_token_more() -> None:
    prompt = list(range(20))
    assert drafts(prompt, [3, 4], room=50) == list(range(5, 13))
    assert drafts(prompt, [3, 4], room=4) == [5, 6, 7]
    assert drafts(prompt, [3, 4], room=1) == []
    assert drafts(prompt, [3, 4], room=0) == []


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_prompts_draft_nothing(length: int) -> None:
    assert drafts(list(range(length)), [30]) == []
    assert PromptLookup(list(range(length)), 5, FREE).draft() == []


def test_fewer_tokens_are_drafted_the_more_a_pass_costs() -> None:
    prompt, counts = list(range(40)), []
    for slope in (0.0, 0.2, 0.5, 1.0):
        lookup = PromptLookup(prompt, 30, [1 + slope * more for more in range(9)])
        for token_id in (10, 11, 12):
            lookup.push(token_id)
        counts.append(len(lookup.draft()))
    assert counts[0] == 8
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0


def test_nothing_is_drafted_where_drafts_were_wrong() -> None:
    """Wrong ones are known without being verified."""
    costs = pass_costs(DecodingWeights("bfloat16", (4,)))
    run = [1, 2, 3]
    lookup = PromptLookup([*run, 9] * 3, 200, costs)
    counts = []
    for number in range(20):
        for token_id in (*run, 20 + number):
            lookup.draft()
            lookup.push(token_id)
        lookup.push(1)
        lookup.push(2)
        lookup.push(3)
        counts.append(len(lookup.draft()))
        lookup.push(60 + number)
    assert counts[0] > 0
    assert set(counts[8:]) == {0}


def test_costs_follow_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_lookup, "repeats_8_bits", lambda: True)
    costly = pass_costs(DecodingWeights("bfloat16", (8,)))
    monkeypatch.setattr(prompt_lookup, "repeats_8_bits", lambda: False)
    steep, flat = (pass_costs(DecodingWeights("bfloat16", (bits,))) for bits in (4, 8))
    assert pass_costs(DecodingWeights("float32")) == costly == steep
    assert pass_costs(DecodingWeights("bfloat16")) == flat
    assert len(steep) == len(flat) == 16
    assert steep[0] == flat[0] == 1
    assert list(steep) == sorted(steep)
    assert all(a >= b for a, b in zip(steep, flat, strict=True))


@pytest.mark.parametrize(
    ("value", "most"), [("auto", None), ("off", 0), ("OFF ", 0), ("1", 1), (15, 15), ("7", 7)]
)
def test_option_values(value: str | int, most: int | None) -> None:
    assert parse_prompt_lookup(value) == most


@pytest.mark.parametrize("value", ["", "on", "0", "16", "-1", "1.5", "²"])
def test_unknown_option_values_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="prompt-lookup"):
        parse_prompt_lookup(value)


def visible(cache: CompressedCache) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Keys, values and positions of all entries that the next token attends to."""
    found = []
    for layer in range(cache.num_layers):
        for group in cache.groups(layer):
            start = group.first_visible(1)
            found.append(
                (group.keys[:, :, start:], group.values[:, :, start:], group.positions[:, start:])
            )
    return found


def decoded(
    engine: Engine, ids: list[int], method: Method, count: int, lookup: PromptLookup | None
) -> tuple[list[int], CompressedCache, int]:
    """The first tokens of an answer, the cache after them, and the tokens decoded into it."""
    rows = torch.tensor(ids)
    plan = method.plan(engine.decoder.shape(len(ids), slice(len(ids) - 20, len(ids) - 6)))
    with engine.prefill_models.open_runner(engine.decoder, rows, plan, 0, None) as runner:
        read = prefill(engine.decoder, rows, method, runner, plan, room=TOKENS)
    first = read.cache.next_position
    sampler = make_plain_sampler(Sampling(), guards_loops=False)
    step = choose_step(engine.decoding_model, read.cache)
    tokens: Generator[int]
    if lookup is None:
        tokens = decode(step, read.logits, sampler)
    else:
        tokens = decode_by_lookup(
            engine.decoding_model, read.cache, step, read.logits, sampler, lookup
        )
    with closing(tokens):
        chosen = list(islice(tokens, count))
    return chosen, read.cache, read.cache.next_position - first


def check_rejected(engine: Engine, method: Method) -> None:
    """The tokens, and what the cache holds, are those of decoding token by token."""
    ids = make_prompt(200)
    expected, _, _ = decoded(engine, ids, method, TOKENS, None)
    for count in (TOKENS - 1, TOKENS):
        lookup = Wrong(ids, expected, engine.loaded.model.config.vocab_size)
        chosen, cache, num_decoded = decoded(engine, ids, method, count, lookup)
        assert chosen == expected[:count]
        assert lookup.num_passes < count * 2 / 3
        # a whole pass may have been computed before the caller stopped
        plain, other, _ = decoded(engine, ids, method, num_decoded + 1, None)
        assert plain[:count] == chosen
        assert cache.next_position == other.next_position
        for ours, theirs in zip(visible(cache), visible(other), strict=True):
            assert torch.equal(ours[2], theirs[2])
            torch.testing.assert_close(ours[:2], theirs[:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_rejected_tokens_leave_no_trace_in_any_family(
    family: str, tiny_models: dict[str, Path]
) -> None:
    for method in (Full(), AdaKV(retention_rate=0.3)):
        check_rejected(shared_tiny(tiny_models[family]), method)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_rejected_tokens_leave_no_trace_of_any_method(
    method: Method, tiny_models: dict[str, Path]
) -> None:
    check_rejected(shared_tiny(tiny_models["llama"]), method)


def both(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, count: int, **settings: Any
) -> tuple[Generation, Generation]:
    """An answer of the engine without drafts, and one with drafts of which some are wrong."""
    ids, vocabulary = make_prompt(120), engine.loaded.model.config.vocab_size
    plain = Engine(engine.loaded, max_draft=0).generate(ids, Full(), count, **settings)

    def draft_from_answer(prompt: Sequence[int], _room: int, _costs: Sequence[float]) -> Wrong:
        return Wrong(prompt, plain.token_ids, vocabulary)

    monkeypatch.setattr(generate, "PromptLookup", draft_from_answer)
    if "until" in settings:
        settings["until"] = until(count)
    return plain, engine.generate(ids, Full(), count, **settings)


def until(count: int) -> Callable[[], bool]:
    """Ends an answer after three quarters of its tokens."""
    return iter([False] * (count * 3 // 4) + [True]).__next__


@pytest.mark.parametrize("count", [1, 2, 3, 37, 38, 39, 40])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sampling": Sampling(0.9, seed=3)},
        {"sampling": Sampling(repetition_penalty=1.3)},
        {"guard_loops": True},
        {"until": None},
    ],
    ids=str,
)
def test_answers_are_the_same(
    settings: dict[str, Any],
    count: int,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "until" in settings:
        settings = {"until": until(count)}
    engine = shared_tiny(tiny_models["llama"])
    plain, drafted = both(engine, monkeypatch, count, **settings)
    assert drafted.token_ids == plain.token_ids
    assert (drafted.text, drafted.finish_reason) == (plain.text, plain.finish_reason)
    assert plain.stats.decode_passes == len(plain.token_ids) - 1
    if count > 20:
        assert drafted.stats.decode_passes < plain.stats.decode_passes


def test_an_end_within_a_draft_ends_the_answer(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = shared_tiny(tiny_models["llama"])
    answer = Engine(engine.loaded, max_draft=0).generate(make_prompt(120), Full(), TOKENS)
    for end in answer.token_ids[10:14]:  # at least one of them is a drafted one
        ending = Engine(replace(engine.loaded, eos_ids=frozenset({end})))
        plain, drafted = both(ending, monkeypatch, TOKENS)
        assert drafted.token_ids == plain.token_ids
        assert plain.token_ids == answer.token_ids[: answer.token_ids.index(end) + 1]
        assert (drafted.text, drafted.finish_reason) == (plain.text, "stop")


@pytest.mark.parametrize(("family", "ignore_eos"), [("qwen3_5", False), ("llama", True)])
def test_lookup_is_off_where_it_cannot_be_used(
    family: str, ignore_eos: bool, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token can be taken out of a recurrent state; a measured step is one token."""
    engine = shared_tiny(tiny_models[family])
    _, drafted = both(engine, monkeypatch, TOKENS, ignore_eos=ignore_eos)
    assert drafted.stats.decode_passes == TOKENS - 1
    assert drafted.stats.tokens_per_pass == 1


@pytest.mark.usefixtures("embedded_dir")
def test_the_embedded_model_copies_in_fewer_passes() -> None:
    engine = Engine.load(EMBEDDED_MODEL, device="cpu", offline=True)
    text = "The harbour master of Wessel opens the northern gate at six every morning. "
    ids = engine.tokenizer(
        f"<|im_start|>user\nRepeat this sentence word for word: {text}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )["input_ids"]
    drafted = engine.generate(ids, Full(), 24)
    plain = Engine(engine.loaded, max_draft=0).generate(ids, Full(), 24)
    assert drafted.token_ids == plain.token_ids
    assert plain.stats.tokens_per_pass == 1
    assert drafted.stats.tokens_per_pass is not None
    assert drafted.stats.tokens_per_pass > 1.3
