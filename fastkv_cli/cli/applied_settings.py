"""Options that nobody gave on the command line or in the environment, from files of settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, UsageError
from ..settings import FileValue, find_in_files

if TYPE_CHECKING:
    import typer

# `store` and `store_limit` are read where they are used: Python's sessions keep to them, too.
_OPTIONS = ("model", "method", "preset", "offline")


@contextmanager
def applied_settings(context: typer.Context, values: dict[str, Any]) -> Iterator[None]:
    """Put settings from files in the place of defaults; the command runs inside the context.

    A model that a project file names is told of, and never downloaded: the file comes with a
    folder, perhaps from a stranger.

    Args:
        context: knows which options are defaults.
        values: of the options, by their names; changed in place.

    Raises:
        UsageError: when a file is wrong.
        ModelError: as the command, saying which file named the model.
    """
    found = {}
    for name in _OPTIONS:
        source = context.get_parameter_source(name) if name in values else None
        if source is not None and source.name == "DEFAULT":
            setting = find_in_files(name)
            if setting is not None:
                found[name] = setting
                values[name] = setting.value
    model = found.get("model")
    if model is not None and model.is_project:
        values["model"] = _from_project(model)
        if "offline" in values:
            values["offline"] = True
        _tell(values, model.path)
    if "model" in values:
        from ..models import full_name

        try:
            with _explained(model):
                values["model"] = full_name(values["model"])
        except ModelError:
            if model is not None:
                raise  # a name from the command line is resolved after the other options
    with _explained(model):
        yield


@contextmanager
def _explained(model: FileValue | None) -> Iterator[None]:
    """Say in the error of a model which file named it."""
    try:
        yield
    except ModelError as error:
        if model is None:
            raise
        how = "give it with --model to download it" if model.is_project else error.hint
        raise ModelError(f"{error.message} (named by {model.path})", how) from error


def _from_project(model: FileValue) -> str:
    """The model's name; a path counts from the folder of the file."""
    name = str(model.value)
    if name.startswith(("//", "\\\\")):
        raise UsageError(f"{model.path} names a model on another computer", "remove it there")
    try:
        inside = Path(model.path.parent, name)
        return str(inside) if inside.exists() else name
    except OSError:  # too long for a path
        return name


def _tell(values: dict[str, Any], path: Path) -> None:
    from ..output.console import Messages, stderr_console

    messages = Messages(stderr_console(), quiet=bool(values.get("quiet")))
    messages.note(f"model {values['model']}, by {path}")
