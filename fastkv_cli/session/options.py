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
    DEFAULT_OCR_DPI,
    EMBEDDED_MODEL,
    Attention,
    Budget,
    DecodeWeights,
    DType,
    KVDtype,
    MethodName,
    MethodSettings,
    OcrMode,
    PageRange,
    PrefillAttention,
    PrefillWeights,
    Preset,
    ReadOptions,
    StoreMode,
    is_offline,
    parse_prompt_lookup,
)
from ..propagation import PropagationStep
from ..thinking_mode import Thinking
from .answer_options import AnswerOptions
from .option import Group, option, parse_choices


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
        "Stop extracting the text of one document, or of one page by OCR, after this many seconds.",
        metavar="SECONDS",
        env="FASTKV_EXTRACT_TIMEOUT",
    )
    ocr: OcrMode = option(
        OcrMode.AUTO,
        Group.DOCUMENT,
        "Recognize the text of pages that have none (auto), of none (off), or of all (force).",
        env="FASTKV_OCR",
    )
    ocr_dpi: int = option(
        DEFAULT_OCR_DPI,
        Group.DOCUMENT,
        "Draw pages for OCR in this resolution.",
        metavar="DPI",
        env="FASTKV_OCR_DPI",
    )
    attachments: bool = option(
        False, Group.DOCUMENT, "Read the files in a mail, too.", "--attachments"
    )
    url: bool = option(
        False,
        Group.DOCUMENT,
        "Fetch the documents from the web: https:// may be left out. "
        "What begins with it is fetched anyway.",
        "--url",
    )
    allow_local: bool = option(
        False, Group.DOCUMENT, "Fetch addresses in private networks, too.", "--allow-local"
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
            ocr=OcrMode(self.ocr),
            ocr_dpi=self.ocr_dpi,
            attachments=self.attachments,
            url=self.url,
            allow_local=self.allow_local,
            offline=is_offline(getattr(self, "offline", False)),  # not an option of documents
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
    prefill_weights: PrefillWeights = option(
        PrefillWeights.AUTO,
        Group.MODEL,
        "Prefill with weights in 8 bits (CPU only) or as they are; auto takes 8 bits for prompts "
        "that are compressed, where the CPU gains by it.",
        env="FASTKV_PREFILL_WEIGHTS",
    )
    prompt_lookup: str = option(
        "auto",
        Group.MODEL,
        "Decode up to N more tokens in a pass where the answer copies the text; the answer stays "
        "the same but for rounding. auto does so on a CPU.",
        metavar="auto|off|N",
        env="FASTKV_PROMPT_LOOKUP",
    )
    kv_dtype: KVDtype = option(
        KVDtype.AUTO,
        Group.MODEL,
        "Keep the KV cache in this number format (bf16 and int8: CPU only); auto is the model's.",
        env="FASTKV_KV_DTYPE",
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
        "a .gguf file, or a model that fastkv models lists.",
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

    tsp_steps: str | None = option(
        None,
        Group.METHOD,
        "Propagate fewer and fewer tokens in several steps, each LAYER:RATE, as 10:0.5,17:0.2; "
        "with :p=0.95 as few as hold that share of the scores.",
        metavar="STEPS",
        shown_default=False,
    )

    prefill_attention: PrefillAttention = option(
        PrefillAttention.AUTO,
        Group.METHOD,
        "Compute attention over all keys, or sparse over blocks of them (on a CPU), in the "
        "layers that process every token; auto is sparse where the preset was calibrated with it.",
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
            tsp_steps=() if self.tsp_steps is None else PropagationStep.parse_all(self.tsp_steps),
            preset=self.preset,
            usual_preset=usual_preset,
            prefill_attention=self.prefill_attention,
        )


_CHOICES: dict[str, type[StrEnum]] = {
    "ocr": OcrMode,
    "dtype": DType,
    "attention": Attention,
    "decode_weights": DecodeWeights,
    "prefill_attention": PrefillAttention,
    "prefill_weights": PrefillWeights,
    "kv_dtype": KVDtype,
    "preset": Preset,
    "method": MethodName,
    "store": StoreMode,
    "thinking": Thinking,
}


@dataclass(frozen=True, kw_only=True)
class SessionOptions(AnswerOptions, MethodOptions, DeviceOptions, ModelOptions, DocumentOptions):
    """All options of a session; enums may be given as strings, as on the command line."""

    def __post_init__(self) -> None:
        parse_choices(self, _CHOICES)

    def check_all(self) -> None:
        """Check every option, before anything is read or loaded.

        Raises:
            UsageError: when a value cannot be read or is out of range; the message names it.
        """
        _ = self.read, self.method_settings(Preset.BALANCED), self.sampling, self.store_mode
        parse_prompt_lookup(self.prompt_lookup)
        self.check_answer()
