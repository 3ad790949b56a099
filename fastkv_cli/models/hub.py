"""Models of the Hugging Face hub, in the standard cache that other programs share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .files import ModelFiles, ModelKind, Progress, ProgressCallback
from .local import check_folder
from .supported import FAMILIES, check_model_type, read_config

# Formats of the same weights, and folders with other exports, are left where they are.
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


def resolve(
    name: str, repo: str, revision: str | None, *, offline: bool, on_progress: ProgressCallback
) -> ModelFiles:
    """The snapshot of a hub model, downloaded where it is not cached and `offline` is False.

    The config is fetched first, so that a model of another family costs no download.

    Raises:
        ModelError: when there is no such model, it is gated, it is not cached while offline, the
            network is down, or the family is not supported.
    """
    from huggingface_hub import hf_hub_download, snapshot_download

    try:
        on_progress(Progress(f"looking up {name}"))
        config = Path(
            hf_hub_download(repo, "config.json", revision=revision, local_files_only=offline)
        )
        check_model_type(read_config(config, name).get("model_type"), name)
        folder = Path(
            snapshot_download(
                repo,
                revision=config.parent.name,
                local_files_only=offline,
                allow_patterns=_WANTED,
                ignore_patterns=_UNWANTED,
                tqdm_class=_bar(f"downloading {name}", on_progress),
            )
        )
    except ModelError:
        raise
    except Exception as error:
        raise _explain(error, name, repo, offline) from error
    check_folder(folder, name)
    return ModelFiles(name, folder, None, folder.name, ModelKind.HUB)


def cached_names() -> list[str]:
    """The ids of the cached models whose family is supported; never raises."""
    names = []
    try:
        for folder in sorted(_cache().glob("models--*--*")):
            configs = folder.glob("snapshots/*/config.json")
            if any(_is_supported(config) for config in configs):
                names.append(folder.name.removeprefix("models--").replace("--", "/", 1))
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return names
    return names


def _is_supported(config: Path) -> bool:
    try:
        return read_config(config, config.name).get("model_type") in FAMILIES
    except ModelError:
        return False


def _cache() -> Path:
    """The cache as huggingface_hub finds it, whose import is too slow for a TAB."""
    environ = os.environ
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(variable):
            return Path(os.path.expandvars(environ[variable])).expanduser()
    if environ.get("HF_HOME"):
        return Path(os.path.expandvars(environ["HF_HOME"])).expanduser() / "hub"
    home = environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "huggingface" / "hub"


def _bar(activity: str, on_progress: ProgressCallback) -> Any:
    """A class that stands in for tqdm: draws nothing, and passes the bytes on.

    The hub counts the bytes in a bar of its own beside that of the files; its bars share one
    class, so those that do not count bytes stay silent.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # Some versions count what comes in and what is written in two bars: one will do.
            coming_in = kwargs.get("desc") == "Downloading bytes"
            self._counts_bytes = kwargs.get("unit") == "B" and not coming_in
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs | {"disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            # A disabled tqdm counts nothing.
            self.n += n or 0
            if self._counts_bytes:
                on_progress(Progress(activity, self.n, self.total or None, "bytes"))
            return None

    return Bar


def _explain(error: Exception, name: str, repo: str, offline: bool) -> ModelError:
    """What went wrong between here and the hub, and what to do about it."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repo}"
    # The first that fits counts: a gated repository is also one that is not found.
    known: list[tuple[type[Exception], str, str]] = [
        (
            errors.GatedRepoError,
            f"{name} is gated",
            f"accept its terms at {page}, then log in with: hf auth login",
        ),
        (
            errors.RevisionNotFoundError,
            f"there is no revision {name.partition('@')[2] or 'main'} of {repo}",
            f"see {page}",
        ),
        (
            errors.RepositoryNotFoundError,
            f"there is no model {repo} on Hugging Face, or it is private",
            "check the spelling; for a private model log in with: hf auth login",
        ),
        (
            errors.RemoteEntryNotFoundError,
            f"{repo} has no config.json, so it is no model for transformers",
            f"see {page}",
        ),
        (
            errors.HFValidationError,
            f"{name!r} is not a Hugging Face id",
            "ids look like org/name",
        ),
        (
            errors.LocalEntryNotFoundError,
            f"{name} is not in the Hugging Face cache, and the network is off limits",
            "run once without --offline and HF_HUB_OFFLINE to download it",
        ),
    ]
    if isinstance(error, errors.LocalEntryNotFoundError) and not _is_offline(error, offline):
        return ModelError(
            f"cannot reach Hugging Face for {name}, and it is not in the cache",
            "check the network, or use a model that is on disk",
        )
    for kind, message, hint in known:
        if isinstance(error, kind):
            return ModelError(message, hint)
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return ModelError(
            f"cannot store {name} in the Hugging Face cache ({error.strerror})",
            "free some space, or set HF_HOME to another folder",
        )
    reason = str(error).strip().splitlines()
    return ModelError(
        f"cannot download {name} ({reason[0] if reason else type(error).__name__})",
        "check the network and try again; what was downloaded so far is kept",
    )


def _is_offline(error: Exception, offline: bool) -> bool:
    from huggingface_hub import errors

    return offline or isinstance(error.__cause__, errors.OfflineModeIsEnabled)
