"""Tiny models that say what a test wants, by their weights: each token has one follower."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from conftest import tiny_tokenizer

_HIDDEN = 64


def scripted_tokenizer(
    template: str | None, plain: Sequence[str] = (), special: Sequence[str] = ()
) -> Any:
    """The tiny tokenizer with this chat template, and with tokens added, some of them special."""
    import tokenizers

    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([tokenizers.AddedToken(each, special=False) for each in plain])
    tokenizer.add_tokens([tokenizers.AddedToken(each, special=True) for each in special])
    tokenizer.chat_template = template
    return tokenizer


def save_scripted_model(folder: Path, tokenizer: Any, script: str) -> Path:
    """Save a Llama that goes from each token of a script to the next, wherever it meets it.

    Its layers add nothing: the embedding of a token of the script is a unit vector of its own, and
    the LM head of its follower reads that one. A token that occurs twice in the script has to have
    the same follower.
    """
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=_HIDDEN,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    said = tokenizer(script, add_special_tokens=False)["input_ids"]
    follower: dict[int, int] = {}
    for token, following in pairwise(said):
        assert follower.setdefault(token, following) == following, tokenizer.decode([token])
    assert len(follower) < _HIDDEN
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        model.lm_head.weight.zero_()
        for place, (token, following) in enumerate(follower.items(), start=1):
            model.model.embed_tokens.weight[token, place] = 1.0
            model.lm_head.weight[following, place] = 1.0
        model.model.embed_tokens.weight[:, 0] += 1e-3  # a norm of 0 has no direction
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
