"""Rendering a model's chat template in a separate process (`template_worker.py`).

A template is a program that comes with the model. It can run for years or allocate 20 GB, and
nothing within a Python process can stop either: so it runs in another process, which has limits.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ModelError
from ..system.isolated import start_module

if TYPE_CHECKING:
    from .template_worker import Job, Rendered

# Placeholder of a text while the template is rendered; the first is the document's.
_SENTINEL = re.compile("\u241eTEXT\\d+\u241e")
# Most of the time goes into starting the process: so the first call renders conversations of up to
# 7 earlier turns, with a system turn and without.
_TURNS_AT_ONCE = 8
_MAX_TEMPLATE = _MAX_OUTPUT = 2**20  # characters; Llama 3.1's template has 4,000 and renders 300
_MEMORY_BYTES = 512 * 2**20
_CPU_S = 3  # typically 0.15 s
_WALL_S = 30.0  # for busy processors, and systems without a limit on CPU time
_HINT = "try another model, or remove its chat template"
# The variable by which templates turn thinking on and off (Qwen3, SmolLM3, GLM).
_SWITCH = "enable_thinking"

_Pieces = tuple[str, ...]  # empty where the template raises, or omits a text


class _Found(NamedTuple):
    """For each number of earlier turns, the pieces with a system turn and those without.

    `reason` is the error of the first conversation, if it could not be rendered.
    """

    pieces: list[tuple[_Pieces, _Pieces]]
    reason: str


def split_template(
    tokenizer: Any, system: str, num_turns: int = 0, *, thinks: bool = False
) -> list[str]:
    """The pieces of a chat template before, between and after the texts of a conversation.

    Args:
        tokenizer: the tokenizer with the template.
        system: text of the system turn, or start of the first user turn where the template has no
            system turn.
        num_turns: questions and answers before the last question.
        thinks: leave thinking to the template's default; else turn it off, where the template can.

    Returns:
        2 * num_turns + 2 pieces; only 2 where the template has no place for earlier turns, or would
        not begin with the same piece as without them.

    Raises:
        ModelError: when the template has no place for any text, or cannot be rendered.
    """
    template = _template_of(tokenizer)
    variables = json.dumps(tokenizer.special_tokens_map, sort_keys=True)
    found = _split_several(template, variables, system, 0)[thinks]
    alone = next(filter(None, found.pieces[0]), ())
    if not alone and found.reason:
        raise _failure(found.reason)
    if not alone:
        raise ModelError("the model's chat template has no place for a text", "try another model")
    if not num_turns:
        return list(alone)
    first = num_turns - num_turns % _TURNS_AT_ONCE
    tried = _split_several(template, variables, system, first)[thinks].pieces[num_turns - first]
    return list(next((pieces for pieces in tried if pieces[:1] == alone[:1]), alone))


def has_thinking_switch(tokenizer: Any) -> bool:
    """Whether the chat template can turn thinking off."""
    return _SWITCH in _template_of(tokenizer)


def mentions(tokenizer: Any, mark: str) -> bool:
    """Whether the chat template's source has a mark in it."""
    return mark in _template_of(tokenizer)


def _template_of(tokenizer: Any) -> str:
    """The template of a tokenizer; of several, the one named `default`.

    Raises:
        ModelError: when it is not a text, or too long.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not isinstance(template, str):
        raise ModelError("the model's chat template is not text", _HINT)
    if len(template) > _MAX_TEMPLATE:
        raise ModelError(
            f"the model's chat template has {len(template):,} characters, "
            f"which is more than {_MAX_TEMPLATE:,}",
            _HINT,
        )
    return template


@lru_cache(maxsize=16)
def _split_several(template: str, variables: str, system: str, first: int) -> tuple[_Found, _Found]:
    """The pieces for `first` to `first` + 7 earlier turns, without thinking and with it.

    Raises:
        ModelError: when rendering exceeds the limits on time or memory.
    """
    counts = range(first, first + _TURNS_AT_ONCE)
    conversations = [
        _conversation(count, system, has_system=has_system)
        for count in counts
        for has_system in (True, False)
    ]
    without: dict[str, Any] = {_SWITCH: False}
    switches = [without, {}] if _SWITCH in template else [without]
    rendered = _render(template, json.loads(variables), switches, conversations)
    missing: Rendered = rendered[0] if len(rendered) == 1 else {}  # one error for all of them
    rendered += [missing] * (len(conversations) * len(switches) - len(rendered))
    found = [
        _found(rendered[start : start + len(conversations)], system, first)
        for start in range(0, len(rendered), len(conversations))
    ]
    return found[0], found[-1]


def _found(rendered: Sequence[Rendered], system: str, first: int) -> _Found:
    split = [
        _split(each.get("text", ""), system, 2 * (number // 2 + first) + 1)
        for number, each in enumerate(rendered)
    ]
    reason = rendered[1].get("error", "") or rendered[0].get("error", "")
    return _Found(list(zip(split[::2], split[1::2], strict=True)), reason)


def _conversation(num_turns: int, system: str, *, has_system: bool) -> list[dict[str, str]]:
    """Messages with a sentinel for each text."""
    texts = _sentinels(2 * num_turns + 1)
    roles = cycle(("user", "assistant"))
    turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    if has_system:
        return [{"role": "system", "content": system}, *turns]
    turns[0]["content"] = f"{system}\n\n{texts[0]}"
    return turns


def _sentinels(count: int) -> list[str]:
    return [f"\u241eTEXT{number}\u241e" for number in range(count)]


def _split(rendered: str, system: str, num_texts: int) -> _Pieces:
    """The pieces around the sentinels; empty if a text is missing or out of order."""
    is_whole = system in rendered and _SENTINEL.findall(rendered) == _sentinels(num_texts)
    return tuple(_SENTINEL.split(rendered)) if is_whole else ()


def _render(
    template: str,
    variables: dict[str, Any],
    switches: list[dict[str, Any]],
    conversations: Sequence[list[dict[str, str]]],
) -> list[Rendered]:
    """Render conversations, all of them with each switch, in a process that ends before returning.

    Raises:
        ModelError: when the process cannot be started, takes too long or crashes.
    """
    job: Job = {
        "template": template,
        "variables": variables,
        "switches": switches,
        "conversations": list(conversations),
        "memory_bytes": _MEMORY_BYTES,
        "cpu_s": _CPU_S,
        "output": _MAX_OUTPUT,
    }
    try:
        process = start_module("fastkv_cli.prompts.template_worker", stdin=subprocess.PIPE)
    except OSError as error:
        raise ModelError(
            f"no process could be started for the model's chat template ({error.strerror})",
            "end other programs and try again",
        ) from error
    with process:
        try:
            out, _ = process.communicate(json.dumps(job).encode(), timeout=_WALL_S)
        except subprocess.TimeoutExpired:
            raise _failure("it does not end") from None
        finally:
            process.kill()
    if process.returncode:  # usually the signal for exceeding the CPU time
        raise _failure("it does not end, or takes too much memory")
    rendered: list[Rendered] = [json.loads(line) for line in out.splitlines()]
    return rendered


def _failure(reason: str) -> ModelError:
    # the reason may hold the template's own words, as raise_exception gives them
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in reason)
    return ModelError(f"the model's chat template cannot be rendered ({printable})", _HINT)
