"""Settings of a model folder and the class of its model, as transformers has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .families import FAMILIES


def read_settings(folder: Path, *, text_only: bool) -> Any:
    """Read a folder's config.json; `text_only` takes the text part of a model that has others."""
    from transformers import AutoConfig

    settings = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if text_only:
        settings = _text_settings(settings)
    # the engine computes attention itself; transformers' SDPA refuses models with sinks
    has_sinks = settings.model_type in FAMILIES and FAMILIES[settings.model_type].sinks
    settings._attn_implementation = "eager" if has_sinks else "sdpa"
    return settings


def _text_settings(settings: Any) -> Any:
    """The settings of a model's text part, with what the whole model's settings say of it."""
    part = settings.text_config
    part.tie_word_embeddings = settings.tie_word_embeddings or part.tie_word_embeddings
    for key in ("quantization_config", "eos_token_id"):
        if getattr(settings, key, None) is not None:
            setattr(part, key, getattr(settings, key))
    return part


def model_class_of(settings: Any) -> Any:
    """Transformers' class of models with these settings."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    return MODEL_FOR_CAUSAL_LM_MAPPING[type(settings)]
