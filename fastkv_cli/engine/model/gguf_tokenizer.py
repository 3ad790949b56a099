"""Builds a tokenizer from a GGUF file's vocabulary, as tokenizer.json holds it.

llama.cpp names the rule that splits texts before the merges (`tokenizer.ggml.pre`) but leaves the
rule itself to the program: the expressions here are those of `src/llama-vocab.cpp`, in the spelling
of the models' own tokenizer.json. An unknown rule is an error: split otherwise, a text becomes
tokens that the model hardly knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from ...errors import ModelError

LISTS = frozenset(f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type", "merges"))
"""The long lists of a file that make up its tokenizer."""

_SPACE = "\u2581"  # SentencePiece's sign for a space
_CONTROL, _USER_DEFINED = 3, 4  # types of tokens
_NO_TOKEN = 2**32 - 1  # llama.cpp's -1
_SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}

_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{{0}}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{{0}}"
)
_CASED_OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_ENGLISH}|{_WORDS}|\p{{N}}{{1,3}}|{_OTHERS}"
_QWEN2 = rf"{_ENGLISH}|{_WORDS}|\p{{N}}|{_OTHERS}"
_QWEN35 = (
    rf"{_ENGLISH}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = _CASED.replace("{0}", "") + rf"|\p{{N}}|{_CASED_OTHERS}"
_GPT4O = _CASED.replace("{0}", f"{_ENGLISH}?") + rf"|\p{{N}}{{1,3}}|{_CASED_OTHERS}"

# Rules of splitting by their names; the empty one is GPT-2's, which `tokenizers` has built in.
_EXPRESSIONS = {
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "lfm2"), _LLAMA3),
    **dict.fromkeys(("pixtral", "midm-2.0", "dbrx", "smaug-bpe", "chatglm-bpe", "glm4"), _LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "kormo", "megrez"), _QWEN2),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2"), _GPT4O),
    "qwen35": _QWEN35,
    "tekken": _TEKKEN,
    **dict.fromkeys(("default", "gpt-2", "mpt", "olmo", "jais", "trillion"), ""),
    "granite-docling": "",
}
# GPT-2's, with each digit a word of its own.
_DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
# A word that is a token is taken whole, whatever its merges; a text begins with BOS by default.
_WHOLE_WORDS = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2"}
_WHOLE_WORDS |= {"midm-2.0", "tekken"}
_NFC = {"qwen2", "qwen35", "deepseek-r1-qwen"}  # as the models' own tokenizers normalize texts


def special_tokens(facts: Mapping[str, Any]) -> dict[str, str]:
    """The tokens with a role, as tokenizer_config.json names them.

    Args:
        facts: the file's metadata, with the items of `LISTS`.
    """
    tokens = facts["tokenizer.ggml.tokens"].values
    ids = {role: facts.get(f"tokenizer.ggml.{key}", _NO_TOKEN) for role, key in _SPECIAL.items()}
    return {role: tokens[token] for role, token in ids.items() if token != _NO_TOKEN}


def build_tokenizer(facts: Mapping[str, Any], name: str) -> Tokenizer:
    """The tokenizer of a file.

    Args:
        facts: the file's metadata, with the items of `LISTS`.
        name: the user's name for the model, for messages.

    Raises:
        ModelError: when the file's kind of tokenizer or its rule of splitting is not known.
    """
    kind, rule = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre", "default")
    is_gemma = str(facts["general.architecture"]).startswith("gemma")
    if kind == "gpt2":
        tokenizer = _byte_level(facts, rule, name)
    elif kind == "llama":
        tokenizer = _gemma(facts) if is_gemma else _sentencepiece(facts)
    else:
        raise _unknown(name, f"of kind {str(kind)[:60]!r}")
    _add_tokens(tokenizer, facts)
    tokenizer.post_processor = _ends(tokenizer, facts, kind == "llama" or rule in _WHOLE_WORDS)
    return tokenizer


def _byte_level(facts: Mapping[str, Any], rule: str, name: str) -> Tokenizer:
    """Byte pairs over bytes (GPT-2); every byte has a printable sign in the tokens."""
    if rule not in _EXPRESSIONS and rule not in _DIGITS:
        raise _unknown(name, f"with the rule {rule[:60]!r}")
    if "tokenizer.ggml.merges" not in facts:
        raise ModelError(f"{name} has a tokenizer without merges", "fetch it again")
    merges = [_pair(merge) for merge in facts["tokenizer.ggml.merges"].values]
    vocabulary = {token: number for number, token in enumerate(_tokens(facts))}
    model = models.BPE(
        vocabulary,
        merges,
        continuing_subword_prefix="",
        end_of_word_suffix="",
        ignore_merges=rule in _WHOLE_WORDS,
    )
    tokenizer = Tokenizer(model)
    expression = _EXPRESSIONS.get(rule, "")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not expression)
    steps: list[Any] = [in_bytes]
    if expression:
        steps.insert(0, pre_tokenizers.Split(Regex(expression), behavior="isolated"))
    elif rule in _DIGITS:
        steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    if rule in _NFC:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _sentencepiece(facts: Mapping[str, Any]) -> Tokenizer:
    """Llama 2, Mistral and Phi-3: pieces with a sign for spaces, one put before the text."""
    tokens = _tokens(facts)
    tokenizer = _pieces(facts, tokens, facts["tokenizer.ggml.scores"].values)
    has_prefix = facts.get("tokenizer.ggml.add_space_prefix", True)
    if facts["general.architecture"] == "phi3":  # before each text between special tokens
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement=_SPACE, prepend_scheme="first" if has_prefix else "never", split=False
        )
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if has_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def _gemma(facts: Mapping[str, Any]) -> Tokenizer:
    """Gemma: no space before the text, runs of spaces are tokens, merged in the tokens' order."""
    tokens = [_SPACE * len(token) if token.isspace() and " " in token else token
              for token in _tokens(facts)]  # fmt: skip
    tokenizer = _pieces(facts, tokens, [-number for number in range(len(tokens))])
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def _pieces(facts: Mapping[str, Any], tokens: Sequence[str], scores: Sequence[float]) -> Tokenizer:
    """Byte pairs over characters; unknown characters become tokens of their bytes."""
    vocabulary = {token: number for number, token in enumerate(tokens)}
    stated = facts.get("tokenizer.ggml.merges")
    merges = [_pair(merge) for merge in stated.values] if stated else _merges(vocabulary, scores)
    unknown = special_tokens(facts).get("unk_token")
    return Tokenizer(
        models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )


