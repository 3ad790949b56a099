"""Arms of an evaluation: the methods and presets that the user names, at their budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import Budget, MethodName, MethodSettings, Preset
from ..errors import UsageError

if TYPE_CHECKING:
    from ..engine.methods import Method
    from ..engine.tuning import Tuning

FULL = "full"


@dataclass(frozen=True, slots=True)
class Arm:
    """A method under evaluation.

    Attributes:
        label: unique among the arms.
        name: of the method or preset.
        budget: as users write it.
        method: the method.
    """

    label: str
    name: str
    budget: str
    method: Method


def parse_methods(text: str, *, needs_rival: bool = True) -> tuple[MethodName | Preset, ...]:
    """Parse `fast,snapkv`: presets and methods by name.

    Args:
        text: the names, separated by commas.
        needs_rival: whether full alone is rejected.

    Raises:
        UsageError: when a name is unknown, or full is alone although a rival is needed.
    """
    names: list[MethodName | Preset] = []
    for name in (part.strip() for part in text.split(",")):
        if name in [*Preset]:
            names.append(Preset(name))
        elif name in [*MethodName]:
            names.append(MethodName(name))
        else:
            raise UsageError(
                f"method {name!r} is unknown",
                f"it is one of {', '.join(MethodName)}, or a preset: {', '.join(Preset)}",
            )
    if needs_rival and set(names) == {MethodName.FULL}:
        raise UsageError("there is nothing to compare with full", "name other --methods")
    return tuple(dict.fromkeys(names))


def full_arm() -> Arm:
    """The baseline: full."""
    from ..engine.methods import Full

    return Arm(FULL, FULL, "100%", Full())


def make_arms(
    names: Sequence[MethodName | Preset], budgets: Sequence[Budget], tuning: Tuning
) -> list[Arm]:
    """Make an arm of each preset, and of each method at each budget, but none of full.

    Raises:
        UsageError: when a budget does not apply to a method.
    """
    arms: list[Arm] = []
    for name in names:
        if name == FULL:
            continue
        if isinstance(name, Preset):
            settings = [MethodSettings(preset=name, budget=tuning.presets[name].budget)]
        else:
            settings = [MethodSettings(name, budget) for budget in budgets] or [
                MethodSettings(name, tuning.presets[Preset.BALANCED].budget)
            ]
        arms += [_arm(str(name), one, tuning) for one in settings]
    return arms


def _arm(name: str, settings: MethodSettings, tuning: Tuning) -> Arm:
    from ..engine.methods import build_method

    method = build_method(settings, tuning)
    return Arm(f"{name} {method.budget}", name, method.budget, method)
