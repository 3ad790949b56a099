"""The options of summaries: each is declared once, as those in options.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from ..config import Length
from ..errors import UsageError
from ..summary_style import Style
from .option import Group, option, parse_choices

_MAX_LANGUAGE = 40  # characters


@dataclass(frozen=True, kw_only=True)
class SummaryOptions:
    """What a summary is like; choices may be given as words."""

    length: Length = option(
        Length.MEDIUM,
        Group.OUTPUT,
        "Write two or three sentences, a paragraph, or several paragraphs.",
        "--length",
        "-l",
    )
    style: Style | None = option(
        None,
        Group.OUTPUT,
        "Quote the key sentences (extractive), or let the model rewrite them as prose or bullets.",
        env="FASTKV_STYLE",
        shown_default="extractive with the embedded model, else prose",
    )
    language: str | None = option(
        None,
        Group.OUTPUT,
        "Write the summary in this language, as German, with a model that knows it.",
        metavar="NAME",
        shown_default="the text's",
    )

    def __post_init__(self) -> None:
        parse_choices(self, {"length": Length, "style": Style})

    @classmethod
    def of(cls, length: Length | str, **others: str | None) -> Self:
        """The options of these values, checked.

        Raises:
            UsageError: when a value is unknown.
        """
        options = cls(length=length, **others)  # type: ignore[arg-type]
        options.check_summary()
        return options

    def check_summary(self) -> None:
        """Check what the types do not.

        Raises:
            UsageError: when the language is no name, or nothing would be written in it.
        """
        language = self.language
        if language is None:
            return
        if (
            len(language) > _MAX_LANGUAGE
            or not language.replace("-", "").replace(" ", "").isalpha()
        ):
            raise UsageError(f"language {language!r} is no name", "give one, as German")
        if self.style is Style.EXTRACTIVE:
            raise UsageError(
                "an extractive summary is in the text's own language",
                "leave out --language, or give --style prose",
            )

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `tasks.summarize`."""
        return {"length": self.length, "style": self.style, "language": self.language or ""}