def _merges(vocabulary: Mapping[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """All pairs of tokens that make up a third one, the best first.

    SentencePiece states no merges: it joins the pair whose token has the highest score.
    """
    found = []
    for token, number in vocabulary.items():
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
        known.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        found += [(scores[number], len(left), len(right), left, right) for left, right in known]
    found.sort(key=lambda each: each[:3], reverse=True)
    return [(left, right) for *_, left, right in found]


def _tokens(facts: Mapping[str, Any]) -> Sequence[str]:
    tokens: Sequence[str] = facts["tokenizer.ggml.tokens"].values
    return tokens


def _pair(merge: str) -> tuple[str, str]:
    left, right = merge.split(" ")
    return left, right


def _add_tokens(tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
    """Let control tokens, and those that users defined, be found in texts as a whole."""
    tokens, types = _tokens(facts), facts.get("tokenizer.ggml.token_type")
    kinds = types.values if types else (1,) * len(tokens)
    special = dict.fromkeys(special_tokens(facts).values())
    special |= dict.fromkeys(t for t, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL)
    others = [t for t, kind in zip(tokens, kinds, strict=True) if kind == _USER_DEFINED]
    # Adding a token that is not in the vocabulary would give it an id that the model lacks.
    known = [t for t in special if tokenizer.token_to_id(t) is not None]
    known.sort(key=lambda token: tokenizer.token_to_id(token) or 0)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in known])
    tokenizer.add_tokens(
        [
            AddedToken(token, normalized=False, special=False)
            for token in others
            if token not in special and tokenizer.token_to_id(token) is not None
        ]
    )


def _ends(tokenizer: Tokenizer, facts: Mapping[str, Any], has_bos: bool) -> Any:
    """Puts BOS before and EOS behind a text where the file says so; BOS by default if `has_bos`."""
    roles = special_tokens(facts)
    begin = roles.get("bos_token") if facts.get("tokenizer.ggml.add_bos_token", has_bos) else None
    end = roles.get("eos_token") if facts.get("tokenizer.ggml.add_eos_token", False) else None
    single = [token for token in (begin, "$A", end) if token]
    pair = [token for token in (begin, "$A", begin and f"{begin}:1", "$B:1", end) if token]
    ids = [(token, tokenizer.token_to_id(token)) for token in (begin, end) if token]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def _unknown(name: str, what: str) -> ModelError:
    return ModelError(
        f"{name} has a tokenizer {what}, which is not supported",
        "take the safetensors of the same model, by its Hugging Face id",
    )
