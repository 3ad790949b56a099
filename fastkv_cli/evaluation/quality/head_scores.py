"""Score a model's attention heads with needle prompts (HeadKV, arXiv 2410.19258, section 3)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import ModelError
from ...prompts.prompt import Prompt, ask_task, build_prompt
from ...tasks.corpus import Corpus
from ..measure_context import MeasureContext
from .needle import PLACES
from .quality_options import HeadOptions
from .quality_run import MAX_ANSWER_TOKENS
from .questions import Insert, hide, room_for_text
from .ruler import NAMES
from .scoring import contains
from .suites import load_haystack

LENGTHS = (1000, 2000, 3000)


@dataclass(frozen=True, slots=True)
class HeadPrompt:
    """A prompt with a needle, the token positions of the needle, and the correct answer."""

    prompt: Prompt
    needle: slice
    answer: str


def head_prompts(
    haystack: Corpus, lengths: Sequence[int], count: int, seed: int, tokenizer: Any
) -> Iterator[HeadPrompt]:
    """Yield `count` prompts, alternating between R (copy a needle) and R2.

    R2 adds a distractor beside the needle, and finding the needle takes one inference.
    """
    for number in range(count):
        rng = random.Random(f"heads {seed} {number}")
        code, wrong = (str(code) for code in rng.sample(range(10_000, 100_000), 2))
        depth = rng.uniform(0.05, 0.95)
        if number % 2 == 0:
            place = rng.choice(PLACES)
            needle = f" The special magic number of {place} is {code}."
            inserts = [Insert(needle, depth)]
            asked = f"What is the special magic number of {place}?"
        else:
            (near, far), place = rng.sample(NAMES, 2), rng.choice(PLACES)
            needle = f" The locker of {near} has the number {code}."
            inserts = [
                Insert(f" {near} lives in {place}.", max(depth - 0.2, 0.02)),
                Insert(needle, depth),
                Insert(f" The locker of {far} has the number {wrong}.", rng.uniform(0.05, 0.95)),
            ]
            asked = f"What is the number of the locker of the person who lives in {place}?"
        length = lengths[number // 2 % len(lengths)]
        room = room_for_text(tokenizer, asked, length)
        ids = hide(inserts, haystack, rng.randrange(haystack.num_tokens), room, tokenizer)
        prompt = build_prompt(tokenizer, ids, ask_task(asked))
        yield HeadPrompt(prompt, _find(needle, prompt, tokenizer), code)


def profile_heads(context: MeasureContext, options: HeadOptions) -> dict[str, Any]:
    """Score every head; only prompts answered correctly count.

    Returns:
        `scores`, (L, H) with sum 1, and how they were measured: what `headkv` reads.

    Raises:
        ModelError: when the model answers no prompt correctly.
        FastKVError: when the texts cannot be read.
    """
    from ...engine.heads import needle_attention

    count, seed = options.samples, options.seed
    tokenizer = context.engine.tokenizer
    haystack = load_haystack(options.texts, tokenizer)
    lengths = context.lengths_that_fit(LENGTHS, MAX_ANSWER_TOKENS)
    total, right, on_progress = None, 0, context.report_progress("prompts")
    for number, one in enumerate(head_prompts(haystack, lengths, count, seed, tokenizer)):
        on_progress("reading needle prompts", number, count)
        scores, answer = needle_attention(
            context.engine, one.prompt.token_ids, one.needle, MAX_ANSWER_TOKENS
        )
        if contains(tokenizer.decode(answer), [one.answer]):
            right += 1
            total = scores if total is None else total + scores
    if total is None:
        raise ModelError(
            f"the model answered none of {count} needle prompts correctly",
            "its heads cannot be scored this way; use a larger model",
        )
    shares = (total / total.sum()).tolist()
    return {
        **context.stamp,
        "prompts": count,
        "right": right,
        "seed": seed,
        "scores": [[round(share, 9) for share in layer] for layer in shares],
    }


def _find(needle: str, prompt: Prompt, tokenizer: Any) -> slice:
    """The token positions of a hidden sentence in a prompt."""
    wanted = tokenizer(needle, add_special_tokens=False)["input_ids"]
    ids, first = prompt.token_ids, prompt.document_span.start
    size = len(wanted)
    at = next(at for at in range(first, len(ids) - size + 1) if ids[at : at + size] == wanted)
    return slice(at, at + size)
