"""The options of `bench`, each declared once, and the settings of a speed test."""

from __future__ import annotations

from dataclasses import dataclass

from ...config import Budget, MethodName, Preset, parse_tokens
from ...errors import UsageError
from ...session.option import Group, option
from ..arms import parse_methods


@dataclass(frozen=True, slots=True)
class SpeedTest:
    """The settings of a speed test.

    Attributes:
        source: a document to read, or "-" for stdin; None for the bundled novel.
        lengths: of the prompts, in tokens, ascending; empty for the whole document, or for the
            default lengths.
        repetitions: number of measured rounds.
        max_tokens: tokens that every run generates.
        names: the methods and presets to compare with full.
        budgets: of the methods that are no presets; empty for the balanced preset's.
    """

    source: str | None = None
    lengths: tuple[int, ...] = ()
    repetitions: int = 5
    max_tokens: int = 64
    names: tuple[MethodName | Preset, ...] = ()
    budgets: tuple[Budget, ...] = ()

    def __post_init__(self) -> None:
        counts = {"--repetitions": self.repetitions, "--max-tokens": self.max_tokens}
        for name, value in counts.items():
            if value < 1:
                raise UsageError(f"{name} {value} is out of range", "it is 1 or more")


@dataclass(frozen=True, kw_only=True)
class SpeedOptions:
    """Which methods `measure_speed` runs, and on which prompts."""

    prompt_tokens: str | None = option(
        None,
        Group.MEASUREMENT,
        "Prompt lengths, as 1k,7.5k.",
        metavar="TOKENS",
        shown_default="1k,4k,7.5k, or all of DOC",
    )
    methods: str = option(
        "full,fast,balanced,snapkv",
        Group.MEASUREMENT,
        "Presets and methods; full is always measured.",
        metavar="NAMES",
    )
    budget: str | None = option(
        None,
        Group.MEASUREMENT,
        "KV cache to KEEP, for methods that are no presets.",
        metavar="SHARE|TOKENS",
        shown_default="the balanced one",
    )
    repetitions: int = option(
        5, Group.MEASUREMENT, "Measured runs of each method, behind one to warm up.", metavar="N"
    )
    max_tokens: int = option(64, Group.MEASUREMENT, "Tokens that every run generates.", metavar="N")

    def test_of(self, source: str | None = None) -> SpeedTest:
        """The settings of a test on a document, or on the bundled novel.

        Raises:
            UsageError: when a value cannot be read or is out of range.
        """
        given = [] if self.prompt_tokens is None else self.prompt_tokens.split(",")
        lengths = tuple(sorted({parse_tokens(length) for length in given}))
        budgets = () if self.budget is None else (Budget.parse(self.budget),)
        names = parse_methods(self.methods, needs_rival=False)
        if budgets and all(name in [*Preset, MethodName.FULL] for name in names):
            raise UsageError(
                f"--budget {self.budget} is of no use", "presets have their own, full has none"
            )
        return SpeedTest(source, lengths, self.repetitions, self.max_tokens, names, budgets)
