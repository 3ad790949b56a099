"""Models from the Hugging Face hub, in the standard cache that other programs share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from logging import ERROR
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .checked import check_quantization, read_object
from .files import ModelFiles, ModelKind, Progress, ProgressCallback
from .local import check_folder
from .supported import check_model_type
from .text_part import text_config

# Files to download; other formats of the same weights, and folders with other exports, are not.
_WANTED = [
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
    "tekken.json",
    "*.safetensors",
    "*.safetensors.index.json",
]
_UNWANTED = ["*/*", "consolidated*"]
_TIMEOUT_S = 10


def resolve(
    name: str, repo: str, revision: str | None, *, offline: bool, on_progress: ProgressCallback
) -> ModelFiles:
    """Find the snapshot of a hub model: in the cache if it is complete there, else by download.

    A cached snapshot is used without asking for a newer one: that keeps runs reproducible, and
    needs no network. The config is downloaded first, so that an unsupported family costs no large
    download.

    Raises:
        ModelError: when there is no such model, it is gated, it is not cached while offline, the
            network is down, or the family is not supported.
    """
    try:
        cache_folder()
    except RuntimeError as error:
        raise ModelError(
            f"no home folder is known for the Hugging Face cache, in which {name} would be",
            "set HF_HOME to a folder",
        ) from error
    with _quiet():
        try:
            folder = _cached(repo, revision)
            if offline or _is_complete(folder, name):
                check_folder(folder, name)
                return ModelFiles(name, folder, None, folder.name, ModelKind.HUB)
        except _errors().LocalEntryNotFoundError as error:
            if offline:
                raise _explain(error, name, repo) from error
        except _errors().HFValidationError as error:
            raise _explain(error, name, repo) from error
        try:
            folder = _download(name, repo, revision, on_progress)
        except ModelError:
            raise
        except Exception as error:
            raise _explain(error, name, repo) from error
    check_folder(folder, name)
    return ModelFiles(name, folder, None, folder.name, ModelKind.HUB)


def _cached(repo: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    config = hf_hub_download(repo, "config.json", revision=revision, local_files_only=True)
    return Path(config).parent


def _check_config(path: Path, name: str) -> None:
    """Raise a ModelError unless models with this config.json are supported."""
    config = text_config(read_object(path, name))
    check_model_type(config.get("model_type"), name)
    check_quantization(config, name)


def _is_complete(folder: Path, name: str) -> bool:
    """Whether the snapshot is complete.

    Raises:
        ModelError: when its family is not supported, which no download changes.
    """
    _check_config(folder / "config.json", name)
    try:
        check_folder(folder, name)
    except ModelError:
        return False
    return True


def _download(name: str, repo: str, revision: str | None, on_progress: ProgressCallback) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    on_progress(Progress(f"looking up {name}"))
    # Without a timeout the client would try for half a minute before it reports no answer.
    commit = HfApi().model_info(repo, revision=revision, timeout=_TIMEOUT_S).sha
    config = Path(hf_hub_download(repo, "config.json", revision=commit))
    _check_config(config, name)
    folder = snapshot_download(
        repo,
        revision=revision,
        allow_patterns=_WANTED,
        ignore_patterns=_UNWANTED,
        tqdm_class=_bar(f"downloading {name}", on_progress),
    )
    return Path(folder)


def cache_folder() -> Path:
    """The cache folder by huggingface_hub's rules; importing it is too slow for TAB completion."""
    environ = os.environ
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(variable):
            return Path(os.path.expandvars(environ[variable])).expanduser()
    if environ.get("HF_HOME"):
        return Path(os.path.expandvars(environ["HF_HOME"])).expanduser() / "hub"
    home = environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "huggingface" / "hub"


def _bar(activity: str, on_progress: ProgressCallback) -> Any:
    """A replacement for the tqdm class that draws nothing and reports the bytes as progress.

    The hub counts bytes in one bar and files in another; both have this class, so bars that do not
    count bytes report nothing.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # Some versions count received and written bytes in two bars; only one is reported.
            is_received = kwargs.get("desc") == "Downloading bytes"
            self._counts_bytes = kwargs.get("unit") == "B" and not is_received
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs | {"disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            # A disabled tqdm counts nothing.
            self.n += n or 0
            if self._counts_bytes:
                on_progress(Progress(activity, self.n, self.total or None, "bytes"))
            return None

    return Bar


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub's client from writing to stderr; failures are raised as errors."""
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _errors() -> Any:
    from huggingface_hub import errors

    return errors


def _explain(error: Exception, name: str, repo: str) -> ModelError:
    """The error message and hint for an exception of the hub's client."""
    errors = _errors()
    page = f"https://huggingface.co/{repo}"
    revision = name.partition("@")[2] or "main"
    network_forbidden = (
        f"{name} is not in the Hugging Face cache, and the network may not be used",
        "run once without --offline and HF_HUB_OFFLINE to download it",
    )
    # The first match counts: GatedRepoError is also a RepositoryNotFoundError.
    known: list[tuple[type[Exception], tuple[str, str]]] = [
        (
            errors.GatedRepoError,
            (f"{name} is gated", f"accept its terms at {page}, then log in with: hf auth login"),
        ),
        (
            errors.RevisionNotFoundError,
            (f"there is no revision {revision} of {repo}", f"see {page}"),
        ),
        (
            errors.RepositoryNotFoundError,
            (
                f"there is no model {repo} on Hugging Face, or it is private",
                "check the spelling; for a private model log in with: hf auth login",
            ),
        ),
        (
            errors.RemoteEntryNotFoundError,
            (f"{repo} has no config.json, so it is not a transformers model", f"see {page}"),
        ),
        (
            errors.HFValidationError,
            (f"{name!r} is not a Hugging Face id", "ids look like org/name"),
        ),
        (errors.OfflineModeIsEnabled, network_forbidden),
        (errors.LocalEntryNotFoundError, network_forbidden),
        (
            errors.HfHubHTTPError,
            (f"Hugging Face does not serve {name} ({_first_line(error)})", "try again later"),
        ),
    ]
    for kind, (message, hint) in known:
        if isinstance(error, kind):
            return ModelError(message, hint)
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return ModelError(
            f"cannot store {name} in the Hugging Face cache ({error.strerror})",
            "free some space, or set HF_HOME to another folder",
        )
    return ModelError(
        f"cannot reach Hugging Face for {name}, which is not in the cache ({_first_line(error)})",
        "check the network and try again, or use a model that is on disk",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(" .")
