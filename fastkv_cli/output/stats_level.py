"""How much of an answer's statistics is printed."""

from enum import StrEnum


class StatsLevel(StrEnum):
    """How much of an answer's statistics is printed."""

    BRIEF = "brief"
    FULL = "full"
    OFF = "off"
