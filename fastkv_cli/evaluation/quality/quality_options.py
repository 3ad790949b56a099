"""The options of `eval`, `calibrate` and `profile-heads`: each is declared once, and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...config import Budget, MethodName, Preset, Suite, parse_tokens
from ...errors import UsageError
from ...session.option import Group, option
from ..arms import parse_methods

_MAX_MINUTES = 7 * 24 * 60


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What `measure_quality` asks, and with which methods.

    Raises:
        UsageError: when a value cannot be read or is out of range.
    """

    suite: str = option(
        ",".join(Suite), Group.MEASUREMENT, "needle, qa and ruler, or some.", metavar="NAMES"
    )
    methods: str = option(
        ",".join(Preset),
        Group.MEASUREMENT,
        "Presets and methods to compare with full.",
        metavar="NAMES",
    )
    budgets: str | None = option(
        None,
        Group.MEASUREMENT,
        "Budgets for each method, as 10%,20%.",
        metavar="BUDGETS",
        shown_default="the balanced one",
    )
    lengths: str = option(
        "1k,2k,4k,7k", Group.MEASUREMENT, "Prompt lengths, as 1k,2k.", metavar="TOKENS"
    )
    samples: int = option(
        15, Group.MEASUREMENT, "Questions for each suite and length.", metavar="N"
    )
    seed: int = option(0, Group.MEASUREMENT, "The same seed, the same questions.", metavar="N")
    texts: Path | None = option(
        None, Group.MEASUREMENT, "Texts of your own to hide needles in.", metavar="FOLDER"
    )
    qa: Path | None = option(
        None, Group.MEASUREMENT, "Questions of your own: JSON lines.", "--qa", metavar="FILE"
    )

    def __post_init__(self) -> None:
        _check_samples(self.samples)
        _check_exists("--texts", self.texts)
        _check_exists("--qa", self.qa)
        _ = self.suites, self.kept_budgets, self.prompt_lengths, self.names

    @property
    def suites(self) -> tuple[Suite, ...]:
        return _parse_suites(self.suite)

    @property
    def names(self) -> tuple[MethodName | Preset, ...]:
        """The methods and presets."""
        return parse_methods(self.methods)

    @property
    def kept_budgets(self) -> tuple[Budget, ...]:
        """The budgets of the methods that are no presets; empty for the balanced preset's."""
        given = (self.budgets or "").split(",")
        return tuple(dict.fromkeys(Budget.parse(budget) for budget in given if budget))

    @property
    def prompt_lengths(self) -> tuple[int, ...]:
        """The lengths of the prompts, in tokens, ascending."""
        return tuple(sorted({parse_tokens(length) for length in self.lengths.split(",")}))


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """What `calibrate_model` asks, and what may be lost.

    Raises:
        UsageError: when a value cannot be read or is out of range.
    """

    texts: Path | None = option(
        None, Group.MEASUREMENT, "Texts of your own to calibrate on.", metavar="FOLDER"
    )
    tolerance: str = option(
        "1%", Group.MEASUREMENT, "How many of full's answers may be lost.", metavar="SHARE"
    )
    suite: str = option(
        f"{Suite.NEEDLE},{Suite.RULER}",
        Group.MEASUREMENT,
        "needle, qa and ruler, or some.",
        metavar="NAMES",
    )
    samples: int = option(30, Group.MEASUREMENT, "Questions to ask of each setting.", metavar="N")
    minutes: float | None = option(
        None,
        Group.MEASUREMENT,
        "Stop after this time: try a coarse grid of settings first, then those around the best.",
        metavar="N",
        shown_default="every setting is tried",
    )
    seed: int = option(1, Group.MEASUREMENT, "The same seed, the same questions.", metavar="N")

    def __post_init__(self) -> None:
        _ = self.tolerated_loss, self.suites
        _check_samples(self.samples)
        _check_minutes(self.minutes)
        _check_exists("--texts", self.texts)

    @property
    def suites(self) -> tuple[Suite, ...]:
        return _parse_suites(self.suite)

    @property
    def tolerated_loss(self) -> float:
        """The tolerance as a share, from 0 to below 1."""
        number = self.tolerance.strip().removesuffix("%")
        try:
            share = float(number) / (100 if self.tolerance.strip().endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share < 1:
            raise UsageError(
                f"--tolerance {self.tolerance} is out of range", "give a share as 1% or 0.01"
            )
        return share


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """Which prompts `profile_heads` scores a model's heads with.

    Raises:
        UsageError: when a value is out of range.
    """

    samples: int = option(60, Group.MEASUREMENT, "Needle prompts to read.", metavar="N")
    minutes: float | None = option(
        None,
        Group.MEASUREMENT,
        "Stop after this time, with the prompts that were read.",
        metavar="N",
        shown_default=False,
    )
    seed: int = option(0, Group.MEASUREMENT, "The same seed, the same prompts.", metavar="N")
    texts: Path | None = option(
        None, Group.MEASUREMENT, "Texts of your own to hide needles in.", metavar="FOLDER"
    )

    def __post_init__(self) -> None:
        _check_samples(self.samples)
        _check_minutes(self.minutes)
        _check_exists("--texts", self.texts)


def _parse_suites(text: str) -> tuple[Suite, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in [*Suite]:
            raise UsageError(f"suite {name!r} is unknown", f"it is one of {', '.join(Suite)}")
    return tuple(dict.fromkeys(Suite(name) for name in names))


def _check_exists(name: str, path: Path | None) -> None:
    try:
        if path is None or path.exists():
            return
    except OSError as error:  # a name that is too long for one, or a folder without rights
        raise UsageError(f"{name} {path} cannot be read ({error.strerror})", "check it") from None
    raise UsageError(f"{name} {path} does not exist", "check the path")


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise UsageError(f"--samples {samples} is out of range", "it is 1 or more")


def _check_minutes(minutes: float | None) -> None:
    if minutes is not None and not 0 < minutes <= _MAX_MINUTES:
        raise UsageError(
            f"--minutes {minutes:g} is out of range",
            f"it is above 0 and at most {_MAX_MINUTES:,}, a week",
        )
