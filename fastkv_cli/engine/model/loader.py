"""Loading a model from files on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from ...config import Attention, DType
from ...errors import FastKVError, ModelError, OutOfMemoryError
from ...models import ModelFiles, Progress, ProgressCallback, resolve_model
from ...models.checked import check_token_ids, is_mxfp4, read_object
from ...models.gguf_header import GGUFHeader
from ...models.gguf_parts import part_files, read_model
from ...models.local import weight_files
from ...models.text_part import KEY_MAPPING, has_other_parts, text_config
from ...system.quick_start import load_meta_kernels
from ..kernels.attention import Kernel
from ..kernels.packing import can_pack
from ..measure import is_out_of_memory
from .decoder_opening import open_decoder
from .gguf import prepare_gguf, quiet
from .gguf_plan import plan_tensors
from .gguf_weights import open_blocks
from .guarded import GuardedTokenizer, check_growth
from .hardware import choose_device, choose_dtype, choose_kernel
from .model_settings import model_class_of, read_settings
from .mxfp4_folder import needed_bytes, plan_folder
from .plain import PlainLlama, is_plain
from .plain_tokenizer import open_tokenizer
from .rope import NO_ROPE
from .stored import check_num_layers, check_room, check_shapes, count_bytes, read_headers

_MAX_REASON = 200  # characters
# The chat templates of the supported families end a turn with one of these; but those of gpt-oss
# with one of `_END_OF_CHANNELS`: a turn has several channels, of which each ends with <|end|>.
_END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>")
_END_OF_CHANNELS = ("<|return|>", "<|call|>")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded model with its tokenizer.

    `model` is a transformers ForCausalLM, or a `PlainLlama`, in eval mode, without gradients.
    `is_exact`: float32 was requested by name, so nothing is rounded without being requested, too.
    `kernel` computes attention. `max_context` is the window in tokens. `load_s` is the time for
    tokenizer and weights in seconds, without imports and downloads. `files` are those it was loaded
    from.
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str
    device: torch.device
    dtype: torch.dtype
    is_exact: bool
    kernel: Kernel
    max_context: int
    eos_ids: frozenset[int]
    load_s: float
    files: ModelFiles

    @property
    def folder(self) -> Path:
        """The folder with config.json and tokenizer."""
        return self.files.path

    @property
    def dtype_name(self) -> str:
        """`bfloat16`."""
        return str(self.dtype).removeprefix("torch.")

    def stamp_files(self) -> list[tuple[str, int, int]]:
        """The files' names, sizes in bytes and modification times in ns, to detect changed files.

        Raises:
            OSError: when the folder no longer exists.
        """
        # `exists` excludes broken links
        paths = [path for path in sorted(self.folder.iterdir()) if path.exists()]
        paths += [] if self.files.gguf is None else part_files(self.files.gguf)
        found = [(path.name, path.stat()) for path in paths]
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def load_model(
    name: str,
    *,
    dtype: DType = DType.AUTO,
    device: str = "auto",
    attention: Attention = Attention.AUTO,
    offline: bool = False,
    on_progress: ProgressCallback | None = None,
    with_weights: bool = True,
    unpacked: bool = False,
) -> LoadedModel:
    """Load a model by name; download it first where necessary.

    Args:
        name: a name that `models.resolve_model` accepts.
        dtype: AUTO is bfloat16 where the hardware multiplies it, else float32 or float16.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        attention: AUTO is flash on CUDA where flash-attn is installed, else blocked on a CPU, but
            sdpa with FLOAT32.
        offline: if True, no socket is opened.
        on_progress: called during downloads and loading.
        with_weights: if False, the model's tensors have shapes but no values.
        unpacked: unpack the matrices of a GGUF file, or of a folder in MXFP4, into memory. They
            always are on a GPU, and in float32 if that was asked for; else they stay in the file.

    Raises:
        UsageError: when the device or attention kernel is not available.
        ModelError: when the model cannot be found, downloaded or loaded.
        OutOfMemoryError: when the weights do not fit.
    """
    target = choose_device(device)
    number_format = choose_dtype(dtype, target)
    is_exact = dtype is DType.FLOAT32
    kernel = choose_kernel(attention, target, number_format, is_exact=is_exact)
    files = resolve_model(name, offline=offline, on_progress=on_progress)
    unpacked = unpacked or is_exact or target.type != "cpu" or not can_pack()
    header = None if files.gguf is None else read_model(files.gguf, name)
    if header is not None and with_weights:
        whole = header.num_weights * number_format.itemsize
        check_room(whole if unpacked else header.packed_bytes, target, name, header.num_weights)
    if files.gguf is not None and not files.is_prepared:
        prepare_gguf(files.gguf, files.path, on_progress)
    if on_progress is not None:
        on_progress(Progress(f"loading {name}"))
    try:
        loaded = _load(files, header, name, target, number_format, with_weights, unpacked)
    except FastKVError:
        raise
    except Exception as error:
        raise _explain(error, name, target) from error
    model, tokenizer, eos_ids, load_s = loaded
    return LoadedModel(
        model=model,
        tokenizer=GuardedTokenizer(tokenizer, name, model.config.vocab_size),
        name=name,
        revision=files.revision,
        device=target,
        dtype=number_format,
        is_exact=is_exact,
        kernel=kernel,
        max_context=int(model.config.max_position_embeddings),
        eos_ids=eos_ids,
        load_s=load_s,
        files=files,
    )


def _load(
    files: ModelFiles,
    header: GGUFHeader | None,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    with_weights: bool,
    unpacked: bool,
) -> tuple[Any, Any, frozenset[int], float]:
    folder = files.path
    stated_config = read_object(folder / "config.json", name)
    text_only, config = has_other_parts(stated_config), text_config(stated_config)
    file = "generation_config.json"
    stated = check_token_ids(_read_json(folder / file, name).get("eos_token_id"), file, name)
    plan = None if header is None else plan_tensors(header, config)
    if is_mxfp4(config):
        plan = plan_folder(folder, name)
        check_num_layers(config, plan, name)
        if with_weights:
            needed = needed_bytes(plan, dtype.itemsize, unpacked=unpacked)
            check_room(needed, device, name, needed_bytes(plan, 1, unpacked=True))
    in_blocks = plan is not None
    tokenizer_config = _read_json(folder / "tokenizer_config.json", name)
    plain = not text_only and is_plain(config, tokenizer_config, device, dtype, in_blocks)
    if not in_blocks:
        stored = read_headers(folder, name, text_only=text_only)
        check_num_layers(config, stored, name)
    with ExitStack() as stack:
        if not plain:  # `quiet` imports transformers
            stack.enter_context(quiet())
        settings = (
            SimpleNamespace(**config) if plain else read_settings(folder, text_only=text_only)
        )
        if not in_blocks:
            check_shapes(settings, stored, name)
            if with_weights and not plain:  # a plain model's weights are mapped, and need no memory
                needed = count_bytes(stored, dtype)
                check_room(needed, device, name, needed // dtype.itemsize)
        # Looking up a class of transformers imports its module: not counted as loading time.
        model_class = PlainLlama if plain else model_class_of(settings)
        started = time.perf_counter()
        tokenizer = open_tokenizer(folder, name, None if plain else settings)
        if not tokenizer.is_fast:  # only fast tokenizers return the tokens' offsets in the text
            raise ModelError(f"{name} has a tokenizer without a tokenizer.json", "add that file")
        check_growth(tokenizer, name)
        if not with_weights and (plan is None or unpacked):
            model = _without_weights(model_class, settings, dtype)
        elif plan is not None:
            model = open_blocks(plan, name, model_class, settings, dtype, unpacked).to(device)
        else:
            model = _load_folder(folder, name, model_class, settings, device, dtype)
        load_s = time.perf_counter() - started
        if with_weights:
            _check_rope(model, name)
        return model, tokenizer, _eos_ids(stated, model, tokenizer, name), load_s


def _without_weights(model_class: Any, settings: Any, dtype: torch.dtype) -> Any:
    load_meta_kernels()
    with torch.device("meta"):
        return model_class(settings).to(dtype).eval().requires_grad_(False)


def _load_folder(
    folder: Path,
    name: str,
    model_class: Any,
    settings: Any,
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    """A model with the weights of a folder's safetensors."""
    if model_class is PlainLlama:
        model = PlainLlama(settings)
        missing = model.load(weight_files(folder, name))
    else:
        model, info = model_class.from_pretrained(
            folder,
            config=settings,
            dtype=dtype,
            attn_implementation=settings._attn_implementation,
            device_map={"": device} if device.type == "cuda" else None,
            use_safetensors=True,
            local_files_only=True,
            key_mapping=KEY_MAPPING,  # of models with other parts; others have no such names
            output_loading_info=True,
        )
        missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"the weights of {name} are incomplete: {missing[0]} is missing",
            "fetch the model again",
        )
    return model.to(device).eval().requires_grad_(False)


