"""Folders of other programs with models, as those programs lay them out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

MODEL = "application/vnd.ollama.image.model"


def small_gguf(
    path: Path,
    architecture: str = "llama",
    *,
    layers: Sequence[int] = (0, 1),
    ends: bool = True,
    part: int | None = None,
) -> Path:
    """Write a GGUF file of 2 layers; a part of two has only some, or no embeddings."""
    import gguf
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    hidden, inner, tokens = 32, 64, 16
    embeddings: dict[str, tuple[int, ...]] = {
        "token_embd": (tokens, hidden),
        "output_norm": (hidden,),
    }
    if part is not None:
        writer.add_uint16("split.no", part)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", 20)
    if ends:
        writer.add_context_length(4096)
        writer.add_embedding_length(hidden)
        writer.add_block_count(2)
        writer.add_feed_forward_length(inner)
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list([f"t{number}" for number in range(tokens)])
        for name, shape in embeddings.items():
            writer.add_tensor(f"{name}.weight", np.ones(shape, np.float32))
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (hidden,),
        "ffn_norm": (hidden,),
        "attn_q": (hidden, hidden),
        "attn_k": (16, hidden),
        "attn_v": (16, hidden),
        "attn_output": (hidden, hidden),
        "ffn_gate": (inner, hidden),
        "ffn_up": (inner, hidden),
        "ffn_down": (hidden, inner),
    }
    for layer in layers:
        for name, shape in shapes.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def split_gguf(folder: Path, stem: str) -> list[Path]:
    """The two parts of a split file."""
    return [
        small_gguf(folder / f"{stem}-00001-of-00002.gguf", layers=(0,), part=0),
        small_gguf(folder / f"{stem}-00002-of-00002.gguf", layers=(1,), ends=False, part=1),
    ]


def ollama_model(
    root: Path, name: str, gguf: Path | None, *, kind: str = MODEL, digest: str = ""
) -> Path:
    """Add a model to Ollama's store, by its path below `manifests`; gives the manifest.

    Without a GGUF file, the blob is missing.
    """
    data = b"" if gguf is None else gguf.read_bytes()
    digest = digest or sha256(data or name.encode()).hexdigest()
    blobs = root / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    if gguf is not None:
        (blobs / f"sha256-{digest}").write_bytes(data)
    manifest = root / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": f"sha256:{'0' * 64}",
            "size": 561,
        },
        "layers": [
            {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)},
            {
                "mediaType": "application/vnd.ollama.image.template",
                "digest": f"sha256:{'1' * 64}",
                "size": 1429,
            },
        ],
    }
    manifest.write_text(json.dumps(document))
    return manifest


def hub_model(
    cache: Path,
    repo: str,
    config: dict[str, Any] | None,
    *,
    main: bool = True,
    prefix: str = "model",
) -> Path:
    """Add a repository to the Hugging Face cache, with small weights; gives its snapshot.

    The names of the layers' weights begin with `prefix`.
    """
    import numpy as np
    from safetensors.numpy import save_file

    folder = cache / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("a" * 40)
    blobs = folder / "blobs"
    for each in (snapshot, blobs, folder / "refs"):
        each.mkdir(parents=True)
    if main:
        (folder / "refs" / "main").write_text("a" * 40)
    if config is None:
        return snapshot
    (blobs / "c").write_text(json.dumps(config))
    (snapshot / "config.json").symlink_to("../../blobs/c")
    weights = {
        f"{prefix}.embed_tokens.weight": np.ones((16, 32), np.float16),
        f"{prefix}.layers.0.self_attn.q_proj.weight": np.ones((32, 32), np.float16),
        f"{prefix}.layers.0.self_attn.k_proj.weight": np.ones((16, 32), np.float16),
        f"{prefix}.layers.0.self_attn.v_proj.weight": np.ones((16, 32), np.float16),
        f"{prefix}.layers.0.mlp.up_proj.weight": np.ones((64, 32), np.float16),
    }
    save_file(weights, blobs / "w")
    (snapshot / "model.safetensors").symlink_to("../../blobs/w")
    (snapshot / "tokenizer.json").write_text("{}")
    return snapshot


LLAMA_CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
}
