"""Writes what a GGUF file says beside its weights, once: config.json and the tokenizer.

Parsing a file's vocabulary takes seconds, loading the folder that is made of it a tenth of that. It
is small; the weights stay in the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...errors import ModelError
from ...models import Progress, ProgressCallback, check_model_type
from ...models.files import silent
from ...models.gguf_parts import read_model
from ...models.gguf_sizes import check_header
from ...system.quick_start import load_meta_kernels
from .gguf_config import model_config
from .gguf_tokenizer import LISTS, build_tokenizer, special_tokens
from .guarded import explained_panics

_END_OF_COPY = "config.json"
_END_OF_TURN = ("tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
_NO_TOKEN = 2**32 - 1  # llama.cpp's -1


def prepare_gguf(gguf: Path, target: Path, on_progress: ProgressCallback | None = None) -> None:
    """Write the folder of a GGUF file, whole or split, which appears complete or not at all.

    One process writes; others that need the same folder wait for it. Files of killed processes are
    removed. An existing folder is left as it is.

    Raises:
        ModelError: when the file is damaged or not supported, or the folder cannot be written.
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
    """Keep transformers and tqdm from writing to stderr, for as long as the block runs.

    transformers is imported here first, and so are the parts of torch that it may use.
    """
    load_meta_kernels()
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
def _exclusive(folder: Path, report: ProgressCallback) -> Iterator[None]:
    """Let one process at a time write a folder."""
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(Progress(f"waiting for another process that prepares {folder.name}"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _prefix(folder: Path) -> str:
    return f".{folder.name}.part-"


def _remove_leftovers(folder: Path) -> None:
    """Remove the partial folders of killed runs; holding the lock means that none is alive."""
    for leftover in folder.parent.glob(f"{_prefix(folder)}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.is_dir():
        shutil.rmtree(folder)


def _write_model(gguf: Path, folder: Path, report: ProgressCallback) -> None:
    report(Progress(f"preparing {gguf.name}"))
    header = read_model(gguf, gguf.name, LISTS)
    check_header(header, gguf.name)
    config = model_config(header, gguf.name)
    check_model_type(config["model_type"], gguf.name)
    _write_tokenizer(header.facts, gguf.name, folder)
    _write(folder / "generation_config.json", _generation(header.facts, config))
    _write(folder / _END_OF_COPY, config)  # last: it completes the folder


def _write_tokenizer(facts: Mapping[str, Any], name: str, folder: Path) -> None:
    with explained_panics(name):
        tokenizer = build_tokenizer(facts, name)
        content = tokenizer.to_str()
    (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    settings = special_tokens(facts) | {
        "clean_up_tokenization_spaces": False,  # so that decoding returns the encoded text
        "tokenizer_class": "TokenizersBackend",
    }
    _write(folder / "tokenizer_config.json", settings)
    if template := facts.get("tokenizer.chat_template"):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def _generation(facts: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The generation config: an answer ends with EOS or at the end of a turn."""
    found = [config["eos_token_id"]]
    # gpt-oss ends every channel, thoughts too, with what its files call the end of a turn
    if config["model_type"] != "gpt_oss":
        found += [facts.get(key) for key in _END_OF_TURN]
    ends = list(dict.fromkeys(each for each in found if each not in (None, _NO_TOKEN)))
    settings = {key: config[key] for key in ("bos_token_id", "pad_token_id")}
    return settings | {"eos_token_id": ends[0] if len(ends) == 1 else ends or None}


def _write(path: Path, settings: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + os.linesep, "utf-8")
