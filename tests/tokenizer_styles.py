"""Small real tokenizers, put together as those of the model families are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

CORPUS = [
    "The committee met 14 times in 1999, and the document says so on page 42.",
    "Isn't the quick brown fox jumping over lazy dogs? It's 3.14159 and 1,234,567.\n\n\tIndeed!",
    "日本語の文書を読む 한국어 문서 документ é è ü 😀🏳️‍🌈 aaaa bbbb abab    \n\n",
] * 4
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _byte_level(*splits: Any, normalizer: Any = None, trims: bool = False, **settings: Any) -> Any:
    """A byte-level BPE, behind splits of a text into words."""
    backend = tokenizers.Tokenizer(models.BPE(**settings))
    if normalizer is not None:
        backend.normalizer = normalizer
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not splits)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
    if trims:
        backend.post_processor = tokenizers.processors.ByteLevel(trim_offsets=True)
    backend.decoder = decoders.ByteLevel()
    _train(backend, pre_tokenizers.ByteLevel.alphabet())
    return backend


def _split(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


def _train(backend: Any, alphabet: list[str], special: tuple[str, ...] = ("<s>", "</s>")) -> None:
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=list(special),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )


def _llama_2(*, metaspace: bool) -> Any:
    """SentencePiece's way: blanks are a letter, the text begins with one, unknown is told in bytes.

    The whole text is one word of the BPE, unless Metaspace takes it apart.
    """
    fallback = tuple(f"<0x{byte:02X}>" for byte in range(256))
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    else:
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    corpus = [text.replace("日", "").replace("😀", "") for text in CORPUS]
    training = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    training.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<unk>", "<s>", "</s>", *fallback], show_progress=False
    )
    training.train_from_iterator(corpus, trainer)
    model = training.model
    model.fuse_unk, model.byte_fallback = True, True
    backend.model = model
    return backend


def _with_added(backend: Any) -> Any:
    """Tokens that are found before words are: blanks in runs, as in Phi-3, and a plain tag."""
    backend.add_tokens(
        [
            AddedToken("    ", normalized=False),
            AddedToken("<think>", normalized=True),
            AddedToken("committee", single_word=True),
            AddedToken("page", lstrip=True, rstrip=True),
        ]
    )
    return backend


def _prefix_space() -> Any:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    _train(backend, pre_tokenizers.ByteLevel.alphabet())
    return backend


def _words() -> Any:
    """No BPE at all: whole words, and one token for all that is unknown."""
    backend = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    return backend


STYLES: dict[str, Callable[[], Any]] = {
    "gpt-2": lambda: _byte_level(_split(_GPT2)),
    "gpt-2 with a blank before": _prefix_space,
    "gpt-2, offsets without blanks": lambda: _byte_level(trims=True),
    "llama-2": lambda: _llama_2(metaspace=False),
    "llama-2 with metaspace": lambda: _llama_2(metaspace=True),
    "llama-3": lambda: _byte_level(_split(_LLAMA3), ignore_merges=True),
    "mistral-tekken": lambda: _byte_level(_split(_TEKKEN)),
    "qwen": lambda: _byte_level(_split(_QWEN), normalizer=normalizers.NFC()),
    "nfkc": lambda: _byte_level(_split(_QWEN), normalizer=normalizers.NFKC()),
    "smollm": lambda: _byte_level(
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ),
    "deepseek": lambda: _byte_level(
        _split(r"\p{N}{1,3}"), _split("[一-龥぀-ゟ゠-ヿ]+"), _split(_TEKKEN)
    ),
    "phi-3": lambda: _with_added(_llama_2(metaspace=False)),
    "added tokens": lambda: _with_added(_byte_level(_split(_LLAMA3))),
    "words": _words,
}


def make_styled(style: str) -> Any:
    """A tokenizer of transformers."""
    import transformers

    backend = STYLES[style]()
    unknown = "<unk>" if backend.token_to_id("<unk>") is not None else None
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=unknown)
