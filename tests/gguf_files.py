"""GGUF files for the tests, written from tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conftest import CHAT_TEMPLATE, SPECIAL_TOKENS


def write_gguf(path: Path, folder: Path, *, rope_freqs: Any = None) -> Path:
    """Write a tiny model as a GGUF file, the way llama.cpp's converter does.

    Args:
        path: the file to write.
        folder: one of `tiny_models`.
        rope_freqs: the divisors of the rotary frequencies, for Llama 3.1 and later.
    """
    import gguf
    import numpy as np
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    architecture = config.model_type
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    head_dim = config.hidden_size // config.num_attention_heads
    partial = config.rope_parameters.get("partial_rotary_factor", 1.0)
    writer.add_rope_dimension_count(int(head_dim * partial))
    add_tokenizer(writer, folder)
    names = gguf.get_tensor_name_map(
        {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}[architecture],
        config.num_hidden_layers,
    )
    for key, weight in model.state_dict().items():
        stem, suffix = key.rsplit(".", 1)
        values = weight.float().numpy()
        if architecture == "llama" and stem.endswith((".q_proj", ".k_proj")):
            # llama.cpp rotates neighbours, transformers rotates halves.
            heads = values.shape[0] // head_dim
            halves = values.reshape(heads, 2, head_dim // 2, -1)
            values = halves.swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", np.ascontiguousarray(values))
    if rope_freqs is not None:
        writer.add_tensor("rope_freqs.weight", np.asarray(rope_freqs, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_tokenizer(writer: Any, folder: Path) -> None:
    """Add the tokenizer of a folder, one like SmolLM's."""
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = document["model"]["vocab"]
    tokens = sorted(vocab, key=vocab.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL_TOKENS else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in document["model"]["merges"]])
    writer.add_bos_token_id(vocab["<|im_start|>"])
    writer.add_eos_token_id(vocab["<|im_end|>"])
    writer.add_pad_token_id(vocab["<|im_end|>"])
    writer.add_unk_token_id(vocab["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
