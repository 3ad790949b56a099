"""The commands of `fastkv models`: list, describe and remove models on disk."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ..config import EMBEDDED_MODEL
from ..errors import ModelError, OutputError, UsageError
from ..models import full_name
from ..models.on_disk import FoundModel, Place, find_models
from ..models.own_store import StoredModel, remove_stored, stored_models
from ..output.console import Messages, ask_yes, is_at_terminal, stderr_console
from ..output.output_file import write_file
from ..output.render import model_tables
from ..session.model_listing import describe_model, list_models
from ..settings import USER_FILE_VARIABLE, read_settings, user_file, with_setting
from ..sizes import format_size
from .effective_settings import effective
from .housekeeping import write_tables, write_text


def show_models(*, json: bool) -> None:
    """Print the models on disk, as tables or as JSON."""
    models, stored = list_models(), stored_models()
    if json:
        write_text(model_tables.list_json(models, stored))
    else:
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
        write_tables(*model_tables.list_tables(models, stored, columns))


def show_model(name: str, *, json: bool) -> None:
    """Print what is known of one model.

    Raises:
        ModelError: when it is not on this disk.
        UsageError: when the name is a part of several.
    """
    model = describe_model(_find(name))
    if json:
        write_text(model_tables.model_json(model))
    else:
        write_tables(model_tables.model_table(model))


def remove_models(name: str, *, yes: bool, quiet: bool) -> None:
    """Remove what fastkv stored under a name.

    Raises:
        UsageError: when it stored nothing of that name, or nobody confirms.
        OutputError: when it cannot be removed.
    """
    chosen = _stored_as(name)
    if not (yes or is_at_terminal()):
        raise UsageError(
            "removing a model asks for confirmation, and there is no terminal", "add --yes"
        )
    messages = Messages(stderr_console(), quiet=quiet)
    size = format_size(sum(each.num_bytes for each in chosen))
    paths = " and ".join(str(each.path) for each in chosen)
    if not yes and not ask_yes(f"Remove {paths}, {size}?"):
        messages.note("nothing was removed")
        return
    for each in chosen:
        remove_stored(each)
        messages.note(f"removed {each.path}, {format_size(each.num_bytes)}")


def set_default(name: str, *, quiet: bool) -> None:
    """Make a model the user's default.

    Raises:
        ModelError: when it is on this disk and cannot be used, or its name means nothing.
        UsageError: when there is no place for the user's file, or it is wrong.
        OutputError: when the file cannot be written.
    """
    chosen = _full(name)
    path = user_file()
    if path is None:
        raise UsageError(
            "no home folder is known to keep settings in", f"set {USER_FILE_VARIABLE} to a file"
        )
    read_settings(path)  # what is wrong in it is said first
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    changed = with_setting(text, "model", chosen)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror})", "free some space") from error
    write_file(path, changed.encode())
    messages = Messages(stderr_console(), quiet=quiet)
    messages.note(f"{chosen} is the default model now, by {path}")
    wins = effective("model")
    if wins.value != chosen:
        messages.warn(f"here {wins.source} sets another model: {wins.value}")


def _full(name: str) -> str:
    """The name to keep: whole, and a path from the root."""
    path = Path(name).expanduser()
    is_path = name != EMBEDDED_MODEL and path.exists()
    name = str(path.absolute()) if is_path else full_name(name)
    on_disk = {model.name: model for model in find_models()}
    found = _find(name) if is_path else on_disk.get(name)
    if found is not None and found.place is not Place.EMBEDDED:
        model = describe_model(found)
        if model.facts is None:
            raise ModelError(f"{name} {model.problem}", model.hint)
    return name


def _find(name: str) -> FoundModel:
    """The model on disk with a name, or at a path."""
    path = Path(name).expanduser()
    if name != EMBEDDED_MODEL and path.exists():
        return FoundModel(name, Place.FOLDER, path, () if path.is_dir() else (path,))
    models = {model.name: model for model in find_models()}
    found = models.get(name) or models.get(full_name(name))
    if found is None:
        raise ModelError(f"{name} is not on this disk", "list what is with fastkv models")
    return found


def _stored_as(name: str) -> list[StoredModel]:
    """What fastkv stored under a name; of the embedded model also its prepared folders."""
    stored = stored_models()
    chosen = [
        each
        for each in stored
        if each.name == name or (name == EMBEDDED_MODEL and each.name.startswith(f"{name}-"))
    ]
    if chosen:
        return chosen
    other = next((model for model in find_models() if model.name == name), None)
    if other is not None and other.place is not Place.EMBEDDED:
        raise UsageError(
            f"{name} belongs to {other.place}, and fastkv removes only what it stored itself",
            f"remove it with {other.place}",
        )
    raise UsageError(f"fastkv stored nothing named {name!r}", "fastkv models lists what it did")
