"""The options of a session, each declared once.

A declaration is the source of the option on the command line (cli/option_sets.py), the keyword of
`fastkv.open`, the reference page and TAB completion. To add an option, add its field here and use
it where it takes effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..config import (
    DEFAULT_EXTRACT_TIMEOUT_S,
    DEFAULT_METHOD,
    EMBEDDED_MODEL,
    MAX_TOKENS,
    Attention,
    Budget,
    DecodeWeights,
    DType,
    MethodName,
    MethodSettings,
    PageRange,
    Preset,
    ReadOptions,
    Sampling,
    StoreMode,
    store_mode,
)
from ..errors import UsageError
from ..stats import MAX_QUOTES
from .option import Group, option


@dataclass(frozen=True, kw_only=True)
class DocumentOptions:
    """How documents are read."""

    pages: str | None = option(
        None,
        Group.DOCUMENT,
        "Read only these pages of a PDF, as 1-5,9,20- (the first is 1).",
        metavar="PAGES",
        shown_default=False,
    )
    password: str | None = option(
        None,
        Group.DOCUMENT,
        "Open an encrypted PDF with this password; the prompt or the variable is safer.",
        "--password",
        "--pdf-password",
        metavar="TEXT",
        env="FASTKV_PDF_PASSWORD",
        shown_default=False,
    )
    encoding: str | None = option(
        None,
        Group.DOCUMENT,
        "Decode texts and web pages in this encoding, as cp1252 or gb18030.",
        metavar="NAME",
        env="FASTKV_ENCODING",
        shown_default="detected",
    )
    extract_timeout: float = option(
        DEFAULT_EXTRACT_TIMEOUT_S,
        Group.DOCUMENT,
        "Stop extracting the text of one document after this many seconds.",
        metavar="SECONDS",
        env="FASTKV_EXTRACT_TIMEOUT",
    )

    @property
    def read(self) -> ReadOptions:
        """The checked options of reading documents.

        Raises:
            UsageError: when a value cannot be read or is out of range.
        """
        return ReadOptions(
            pages=None if self.pages is None else PageRange.parse(self.pages),
            password=self.password,
            encoding=self.encoding,
            extract_timeout_s=self.extract_timeout,
        )


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Where and how a model runs."""

    dtype: DType = option(
        DType.AUTO,
        Group.MODEL,
        "Use this number format; auto is bfloat16 where the hardware multiplies it natively.",
        env="FASTKV_DTYPE",
    )
    device: str = option(
        "auto",
        Group.MODEL,
        "Run on auto, cpu, cuda, cuda:N or mps.",
        metavar="DEVICE",
        env="FASTKV_DEVICE",
    )
    attention: Attention = option(
        Attention.AUTO,
        Group.MODEL,
        "Prefill with these attention kernels; flash needs CUDA and the flash extra.",
        env="FASTKV_ATTENTION",
    )
    decode_weights: DecodeWeights = option(
        DecodeWeights.AUTO,
        Group.MODEL,
        "Decode from packed 4- and 8-bit copies of the weights (CPU only) or from the model's own.",
        env="FASTKV_DECODE_WEIGHTS",
    )
    offline: bool = option(
        False,
        Group.MODEL,
        "Open no socket: use only what is on disk (same as HF_HUB_OFFLINE=1).",
        "--offline",
        env="FASTKV_OFFLINE",
    )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model."""

    model: str = option(
        EMBEDDED_MODEL,
        Group.MODEL,
        f"Use {EMBEDDED_MODEL}, a Hugging Face id (org/name or org/name@revision), a folder, "
        "or a .gguf file.",
        "--model",
        "-m",
        metavar="NAME",
        env="FASTKV_MODEL",
        completes="models",
    )


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """How prompts are compressed."""

    preset: Preset | None = option(
        None,
        Group.METHOD,
        "Trade accuracy for speed: fast compresses the most, quality the least.",
        env="FASTKV_PRESET",
        shown_default="balanced; quality for summaries",
    )
    method: MethodName = option(
        DEFAULT_METHOD,
        Group.METHOD,
        "Compress with this method; full is the exact, uncompressed baseline.",
        env="FASTKV_METHOD",
    )
    budget: str | None = option(
        None,
        Group.METHOD,
        "Set how much of the KV cache to keep: a share of the prompt (10%) or a number of tokens "
        "(512, 2k).",
        metavar="SHARE|TOKENS",
        env="FASTKV_BUDGET",
        shown_default=False,
    )
    tsp_layer: int | None = option(
        None,
        Group.METHOD,
        "Propagate only the selected tokens after this layer, counted from 0.",
        metavar="LAYER",
        shown_default=False,
    )
    tsp_rate: float | None = option(
        None,
        Group.METHOD,
        "Propagate this share of the tokens, above 0 and at most 1.",
        metavar="RATE",
        shown_default=False,
    )

    def method_settings(self, usual_preset: Preset) -> MethodSettings:
        """The checked settings of the method; `usual_preset` is the default preset of the task.

        Raises:
            UsageError: when a value cannot be read or is out of range.
        """
        return MethodSettings(
            name=self.method,
            budget=None if self.budget is None else Budget.parse(self.budget),
            tsp_layer=self.tsp_layer,
            tsp_rate=self.tsp_rate,
            preset=self.preset,
            usual_preset=usual_preset,
        )


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """How answers are generated and checked, and whether document states are stored."""

    max_tokens: int | None = option(
        None,
        Group.OUTPUT,
        "Generate at most this many tokens.",
        metavar="TOKENS",
        shown_default="by task",
    )
    temperature: float = option(
        0.0,
        Group.OUTPUT,
        "Sample at this temperature; 0 decodes greedily, with loops prevented.",
        "--temperature",
        "--temp",
        metavar="T",
    )
    seed: int = option(0, Group.OUTPUT, "Seed the sampling: same seed, same answer.", metavar="N")
    cite: bool = option(
        False,
        Group.OUTPUT,
        "Append the source page to the answer, as \\[p. 12]; all of them to a summary.",
        "--cite",
    )
    quotes: int = option(
        MAX_QUOTES,
        Group.OUTPUT,
        "Quote up to N passages of the documents that are likely to answer the question, 0 to "
        f"{MAX_QUOTES}.",
        metavar="N",
    )
    check: bool = option(
        True,
        Group.OUTPUT,
        "Check the answer against the documents: list unsupported claims, and withhold an answer "
        "that they cannot contain.",
        "--check/--no-check",
    )
    extractive: bool = option(
        False,
        Group.OUTPUT,
        "Answer with the best quote from the document, word for word; the model only ranks.",
        "--extractive",
    )
    strict: bool = option(
        False,
        Group.OUTPUT,
        "Answer only what quotes from the document support; refuse all else, with exit code 11.",
        "--strict",
    )
    store: StoreMode | None = option(
        None,
        Group.DOCUMENT,
        "Store the state of the documents (keys, values and hidden states of the first layers) on "
        "disk, so that later questions start from it; int8 takes half the space.",
        "--store",
        shown_default="FASTKV_STORE, or exact",
    )
    no_store: bool = option(
        False,
        Group.DOCUMENT,
        "Neither store document states nor use stored ones (same as --store off).",
        "--no-store",
    )

    @property
    def sampling(self) -> Sampling:
        """The checked options of choosing tokens."""
        return Sampling(self.temperature, self.seed)

    @property
    def store_mode(self) -> StoreMode:
        """How document states are stored, by the options or else FASTKV_STORE.

        Raises:
            UsageError: when two options exclude each other, or the environment's value is unknown.
        """
        if self.no_store and self.store not in {None, StoreMode.OFF}:
            raise UsageError(
                f"--no-store and --store {self.store} exclude each other", "give one of them"
            )
        return StoreMode.OFF if self.no_store else store_mode(self.store)


_CHOICES: dict[str, type[StrEnum]] = {
    "dtype": DType,
    "attention": Attention,
    "decode_weights": DecodeWeights,
    "preset": Preset,
    "method": MethodName,
    "store": StoreMode,
}


@dataclass(frozen=True, kw_only=True)
class SessionOptions(AnswerOptions, MethodOptions, DeviceOptions, ModelOptions, DocumentOptions):
    """All options of a session; enums may be given as strings, as on the command line."""

    def __post_init__(self) -> None:
        for name, kind in _CHOICES.items():
            value = getattr(self, name)
            if value is None or isinstance(value, kind):
                continue
            try:
                object.__setattr__(self, name, kind(value))
            except ValueError:
                raise UsageError(
                    f"{name} {value!r} is unknown", f"choose one of {', '.join(kind)}"
                ) from None

    def check_all(self) -> None:
        """Check every option, before anything is read or loaded.

        Raises:
            UsageError: when a value cannot be read or is out of range; the message names it.
        """
        _ = self.read, self.method_settings(Preset.BALANCED), self.sampling, self.store_mode
        if self.max_tokens is not None and not 1 <= self.max_tokens <= MAX_TOKENS:
            raise UsageError(
                f"--max-tokens {self.max_tokens} is out of range",
                f"give a number from 1 to {MAX_TOKENS:,}",
            )
        if not 0 <= self.quotes <= MAX_QUOTES:
            raise UsageError(f"--quotes {self.quotes} is out of range", f"it is 0 to {MAX_QUOTES}")


def check_question(question: str) -> str:
    """Return the question; raise a UsageError if it is empty."""
    if not question.strip():
        raise UsageError("the question is empty", "give a question")
    return question
