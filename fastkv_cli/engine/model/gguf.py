"""Writes what a GGUF file says beside its weights, once: config.json and the tokenizer.

Parsing a file's vocabulary takes seconds, loading the folder that is made of it a tenth of that. It
is small; the weights stay in the file. transformers reads the metadata.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...errors import FastKVError, ModelError
from ...models import Progress, ProgressCallback, check_model_type
from ...models.files import silent
from ...models.gguf_parts import read_model
from ...models.gguf_sizes import check_header
from .gguf_metadata import complete
from .guarded import explained_panics

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


def prepare_gguf(gguf: Path, target: Path, on_progress: ProgressCallback | None = None) -> None:
    """Write the folder of a GGUF file, which appears complete or not at all.

    One process writes; others that need the same folder wait for it. Files of killed processes are
    removed. An existing folder is left as it is.

    Raises:
        ModelError: when the file is damaged, transformers cannot read it, or the folder cannot be
            written.
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
            f"cannot write the settings of {gguf.name} to {target.parent} "
            f"({error.strerror or error})",
            "free some space, or set FASTKV_HOME to another folder",
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
    """Let one process at a time write a folder."""
    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(Progress(f"waiting for another process that prepares {target.name}"))
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
    config, tokenizer = _read(gguf, folder, report)
    config.tie_word_embeddings = "output.weight" not in header.tensors
    _write_tokenizer(tokenizer, folder)
    ids = {
        f"{kind}_token_id": getattr(config, f"{kind}_token_id") for kind in ("bos", "eos", "pad")
    }
    (folder / "generation_config.json").write_text(json.dumps(ids), "utf-8")
    config.save_pretrained(folder)  # last: it completes the folder


def _read(gguf: Path, folder: Path, report: ProgressCallback) -> tuple[Any, Any]:
    """Let transformers read the settings and the tokenizer of a GGUF file."""
    from transformers import AutoConfig, AutoTokenizer

    source = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    source_folder = _isolated(gguf, folder)
    # The reader's tqdm bar ignores every setting of verbosity, so stderr is redirected.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        try:
            report(Progress(f"preparing {gguf.name}"))
            with explained_panics(gguf.name):
                tokenizer = AutoTokenizer.from_pretrained(source_folder, **source)
            config = AutoConfig.from_pretrained(source_folder, **source)
            check_model_type(config.model_type, gguf.name)
            _clean_config(config)
            complete(gguf, config, tokenizer)
        except (FastKVError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ModelError(
                f"transformers cannot read {gguf.name} ({reason[:200]})",
                "take the safetensors of the same model, by its Hugging Face id",
            ) from error
    if source_folder != gguf.parent:
        shutil.rmtree(source_folder)
    return config, tokenizer


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


def _clean_config(config: Any) -> None:
    """Remove what describes the GGUF file rather than the model from the config."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    for name in ("quantization_config", "_model_name_or_path", "unk_token_id"):
        if hasattr(config, name):
            delattr(config, name)
    config.architectures = [MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__]


def _write_tokenizer(tokenizer: Any, folder: Path) -> None:
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:  # tokenizers reports a full disk as a bare Exception
        raise error if isinstance(error, OSError) else OSError(str(error)) from error
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for name in [name for name in settings if name in _FILE_SETTINGS or name.endswith("_id")]:
        del settings[name]
    settings["clean_up_tokenization_spaces"] = False  # so that decoding returns the encoded text
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + os.linesep, "utf-8")
