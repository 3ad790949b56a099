"""Each setting with its value and where that comes from, as `fastkv config` shows it."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

from ..session.option import Option
from ..session.options import SessionOptions
from ..settings import SETTINGS, find_in_files

DEFAULT = "default"
_SECRET = {"password"}


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting.

    Attributes:
        name: as in files.
        value: in words.
        source: a variable, a file, or `default`.
    """

    name: str
    value: str
    source: str


def effective(name: str) -> Effective:
    """A setting that files may hold.

    Raises:
        UsageError: when a file is wrong.
    """
    setting = SETTINGS[name]
    if value := os.environ.get(setting.env):
        return Effective(name, value, setting.env)
    found = find_in_files(name)
    if found is None:
        return Effective(name, setting.default, DEFAULT)
    value = str(found.value).lower() if isinstance(found.value, bool) else found.value
    return Effective(name, value, str(found.path))


def all_effective() -> list[Effective]:
    """The settings that files may hold, then those of the environment alone.

    Raises:
        UsageError: when a file is wrong.
    """
    return [*map(effective, SETTINGS), *_of_environment()]


def _of_environment() -> list[Effective]:
    listed = []
    for declared in fields(SessionOptions):
        known: Option = declared.metadata["option"]
        if known.env is None or declared.name in {*SETTINGS, *_SECRET}:
            continue
        value = os.environ.get(known.env)
        shown = known.shown_default if isinstance(known.shown_default, str) else declared.default
        default = "by preset" if shown is None else str(shown)
        listed.append(Effective(declared.name, value or default, known.env if value else DEFAULT))
    return listed
