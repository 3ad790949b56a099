"""Steps of token-selective propagation: as users write them, and what came of them.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .errors import UsageError


@dataclass(frozen=True, slots=True)
class PropagationStep:
    """One step of token-selective propagation: a layer, and how many tokens go on behind it.

    Attributes:
        layer: 0-based.
        rate: share of the prompt that is propagated, or with `top_p` the most.
        top_p: the fewest tokens that hold this share of all tokens' scores are propagated; None for
            always `rate`.
        floor: with `top_p`, the least share of the prompt that is propagated.
        block: neighbouring tokens that are propagated together.
    """

    layer: int
    rate: float
    top_p: float | None = None
    floor: float = 0.0
    block: int = 1

    def __post_init__(self) -> None:
        if self.layer < 0:
            raise UsageError(f"TSP layer {self.layer} is out of range", "layers count from 0")
        for name, share in (("rate", self.rate), ("top-p", self.top_p)):
            if share is not None and not 0 < share <= 1:
                raise UsageError(
                    f"TSP {name} {share:g} is out of range", "it is above 0 and at most 1"
                )
        if not 0 <= self.floor <= self.rate:
            raise UsageError(
                f"TSP floor {self.floor:g} is out of range", f"it is 0 to the rate, {self.rate:g}"
            )
        if self.block < 1:
            raise UsageError(f"TSP block {self.block} is out of range", "it is 1 or more")

    @classmethod
    def parse(cls, text: str) -> PropagationStep:
        """Parse `10:0.5`, or `10:0.5:p=0.95:floor=0.2:block=16` with any of the last three.

        Raises:
            UsageError: when the text has another form, or a value is out of range.
        """
        layer, _, rest = text.strip().partition(":")
        rate, *named = rest.split(":")
        kinds = {"p": ("top_p", float), "floor": ("floor", float), "block": ("block", int)}
        try:
            given = dict(each.split("=") for each in named)
            others = {kinds[name][0]: kinds[name][1](value) for name, value in given.items()}
            found = cls(int(layer), float(rate), **others)
        except (ValueError, KeyError):
            raise UsageError(
                f"cannot read the step of propagation {text.strip()!r}",
                "write LAYER:RATE, as 10:0.5, or LAYER:RATE:p=0.95:floor=0.2:block=16",
            ) from None
        return found

    @classmethod
    def parse_all(cls, text: str) -> tuple[PropagationStep, ...]:
        """Parse steps separated by commas, as `10:0.5,17:0.2`: deeper and deeper, fewer and fewer.

        Raises:
            UsageError: when a step cannot be read, or their order is another one.
        """
        steps = tuple(cls.parse(each) for each in text.split(","))
        for one, following in pairwise(steps):
            if following.layer <= one.layer or following.rate > one.rate:
                raise UsageError(
                    f"the steps {text.strip()} are out of order",
                    "each has a deeper layer than the one before it, and no higher rate",
                )
        return steps

    def __str__(self) -> str:
        named = {"p": self.top_p, "floor": self.floor or None, "block": self.block}
        if self.block == 1:
            del named["block"]
        others = [f":{name}={value:g}" for name, value in named.items() if value is not None]
        return f"{self.layer}:{self.rate:g}{''.join(others)}"


@dataclass(frozen=True, slots=True)
class StepStats:
    """One step of token-selective propagation.

    Attributes:
        layer: the layer behind which only selected tokens are propagated.
        rate: the share of the prompt that was planned; where a method chooses, at most.
        tokens_seen: tokens that the layer processed.
        tokens_propagated: those of them that were propagated.
    """

    layer: int
    rate: float
    tokens_seen: int
    tokens_propagated: int

    @staticmethod
    def add(steps: Sequence[StepStats]) -> StepStats:
        """The same step of several prompts, added up."""
        return replace(
            steps[0],
            tokens_seen=sum(step.tokens_seen for step in steps),
            tokens_propagated=sum(step.tokens_propagated for step in steps),
        )
