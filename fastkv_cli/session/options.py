"""The options of everything that answers: each is declared once.

From a declaration come the command line's option (cli/options.py), a keyword of `fastkv.open`, the
reference page and TAB completion. To add one, add its field here and use it where it matters.
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
from .option import Group, option, parse_choices


@dataclass(frozen=True, kw_only=True)
class DocumentOptions:
    """How documents are read."""

    pages: str | None = option(
        None,
        Group.DOCUMENT,
        "Read these pages of a PDF only, as 1-5,9,20- (the first is 1).",
        metavar="PAGES",
        shown_default=False,
    )
    password: str | None = option(
        None,
        Group.DOCUMENT,
        "Open an encrypted PDF with this password; better typed when asked, or in the environment.",
        "--password",
        "--pdf-password",
        metavar="TEXT",
        env="FASTKV_PDF_PASSWORD",
        shown_default=False,
    )
    encoding: str | None = option(
        None,
        Group.DOCUMENT,
        "Read texts and web pages in this encoding, as cp1252 or gb18030, where they do not "
        "state it.",
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
        """How documents are to be read, checked.

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
        "Use this number format; auto is bfloat16 where the hardware multiplies it.",
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
        "Decode from packed copies of the weights, on CPU, or from the model's own.",
        env="FASTKV_DECODE_WEIGHTS",
    )
    offline: bool = option(
        False,
        Group.MODEL,
        "Open no socket (as HF_HUB_OFFLINE=1).",
        "--offline",
        env="FASTKV_OFFLINE",
    )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model answers."""

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
        "Compress this far, by what it may cost in answers.",
        env="FASTKV_PRESET",
        shown_default="balanced; quality for summaries",
    )
    method: MethodName = option(
        DEFAULT_METHOD,
        Group.METHOD,
        "Compress by this method; full is the exact, uncompressed baseline.",
        env="FASTKV_METHOD",
    )
    budget: str | None = option(
        None,
        Group.METHOD,
        "KEEP this much of the KV cache: a share of the prompt (10%) or a number of tokens "
        "(512, 2k).",
        metavar="SHARE|TOKENS",
        env="FASTKV_BUDGET",
        shown_default=False,
    )
    tsp_layer: int | None = option(
        None,
        Group.METHOD,
        "Propagate only the selected tokens behind this layer, counted from 0.",
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
        """The method's settings, checked; `usual_preset` is for users who name none.

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
    """How answers are made, and what is kept of the documents for further questions."""

    max_tokens: int | None = option(
        None,
        Group.OUTPUT,
        "Answer with at most this many tokens.",
        metavar="TOKENS",
        shown_default="by task",
    )
    temperature: float = option(
        0.0,
        Group.OUTPUT,
        "Sample at this temperature; 0 takes the likeliest token, without loops.",
        "--temperature",
        "--temp",
        metavar="T",
    )
    seed: int = option(0, Group.OUTPUT, "Repeat an answer: same seed, same answer.", metavar="N")
    cite: bool = option(
        False,
        Group.OUTPUT,
        "Name the page that carried the answer behind it, as \\[p. 12]; of a summary all.",
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
        "Look up in the text what the answer says; where nothing in it can be the answer, "
        "say so in its place.",
        "--check/--no-check",
    )
    store: StoreMode | None = option(
        None,
        Group.DOCUMENT,
        "Keep what the first layers computed of the documents (keys, values and hidden states) "
        "on disk, so that a further question starts from it; int8 takes half the space.",
        "--store",
        shown_default="FASTKV_STORE, or exact",
    )
    no_store: bool = option(
        False,
        Group.DOCUMENT,
        "Keep nothing of the documents on disk, and use nothing that is (as --store off).",
        "--no-store",
    )

    @property
    def sampling(self) -> Sampling:
        """How tokens are chosen, checked."""
        return Sampling(self.temperature, self.seed)

    @property
    def store_mode(self) -> StoreMode:
        """How the state of the documents is kept, the environment counted in.

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
    """All options of a session; choices may be given as words, as on the command line."""

    def __post_init__(self) -> None:
        parse_choices(self, _CHOICES)

    def check_all(self) -> None:
        """Check every option, before anything is read or loaded.

        Raises:
            UsageError: when a value cannot be read or is out of range; the message names it.
        """
        _ = self.read, self.method_settings(Preset.BALANCED), self.sampling, self.store_mode
        if self.max_tokens is not None and not 1 <= self.max_tokens <= MAX_TOKENS:
            raise UsageError(
                f"--max-tokens {self.max_tokens} is out of range",
                f"it is 1 or more, at most {MAX_TOKENS:,}",
            )
        if not 0 <= self.quotes <= MAX_QUOTES:
            raise UsageError(f"--quotes {self.quotes} is out of range", f"it is 0 to {MAX_QUOTES}")
