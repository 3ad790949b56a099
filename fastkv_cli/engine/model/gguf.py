"""Converting GGUF files to safetensors, which load at once; transformers reads the GGUF file.

The dequantized values are rounded to bfloat16: quantization cost them more bits than that, it is
how the published implementation ran this model, and it halves disk and memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ...errors import FastKVError, ModelError, OutOfMemoryError
from ...models import Progress, ProgressCallback, check_model_type
from ...models.files import silent
from ...models.gguf_parts import read_model
from ...models.gguf_sizes import check_header
from .gguf_metadata import complete
from .guarded import explained_panics
from .stored import check_room

_STORED_DTYPE = torch.bfloat16
_MAX_SHARD = "5GB"
_FILE_SETTINGS = {
    "gguf_file",
    "is_local",
    "legacy",
    "local_files_only",
    "model_type",
    "name_or_path",
    "vocab_file",
}
_END_OF_COPY = "config.json"


def convert(gguf: Path, target: Path, on_progress: ProgressCallback | None = None) -> None:
    """Convert a GGUF file into a model folder, which appears complete or not at all.

    One process converts; others that need the same folder wait for it. Files of killed processes
    are removed. An existing model folder is left as it is.

    Raises:
        ModelError: when the file is damaged, transformers cannot read it, or the folder cannot be
            written.
        OutOfMemoryError: when the dequantized weights do not fit into memory.
    """
    report = on_progress or silent
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(target, report):
            if (target / _END_OF_COPY).is_file():
                return
            _remove_leftovers(target)
            temporary = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
            try:
                _write_model(gguf, temporary, report)
                temporary.chmod(0o755)
                temporary.replace(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            f"cannot write the converted model to {target.parent} ({error.strerror or error})",
            "free some space, or set FASTKV_HOME to another folder",
        ) from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemoryError(
            f"not enough memory to convert {gguf.name}", "convert it on a larger machine"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers and tqdm from writing to stderr, for as long as the block runs."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _exclusive(target: Path, report: ProgressCallback) -> Iterator[None]:
    """Let one process at a time convert into a folder."""
    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(Progress(f"waiting for another process that converts {target.name}"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _prefix(target: Path) -> str:
    return f".{target.name}.part-"


def _remove_leftovers(target: Path) -> None:
    """Remove the partial folders of killed runs; holding the lock means that none is alive."""
    for leftover in target.parent.glob(f"{_prefix(target)}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if target.is_dir():
        shutil.rmtree(target)


def _write_model(gguf: Path, folder: Path, report: ProgressCallback) -> None:
    header = read_model(gguf, gguf.name)
    check_header(header, gguf.name)
    check_room(header.num_weights * _STORED_DTYPE.itemsize, torch.device("cpu"), gguf.name)
    model, tokenizer = _read(gguf, folder, report)
    weights = _unique_weights(model)
    needed = sum(weight.nbytes for weight in weights.values())
    free = shutil.disk_usage(folder).free
    if free < needed * 1.01 + 64e6:
        raise ModelError(
            f"converting {gguf.name} takes {needed / 1e9:.1f} GB, and {folder.parent} has "
            f"{free / 1e9:.1f} GB left",
            "free some space, or set FASTKV_HOME to another folder",
        )
    report(Progress(f"converting {gguf.name}: writing", 0, needed, "bytes"))
    _write_weights(weights, folder)
    _write_tokenizer(tokenizer, folder)
    model.generation_config.save_pretrained(folder)
    model.config.save_pretrained(folder)
    report(Progress(f"converting {gguf.name}: writing", needed, needed, "bytes"))


def _read(gguf: Path, folder: Path, report: ProgressCallback) -> tuple[Any, Any]:
    """Let transformers read the model, rounded to bfloat16, and the tokenizer of a GGUF file."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    source_folder = _isolated(gguf, folder)
    # The reader's tqdm bar ignores every setting of verbosity, so stderr is redirected.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        try:
            report(Progress(f"converting {gguf.name}: reading the tokenizer"))
            with explained_panics(gguf.name):
                tokenizer = AutoTokenizer.from_pretrained(source_folder, **source)
            report(Progress(f"converting {gguf.name}: unpacking the weights"))
            model, info = AutoModelForCausalLM.from_pretrained(
                source_folder,
                dtype=_STORED_DTYPE,
                output_loading_info=True,
                **_dequantized(),
                **source,
            )
            _check_complete(info["missing_keys"], gguf)
            check_model_type(model.config.model_type, gguf.name)
            _clean_config(model)
            complete(gguf, model.config, tokenizer)
        except (FastKVError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ModelError(
                f"transformers cannot read {gguf.name} ({reason[:200]})",
                "take the safetensors of the same model, by its Hugging Face id",
            ) from error
    if source_folder != gguf.parent:
        shutil.rmtree(source_folder)
    return model, tokenizer


def _check_complete(missing: Iterable[str], gguf: Path) -> None:
    if names := sorted(missing):
        raise ModelError(
            f"{gguf.name} is incomplete: {len(names)} tensors are missing, as {names[0]}",
            "fetch the file again, and all parts of it",
        )


def _isolated(gguf: Path, folder: Path) -> Path:
    """Make a folder that contains only a link to the file; its own folder if links cannot be made.

    transformers looks for other files beside it, and a folder of downloads may hold anything.
    """
    source_folder = folder / "source"
    try:
        source_folder.mkdir()
        (source_folder / gguf.name).symlink_to(gguf.resolve())
    except OSError:  # Windows, without permission to make links
        return gguf.parent
    return source_folder


def _dequantized() -> dict[str, Any]:
    """Settings for plain weights in versions of transformers that can compute on packed blocks."""
    import transformers

    packed = getattr(transformers, "GgufConfig", None)
    return {} if packed is None else {"quantization_config": packed(dequantize=True)}


def _clean_config(model: Any) -> None:
    """Remove what describes the GGUF file rather than the model from the config."""
    config = model.config
    for name in ("quantization_config", "_model_name_or_path", "unk_token_id"):
        if hasattr(config, name):
            delattr(config, name)
    config.architectures = [type(model).__name__]
    config.dtype = _STORED_DTYPE
    generation = model.generation_config
    generation._from_model_config = False  # use the file as written, do not derive it from config
    generation.bos_token_id = config.bos_token_id
    generation.eos_token_id = config.eos_token_id
    generation.pad_token_id = config.pad_token_id


def _unique_weights(model: Any) -> dict[str, torch.Tensor]:
    """The weights by name, each once: loading restores a tied LM head from the embeddings."""
    seen: set[int] = set()
    weights: dict[str, torch.Tensor] = {}
    for name, weight in model.state_dict().items():
        if weight.data_ptr() not in seen:
            seen.add(weight.data_ptr())
            weights[name] = weight.detach().contiguous()
    return weights


def _write_weights(weights: dict[str, torch.Tensor], folder: Path) -> None:
    from huggingface_hub import save_torch_state_dict
    from safetensors import SafetensorError

    try:
        save_torch_state_dict(weights, folder, max_shard_size=_MAX_SHARD, metadata={"format": "pt"})
    except SafetensorError as error:  # raised when the disk is full, among other reasons
        raise OSError(str(error)) from error
    # safetensors creates files that only their owner can read; a shared cache is for everyone.
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)


def _write_tokenizer(tokenizer: Any, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for name in [name for name in settings if name in _FILE_SETTINGS or name.endswith("_id")]:
        del settings[name]
    settings["clean_up_tokenization_spaces"] = False  # so that decoding returns the encoded text
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + os.linesep, "utf-8")
