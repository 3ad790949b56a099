"""Settings as enums and frozen dataclasses, validated once; every default is defined here.

Nothing here imports torch, so the command line can validate before it loads anything.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from .errors import UsageError
from .propagation import PropagationStep
from .read_options import DEFAULT_EXTRACT_TIMEOUT_S as DEFAULT_EXTRACT_TIMEOUT_S  # noqa: PLC0414 (re-exported)
from .read_options import DEFAULT_OCR_DPI as DEFAULT_OCR_DPI  # noqa: PLC0414 (re-exported)
from .read_options import OcrMode as OcrMode  # noqa: PLC0414 (re-exported)
from .read_options import PageRange as PageRange  # noqa: PLC0414 (re-exported)
from .read_options import ReadOptions as ReadOptions  # noqa: PLC0414 (re-exported)
from .sizes import NUMBER

EMBEDDED_MODEL = "smollm2-135m"
MAX_TOKENS = 10**9  # above any model's window; beyond 2^63 PyTorch's integers overflow
LOCAL_REVISION = "local"  # the revision of a local folder, which has no other
_BUDGET = re.compile(rf"\s*+({NUMBER})\s*+([%kK]?)\s*+")


_Choice = TypeVar("_Choice", bound=StrEnum)


class MethodName(StrEnum):
    """The compression methods, by their command-line names."""

    PROBE = "fastkv-probe"
    CASCADE = "fastkv-cascade"
    FASTKV = "fastkv"
    FULL = "full"
    SNAPKV = "snapkv"
    HEADKV = "headkv"
    ADAKV = "adakv"
    PYRAMIDKV = "pyramidkv"
    STREAMINGLLM = "streamingllm"
    H2O = "h2o"
    TOVA = "tova"
    GEMFILTER = "gemfilter"
    UNIPREFILL = "uniprefill"


class Preset(StrEnum):
    """How strongly to compress, by the accuracy it may cost."""

    FAST = "fast"
    BALANCED = "balanced"
    QUALITY = "quality"


class Length(StrEnum):
    """The length of a summary."""

    SHORT = "short"
    MEDIUM = "medium"
    LONG = "long"


class DType(StrEnum):
    """The number format of weights and activations."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class Attention(StrEnum):
    """The attention kernel for prefill."""

    AUTO = "auto"
    SDPA = "sdpa"
    FLASH = "flash"


class DecodeWeights(StrEnum):
    """The weights that decoding reads: packed copies of 4 and 8 bits, or the model's own."""

    AUTO = "auto"
    PACKED = "packed"
    FULL = "full"


MAX_DRAFT = 15  # tokens


def parse_prompt_lookup(value: str | int) -> int | None:
    """The most tokens that prompt lookup drafts in a pass: 0 is off, None is left to the engine.

    Args:
        value: "auto", "off", or a number from 1 to 15.

    Raises:
        UsageError: for anything else.
    """
    word = str(value).strip().lower()
    if word in {"auto", "off"}:
        return None if word == "auto" else 0
    if word.isascii() and word.isdigit() and 1 <= int(word) <= MAX_DRAFT:
        return int(word)
    raise UsageError(
        f"--prompt-lookup {value} is unknown", f"give auto, off, or a number from 1 to {MAX_DRAFT}"
    )


class PrefillAttention(StrEnum):
    """Attention of the layers that process every token: over all keys, or block-sparse."""

    AUTO = "auto"
    DENSE = "dense"
    SPARSE = "sparse"


class PrefillWeights(StrEnum):
    """The weights that prefill multiplies with: the model's own, or copies in 8 bits."""

    AUTO = "auto"
    BF16 = "bf16"
    INT8 = "int8"


class KVDtype(StrEnum):
    """The number format of the KV cache's entries while an answer is decoded."""

    AUTO = "auto"
    BF16 = "bf16"
    INT8 = "int8"


class StoreMode(StrEnum):
    """How document states are stored on disk for further questions."""

    EXACT = "exact"
    INT8 = "int8"
    OFF = "off"


class Suite(StrEnum):
    """The suites of an evaluation."""

    NEEDLE = "needle"
    QA = "qa"
    RULER = "ruler"


@dataclass(frozen=True, slots=True)
class Budget:
    """The part of the KV cache that is *kept*: a share of the prompt, or a number of tokens."""

    rate: float | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.tokens is None):
            raise UsageError("a budget is either a rate or a number of tokens", "give one of them")
        if self.rate is not None and not 0 < self.rate <= 1:
            raise UsageError(
                f"budget {self.rate:.4g} is out of range",
                "a share is above 0% and at most 100% (of the prompt, kept)",
            )
        if self.tokens is not None and self.tokens < 1:
            raise UsageError(
                f"budget {self.tokens} is out of range", "a number of tokens is 1 or more"
            )
        if self.tokens is not None and self.tokens > MAX_TOKENS:
            raise UsageError(
                f"budget {self.tokens} is out of range",
                f"a number of tokens is at most {MAX_TOKENS:,}",
            )

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Parse `10%`, `512`, `8k` (8,000) or `8K` (8,192).

        Raises:
            UsageError: when the text has another form, or the value is out of range.
        """
        match = _BUDGET.fullmatch(text)
        if match is None:
            raise UsageError(
                f"cannot read the budget {text!r}",
                "give the share to keep, as 10%, or a number of tokens, as 512 or 2k",
            )
        number, unit = Decimal(match[1]), match[2]  # a float makes 16.1k a broken number
        if unit == "%":
            return cls(rate=float(number / 100))
        tokens = number * {"": 1, "k": 1000, "K": 1024}[unit]
        if tokens != int(tokens):
            raise UsageError(
                f"budget {text.strip()} is not a whole number of tokens",
                f"for a share write {text.strip()}%",
            )
        return cls(tokens=int(tokens))

    def __str__(self) -> str:
        return f"{100 * self.rate:.4g}%" if self.rate is not None else f"{self.tokens} tokens"


def parse_tokens(text: str) -> int:
    """Parse a number of tokens: `512`, `7.5k` (7,500) or `8K` (8,192).

    Raises:
        UsageError: when the text has another form.
    """
    try:
        tokens = Budget.parse(text).tokens
    except UsageError:
        tokens = None
    if tokens is None:
        raise UsageError(f"cannot read {text!r}", "give a number of tokens, as 512 or 2k")
    return tokens


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 is greedy; higher values vary more.
        seed: the same seed gives the same answer.
        repetition_penalty: makes tokens that are already in the answer less likely; 1 disables it.
    """

    temperature: float = 0.0
    seed: int = 0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 5:
            raise UsageError(
                f"temperature {self.temperature:g} is out of range", "give a value between 0 and 5"
            )
        if not 1 <= self.repetition_penalty <= 2:
            raise UsageError(
                f"repetition penalty {self.repetition_penalty:g} is out of range",
                "give a value between 1 and 2",
            )
        if not 0 <= self.seed < 2**63:
            raise UsageError(
                f"seed {self.seed} is out of range", "give a value between 0 and 2^63 - 1"
            )


