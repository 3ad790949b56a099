"""How a summary is written."""

from enum import StrEnum


class Style(StrEnum):
    """The model rewrites the key sentences of a text, or they are quoted as they are."""

    PROSE = "prose"
    BULLETS = "bullets"
    EXTRACTIVE = "extractive"
