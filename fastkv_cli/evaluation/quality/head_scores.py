"""Score a model's attention heads with needle prompts (HeadKV, arXiv 2410.19258, section 3)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ...durations import format_duration
from ...errors import ModelError
from ...prompts.prompt import Prompt, ask_task, build_prompt
from ...store.fingerprint import fingerprint_tokens
from ...store.journal import Journal
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

    Prompts that an interrupted run has read are not read again. With a time limit, those that were
    read until then count, and the next run continues from them.

    Returns:
        `scores`, (L, H) with sum 1, and how they were measured: what `headkv` reads.

    Raises:
        ModelError: when the model answers no prompt correctly.
        FastKVError: when the texts cannot be read.
    """
    started, count, seed = time.monotonic(), options.samples, options.seed
    tokenizer = context.engine.tokenizer
    haystack = load_haystack(options.texts, tokenizer)
    lengths = context.lengths_that_fit(LENGTHS, MAX_ANSWER_TOKENS)
    prompts = head_prompts(haystack, lengths, count, seed, tokenizer)
    settings = {
        "heads": fingerprint_tokens(haystack.token_ids),
        "lengths": lengths,
        "seed": seed,
    }
    with context.open_journal(settings) as journal:
        num_read = _read_prompts(context, prompts, count, journal, started, options.minutes)
        read = [journal.results[str(number)] for number in range(num_read)]
    right = [one["scores"] for one in read if one["scores"]]
    if not right:
        raise ModelError(
            f"the model answered none of {num_read} needle prompts correctly",
            "its heads cannot be scored this way; use a larger model",
        )
    coarse = ""
    if num_read < count:
        coarse = f"{num_read} of {count} prompts were read"
        context.journals.remove(journal)  # the next run continues, with more time
    total = sum(chain.from_iterable(chain.from_iterable(right)))
    return {
        **context.stamp,
        "prompts": num_read,
        "right": len(right),
        "seed": seed,
        "coarse": coarse,
        "scores": [
            [round(sum(head) / total, 9) for head in zip(*layer, strict=True)]
            for layer in zip(*right, strict=True)
        ],
    }


def _read_prompts(
    context: MeasureContext,
    prompts: Iterable[HeadPrompt],
    count: int,
    journal: Journal,
    started: float,
    minutes: float | None,
) -> int:
    """Read prompts that the journal lacks, at least one, until the time is over.

    Returns:
        How many have been read, from the first one on.
    """
    on_progress, has_told = context.report_progress("prompts"), False
    for number, one in enumerate(prompts):
        on_progress("reading needle prompts", number, count)
        if str(number) in journal.results:
            continue
        before = time.monotonic()
        if minutes is not None and number and before >= started + 60 * minutes:
            return number
        journal.add(str(number), {"scores": _score(context, one)})
        if not has_told and count - number > 1:
            # later prompts are up to three times as long as the first two
            length, mean = len(one.prompt.token_ids), sum(LENGTHS) / len(LENGTHS)
            left_s = (time.monotonic() - before) * mean / length * (count - number - 1)
            verb = "take" if minutes is None else "would take"
            context.observer.note(f"{count} prompts {verb} about {format_duration(left_s)}")
            has_told = True
    return count


def _score(context: MeasureContext, one: HeadPrompt) -> list[list[float]]:
    """The scores of all heads, (L, H), on a prompt; empty if it is answered wrongly."""
    from ...engine.heads import needle_attention

    scores, answer = needle_attention(
        context.engine, one.prompt.token_ids, one.needle, MAX_ANSWER_TOKENS
    )
    is_right = contains(context.engine.tokenizer.decode(answer), [one.answer])
    found: list[list[float]] = scores.tolist() if is_right else []
    return found


def _find(needle: str, prompt: Prompt, tokenizer: Any) -> slice:
    """The token positions of a hidden sentence in a prompt."""
    wanted = tokenizer(needle, add_special_tokens=False)["input_ids"]
    ids, first = prompt.token_ids, prompt.document_span.start
    size = len(wanted)
    at = next(at for at in range(first, len(ids) - size + 1) if ids[at : at + size] == wanted)
    return slice(at, at + size)