GREEDY = Sampling()


def cache_dir() -> Path:
    """The folder for models and states: FASTKV_HOME, else the platform's cache folder.

    Raises:
        UsageError: when FASTKV_HOME cannot be a folder, or is unset and there is no home folder.
    """
    if home := os.environ.get("FASTKV_HOME"):
        return _checked_folder(home)
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("fastkv")
    except RuntimeError:  # of newer platformdirs; older versions return a literal "~/.cache"
        folder = Path()
    if not folder.is_absolute():
        raise UsageError(
            "no home folder is known to keep models and document states in",
            "set FASTKV_HOME to a folder",
        )
    return folder


def _checked_folder(home: str) -> Path:
    """The folder in FASTKV_HOME; it need not exist yet."""
    try:
        folder = Path(home).expanduser().absolute()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            folder.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: `~` of an unknown user
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(
            f"FASTKV_HOME={home} cannot be a folder ({str(reason).rstrip('.')})",
            "set it to another one",
        ) from None
    return folder


DEFAULT_STORE_LIMIT_BYTES = 5_000_000_000


def is_offline(flag: bool = False) -> bool:
    """Whether the network must not be used: the flag, or HF_HUB_OFFLINE / TRANSFORMERS_OFFLINE."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return flag or any(os.environ.get(n, "").lower() in {"1", "true", "yes", "on"} for n in names)


DEFAULT_MAX_TOKENS: dict[Length, int] = {Length.SHORT: 160, Length.MEDIUM: 320, Length.LONG: 640}
DEFAULT_ANSWER_TOKENS = 256
# Minimum and maximum number of sentences of a summary.
SUMMARY_SENTENCES: dict[Length, tuple[int, int]] = {
    Length.SHORT: (2, 3),
    Length.MEDIUM: (4, 8),
    Length.LONG: (9, 24),
}


DEFAULT_METHOD = MethodName.CASCADE


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """The method settings of the user; None for the default of the method and model.

    `usual_preset` is the task's default preset: a question needs the few places that answer it, a
    summary some of everything.
    """

    name: MethodName = DEFAULT_METHOD
    budget: Budget | None = None
    tsp_layer: int | None = None
    tsp_rate: float | None = None
    tsp_steps: tuple[PropagationStep, ...] = ()
    preset: Preset | None = None
    usual_preset: Preset = Preset.BALANCED
    prefill_attention: PrefillAttention = PrefillAttention.AUTO

    def __post_init__(self) -> None:
        if self.tsp_layer is not None and self.tsp_layer < 0:
            raise UsageError(f"TSP layer {self.tsp_layer} is out of range", "layers count from 0")
        if self.tsp_rate is not None and not 0 < self.tsp_rate <= 1:
            raise UsageError(
                f"TSP rate {self.tsp_rate:g} is out of range", "it is above 0 and at most 1"
            )

    @property
    def is_default(self) -> bool:
        """Whether the user left all settings at their defaults."""
        given = self.budget, self.tsp_layer, self.tsp_rate, self.preset
        return given == (None,) * 4 and not self.tsp_steps

    @property
    def chosen_preset(self) -> Preset:
        """The user's preset, else the task's default."""
        return self.preset or self.usual_preset

    def refuse_tsp(self) -> None:
        """Raise a UsageError if TSP options were given to a method without TSP."""
        if self.tsp_layer is not None or self.tsp_rate is not None:
            raise UsageError(
                f"method {self.name} has no Token-Selective Propagation",
                "leave out --tsp-layer and --tsp-rate",
            )
        self.refuse_steps()

    def refuse_sparse(self) -> None:
        """Raise a UsageError if sparse attention was asked for in a method without it."""
        if self.prefill_attention is PrefillAttention.SPARSE:
            raise UsageError(
                f"method {self.name} has dense attention", "leave out --prefill-attention sparse"
            )

    def refuse_steps(self) -> None:
        """Raise a UsageError if steps of propagation were given to another method's settings."""
        if self.tsp_steps:
            raise UsageError(
                f"method {self.name} takes no steps of propagation",
                f"leave out --tsp-steps, or use --method {MethodName.CASCADE}",
            )


def choice_of(kind: type[_Choice], value: _Choice | str, name: str) -> _Choice:
    """The member of an enum that a value names; raises a UsageError if there is none."""
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(kind)
        raise UsageError(f"{name} {value!r} is unknown", f"it is one of {names}") from None