def _check_rope(model: Any, name: str) -> None:
    """Raise a ModelError unless the rotary embeddings are finite and fit the heads.

    Other invalid RoPE settings of config.json raise here, too, instead of during a run.
    """
    decoder = open_decoder(model)
    last = decoder.max_context - 1
    decoder.rope_variant(last)
    ends = torch.tensor([0, last], device=decoder.device)
    ropes = decoder.ropes(ends, decoder.max_context)
    rotated = [layer for layer in decoder.attention_layers if layer.rope_kind != NO_ROPE]
    if not all(ropes[layer.rope_kind].fits(layer.head_dim) for layer in rotated):
        raise ModelError(
            f"the config.json of {name} gives rotary embeddings that cannot be computed with",
            "fetch the model again",
        )


def _read_json(path: Path, name: str) -> dict[str, Any]:
    """Read the JSON object in a file; empty where there is no file."""
    return read_object(path, name) if path.exists() else {}


def _eos_ids(stated: Sequence[int], model: Any, tokenizer: Any, name: str) -> frozenset[int]:
    """The tokens that end an answer: those of the config files, and the end of a chat turn."""
    found = {
        *stated,
        *check_token_ids(getattr(model.config, "eos_token_id", None), "config.json", name),
        *check_token_ids(tokenizer.eos_token_id, "tokenizer_config.json", name),
    }
    added = tokenizer.get_added_vocab()
    has_channels = model.config.model_type == "gpt_oss"
    ends = _END_OF_CHANNELS if has_channels else _END_OF_TURN
    found.update(added[token] for token in ends if token in added)
    return frozenset(found)


def _explain(error: Exception, name: str, device: torch.device) -> FastKVError:
    reason = (" ".join(str(error).split()) or type(error).__name__)[:_MAX_REASON].rstrip(" .")
    if is_out_of_memory(error):
        return OutOfMemoryError(
            f"not enough memory on {device} for the weights of {name}",
            "take a smaller model, --dtype bfloat16, or another --device",
        )
    return ModelError(f"cannot load {name} ({reason})", "fetch the model again")
