"""gpt-oss in Ollama's own GGUF files, whose architecture is `gptoss`, as llama.cpp would state it.

Ollama's converter has other names of settings and tensors, may keep Q, K and V as one tensor, and
leaves out what its program knows: the kind of RoPE scaling, the rule of splitting words, and the
chat template. Older files hold MXFP4 as tensors of ggml's type 4. The names are those of
https://github.com/ollama/ollama: `convert/convert_gptoss.go` and `model/models/gptoss`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .gguf_header import GGUFHeader, TensorInfo

OLLAMA_NAME = "gptoss"
_NAME = "gpt-oss"
_STEMS = {"attn_out": "attn_output", "ffn_norm": "post_attention_norm"}
_TEMPLATE_KEY = "tokenizer.chat_template"
_PRE = "tokenizer.ggml.pre"
# The Harmony format (https://github.com/openai/harmony, docs/format.md), without tools.
_TEMPLATE = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\n\nReasoning: {{ reasoning_effort | default('medium') }}\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message."
    "<|end|>{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '<|start|>developer<|message|># Instructions\n\n' + message['content'] + '<|end|>' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ '<|start|>assistant<|channel|>final<|message|>' + message['content'] + '<|end|>' }}"
    "{% else %}{{ '<|start|>user<|message|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)


def as_llama_cpp(header: GGUFHeader) -> GGUFHeader:
    """The header of a file in llama.cpp's terms; other architectures are left as they are."""
    if header.facts.get("general.architecture") != OLLAMA_NAME:
        return header
    facts = {_renamed(key): value for key, value in header.facts.items()}
    facts["general.architecture"] = _NAME
    facts.setdefault(_TEMPLATE_KEY, _TEMPLATE)
    if facts.get(_PRE, "default") == "default":  # its own converter knows no rule for gpt-oss
        facts[_PRE] = "gpt-4o"
    if "feed_forward_length" in (found := _own(facts)):
        facts.setdefault(f"{_NAME}.expert_feed_forward_length", found["feed_forward_length"])
    if "rope.scaling.factor" in found:
        facts.setdefault(f"{_NAME}.rope.scaling.type", "yarn")
    tensors: dict[str, TensorInfo] = {}
    for name, tensor in header.tensors.items():
        block, _, rest = name.rpartition(".attn_qkv.")
        if block:
            parts = _split(tensor, _widths(found))
            tensors |= {
                f"{block}.attn_{x}.{rest}": part for x, part in zip("qkv", parts, strict=True)
            }
        else:
            tensors[_tensor_name(name)] = tensor
    return replace(header, facts=facts, tensors=tensors)


def _renamed(key: str) -> str:
    prefix, _, rest = key.partition(".")
    return f"{_NAME}.{rest}" if prefix == OLLAMA_NAME else key


def _own(facts: dict[str, Any]) -> dict[str, Any]:
    """The architecture's settings, without its prefix."""
    prefix = f"{_NAME}."
    return {
        key.removeprefix(prefix): value for key, value in facts.items() if key.startswith(prefix)
    }


def _tensor_name(name: str) -> str:
    parts = name.split(".")  # blk.0.attn_out.weight
    stem = parts[2] if len(parts) > 2 else ""
    return ".".join([*parts[:2], _STEMS.get(stem, stem), *parts[3:]]) if stem else name


def _widths(own: dict[str, Any]) -> list[int]:
    """Rows of Q, K and V; empty where the settings do not state them."""
    found = [own.get(f"attention.{key}") for key in ("head_count", "head_count_kv", "key_length")]
    sizes = [size for size in found if isinstance(size, int) and 0 < size < 2**31]
    if len(sizes) < 3:
        return []
    heads, kv_heads, head_dim = sizes
    return [heads * head_dim, kv_heads * head_dim, kv_heads * head_dim]


def _split(tensor: TensorInfo, widths: list[int]) -> list[TensorInfo]:
    """Consecutive rows of a tensor: a matrix (N, K), or a bias (N,).

    Where the rows are others than stated, each part has all of them, and the check of the model's
    shapes refuses the file.
    """
    *columns, num_rows = tensor.shape
    if sum(widths) != num_rows or (not columns and tensor.kind not in {"F32", "F16", "BF16"}):
        return [tensor] * 3
    row_bytes = tensor.num_bytes // num_rows
    parts, start = [], tensor.start
    for width in widths:
        shape, num_bytes = (*columns, width), width * row_bytes
        parts.append(tensor._replace(shape=shape, start=start, num_bytes=num_bytes))
        start += num_bytes
    return parts
