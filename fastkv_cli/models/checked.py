"""Checks of a model's files, which are untrusted input, before anything else opens them.

Opening a named pipe waits forever, a Git LFS pointer is a file of three lines instead of weights,
and a JSON file of 1 GB becomes 10 GB of objects.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError

# Files that transformers opens in a model folder, and their maximum sizes in bytes. The largest
# tokenizer.json on the hub has 35 MB, the largest index 1 MB.
_SMALL, _LARGE = 16 * 2**20, 256 * 2**20
_LIMITS = {
    **dict.fromkeys(
        (
            "config.json",
            "generation_config.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "chat_template.jinja",
            "chat_template.json",
            "model.safetensors.index.json",
        ),
        _SMALL,
    ),
    **dict.fromkeys(
        (
            "tokenizer.json",
            "tokenizer.model",
            "vocab.json",
            "vocab.txt",
            "merges.txt",
            "tekken.json",
        ),
        _LARGE,
    ),
}
_TEMPLATES = "additional_chat_templates"
_LFS = b"version https://git-lfs"
_ADAPTER = "adapter_config.json"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

# The sizes in a config.json; no supported family needs values of more than 31 bits.
_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "original_max_position_embeddings",
    "sliding_window",
    "num_experts",
    "num_local_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "decoder_sparse_step",
)
_POSITIVE = (
    "rms_norm_eps",
    "rope_theta",
    "embedding_multiplier",
    "attention_multiplier",
    "query_pre_attn_scalar",
    "rope_local_base_freq",
    "residual_multiplier",
    "swiglu_alpha",
    "swiglu_limit",
    "logits_scaling",
)
_MAX_SIZE = 2**31 - 1
_MAX_LABELS = 2**16


def check_files(folder: Path, name: str) -> None:
    """Check the files of a model folder that will be opened, reading at most a few bytes of each.

    Raises:
        ModelError: when one is not a regular file, a Git LFS pointer, or absurdly large; or the
            folder holds an adapter, for which the weights of another model would be loaded.
    """
    try:
        present = [folder / file for file in _LIMITS if (folder / file).exists()]
        for pattern in ("*.safetensors", "tokenizer.*.json", f"{_TEMPLATES}/*.jinja"):
            present += folder.glob(pattern)
        has_adapter = (folder / _ADAPTER).exists()
    except OSError as error:
        raise ModelError(f"cannot read {name}", error.strerror or str(error)) from error
    for path in present:
        check_file(path, name)
    if has_adapter:
        raise ModelError(
            f"{name} holds an adapter to another model ({_ADAPTER})",
            "merge it into its model, and give the folder of the merged model",
        )


def check_file(path: Path, name: str) -> None:
    """Raise a ModelError unless this is a regular file of plausible size, and no LFS pointer."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            kind = next((kind for is_kind, kind in _KINDS if is_kind(facts.st_mode)), "no file")
            raise ModelError(f"{path.name} of {name} is {kind}, not a file", "fetch it again")
        limit = _LIMITS.get(path.name, _SMALL if path.suffix == ".jinja" else None)
        if limit is not None and facts.st_size > limit:
            raise ModelError(
                f"{path.name} of {name} has {facts.st_size / 1e6:,.0f} MB, "
                f"which is more than {limit / 1e6:,.0f} MB",
                "fetch it again",
            )
        if is_lfs_pointer(path):
            raise ModelError(
                f"{path.name} of {name} is a Git LFS pointer, not the file itself",
                "run `git lfs pull` in its folder, or fetch the model again",
            )
    except OSError as error:
        raise ModelError(f"cannot read {path}", error.strerror or str(error)) from error


def is_lfs_pointer(path: Path) -> bool:
    """Whether a regular file is a Git LFS pointer to the real one."""
    with path.open("rb") as file:
        return file.read(len(_LFS)) == _LFS


def read_object(path: Path, name: str) -> dict[str, Any]:
    """Read the JSON object in one of a model's files.

    Args:
        path: the file.
        name: the model's name, for the message.

    Raises:
        ModelError: when it cannot be read, or is not a JSON object.
    """
    check_file(path, name)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}", error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"the {path.name} of {name} is not JSON", "fetch the model again"
        ) from error
    if not isinstance(found, dict):
        raise ModelError(f"the {path.name} of {name} is not a JSON object", "fetch it again")
    return found


def check_sizes(config: dict[str, Any], name: str) -> None:
    """Raise a ModelError unless the sizes and settings in a config.json are plausible.

    `engine.model.stored.check_shapes` checks them against the weights.
    """
    for key in _SIZES:
        value = config.get(key)
        if value is not None and not _is_int(value, 1, _MAX_SIZE):
            raise _invalid(key, value, name)
    for key in _POSITIVE:
        value = config.get(key)
        if value is not None and not _is_positive(value):
            raise _invalid(key, value, name)
    for key in ("rope_parameters", "rope_scaling", "quantization_config"):
        if not isinstance(config.get(key), dict | None):
            raise _invalid(key, config[key], name)
    for key in ("tie_word_embeddings", "attention_bias", "mlp_bias"):
        if not isinstance(config.get(key), bool | None):
            raise _invalid(key, config[key], name)
    heads, kv_heads = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if heads and kv_heads and heads % kv_heads:
        raise _invalid("num_key_value_heads", kv_heads, name)
    experts = config.get("num_experts") or config.get("num_local_experts")
    routed = config.get("num_experts_per_tok")
    if experts and routed and routed > experts:
        raise _invalid("num_experts_per_tok", routed, name)
    check_token_ids(config.get("eos_token_id"), "config.json", name)
    check_quantization(config, name)


def check_labels(config: dict[str, Any], name: str) -> None:
    """Raise a ModelError for an implausible num_labels anywhere in a config.json.

    Transformers makes a string for each label, also of a part that is not loaded.
    """
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        labels = part.get("num_labels")
        if labels is not None and not _is_int(labels, 0, _MAX_LABELS):
            raise _invalid("num_labels", labels, name)


def check_quantization(config: dict[str, Any], name: str) -> None:
    """Raise a ModelError for weights in MXFP4 other than those of gpt-oss's experts."""
    if is_mxfp4(config) and config.get("model_type") != "gpt_oss":
        raise ModelError(
            f"{name} holds weights in MXFP4, which are only read of gpt-oss",
            "take a GGUF file of the model",
        )


def is_mxfp4(config: Mapping[str, Any]) -> bool:
    """Whether a config.json says that weights are stored in MXFP4."""
    settings = config.get("quantization_config")
    return isinstance(settings, dict) and settings.get("quant_method") == "mxfp4"


def check_token_ids(stated: Any, file: str, name: str) -> list[int]:
    """The ids of an `eos_token_id`, which is missing, one id or a list.

    Raises:
        ModelError: when it is anything else.
    """
    ids = stated if isinstance(stated, list) else [] if stated is None else [stated]
    for each in ids:
        if not _is_int(each, -_MAX_SIZE, _MAX_SIZE):
            raise _invalid("eos_token_id", stated, name, file)
    return ids


def _is_int(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value > 0 and math.isfinite(value)


def _invalid(key: str, value: Any, name: str, file: str = "config.json") -> ModelError:
    nested = isinstance(value, dict | list)  # its repr may be nested too deeply for Python
    shown = "a list or an object" if nested else repr(value)[:60]
    return ModelError(f"the {file} of {name} gives {shown} for {key}", "fetch the model again")
