"""What is on the disk, as `fastkv models` lists it: with facts, memory and calibration.

No torch is imported: headers are read, and memory is forecast from the sizes in them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..config import LOCAL_REVISION, Preset
from ..engine.memory_forecast import forecast_from_sizes
from ..engine.tuning import Tuning, load_tuning
from ..errors import FastKVError, ModelError
from ..forecasts import MemoryForecast
from ..models.content import content_id
from ..models.embedded import GGUF_SHA256
from ..models.files import REVISION_DIGITS
from ..models.local import noted_sha256
from ..models.on_disk import FoundModel, Place, find_models
from ..models.on_disk.facts import ModelFacts, read_facts
from ..system.free_memory import available_memory_bytes
from ..system.instruction_sets import multiplies_bfloat16
from ..tasks.answer_question import PART_TOKENS

# Tokens of documents of so many pages of a report: 530 a page.
SHORT_PAGES, LONG_PAGES = 10, 300
DOCUMENT_TOKENS = {SHORT_PAGES: 5_300, LONG_PAGES: 160_000}
_FRAME_TOKENS = 512  # instructions, question and answer
# Python, torch and transformers without a model; 425 MB on Linux with torch 2.13 for the CPU.
_PROGRAM_BYTES = 425_000_000
_NEVER_LOADED = "never-loaded"  # is no hash
# Reading a header takes 0.3 s for a vocabulary of 150,000 tokens with its merges.
TIME_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model on disk.

    Attributes:
        found: its name and files.
        facts: what its headers say; None if it cannot be used.
        memory: forecast for documents of so many pages, on a CPU with the default settings.
        is_calibrated: whether its compression settings were measured.
        problem: why it cannot be used, on one line; empty if it can.
        hint: what to do about the problem; may be empty.
    """

    found: FoundModel
    facts: ModelFacts | None = None
    memory: dict[int, MemoryForecast] | None = None
    is_calibrated: bool = False
    problem: str = ""
    hint: str = ""


def list_models(time_limit_s: float = TIME_LIMIT_S) -> list[ListedModel]:
    """All models on disk, those that can be used first.

    Args:
        time_limit_s: after so many seconds, no more headers are read.
    """
    listed = list(_describe_all(find_models(), time.monotonic() + time_limit_s))
    return sorted(listed, key=lambda each: each.facts is None)


def describe_model(found: FoundModel) -> ListedModel:
    """Read a model's headers, and forecast its memory."""
    try:
        facts = read_facts(found)
    except ModelError as error:
        problem, hint = error.message.removeprefix(f"{found.name} "), error.hint
        if problem.startswith("cannot read"):  # what stands behind it is the reason
            problem, hint = f"{problem} ({hint})", ""
        return ListedModel(found, problem=" ".join(problem.split()), hint=hint)
    tuning = _tuning(found)
    available, bytes_per_weight = available_memory_bytes(), 2 if multiplies_bfloat16() else 4
    memory = {
        pages: _forecast(facts, tuning, tokens, bytes_per_weight, available)
        for pages, tokens in DOCUMENT_TOKENS.items()
    }
    return ListedModel(found, facts, memory, tuning.is_calibrated)


def _describe_all(models: Iterable[FoundModel], deadline: float) -> Iterator[ListedModel]:
    for found in models:
        if time.monotonic() < deadline:
            yield describe_model(found)
        else:
            name = found.name
            yield ListedModel(found, problem="not read yet", hint=f"fastkv models info {name}")


def _tuning(found: FoundModel) -> Tuning:
    try:
        return load_tuning(found.name, _content(found))
    except FastKVError:  # a damaged file of measurements; the run will tell
        return Tuning(model=found.name)


def _content(found: FoundModel) -> str:
    """The id that calibrations are named after; that of a GGUF file once it was loaded."""
    if found.place is Place.EMBEDDED:
        return GGUF_SHA256[:REVISION_DIGITS]
    if not found.parts:
        return content_id(found.name, found.path, LOCAL_REVISION)
    return (noted_sha256(found.path) or _NEVER_LOADED)[:REVISION_DIGITS]


def _forecast(
    facts: ModelFacts,
    tuning: Tuning,
    document_tokens: int,
    bytes_per_weight: int,
    available_bytes: int | None,
) -> MemoryForecast:
    num_tokens = _longest_prompt(facts.window, tuning, document_tokens)
    rate = tuning.presets[Preset.BALANCED].budget.rate or 1.0
    kept = 1.0 if num_tokens < tuning.full_below else rate
    return forecast_from_sizes(
        facts.sizes,
        num_tokens,
        facts.kv_numbers(num_tokens, kept) * bytes_per_weight,
        full_kv_bytes=facts.kv_numbers(num_tokens) * bytes_per_weight,
        bytes_per_weight=bytes_per_weight,
        # in float32, only what a GGUF file quantized is packed
        packs=bytes_per_weight == 2 or facts.sizes.packed_bytes is not None,
        device_type="cpu",
        program_bytes=_PROGRAM_BYTES,
        available_bytes=available_bytes,
    )


def _longest_prompt(window: int, tuning: Tuning, document_tokens: int) -> int:
    """Tokens of the longest prompt about a document: whole if it fits, else in parts."""
    room = max(window - _FRAME_TOKENS, 1)
    whole = room if tuning.whole_below is None else min(room, tuning.whole_below)
    text = document_tokens if document_tokens <= whole else min(PART_TOKENS, room)
    return text + _FRAME_TOKENS
