"""Settings of the environment and of files: a project's fastkv.toml, then the user's config.toml.

Order: an option on the command line, its environment variable, the project file, the user's file,
the default. A project file comes with a folder, from anybody: it can choose among what is on this
disk and make fastkv stricter, but not have it write or open a connection.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import (
    DEFAULT_METHOD,
    DEFAULT_STORE_LIMIT_BYTES,
    EMBEDDED_MODEL,
    MethodName,
    Preset,
    StoreMode,
)
from .errors import UsageError
from .sizes import format_size, parse_size

PROJECT_FILE = "fastkv.toml"
USER_FILE_VARIABLE = "FASTKV_CONFIG"
_MAX_BYTES = 2**16
_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_STORE_MODES = dict.fromkeys(("0", "false", "no"), StoreMode.OFF) | dict.fromkeys(
    ("1", "true", "yes", "on"), StoreMode.EXACT
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that files may hold.

    Attributes:
        env: its environment variable.
        default: in words.
        parse: checks a value of a file; raises a UsageError or ValueError that says what is wrong.
        only: the one value that a project file may set; None allows all, "" none.
    """

    env: str
    default: str
    parse: Callable[[Any], str | bool]
    only: str | bool | None = None


def _choice(kind: type[MethodName] | type[Preset] | type[StoreMode]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in list(kind):
            raise ValueError(f"choose one of {', '.join(kind)}")
        return str(value)

    return parse


def _model(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("give the name of a model, in quotes")
    return value


def _size(value: Any) -> str:
    parse_size(str(value))
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("give true or false")  # noqa: TRY004 (of a file, not of a caller)
    return value


SETTINGS: dict[str, Setting] = {
    "model": Setting("FASTKV_MODEL", EMBEDDED_MODEL, _model),
    "method": Setting("FASTKV_METHOD", DEFAULT_METHOD, _choice(MethodName)),
    "preset": Setting(
        "FASTKV_PRESET", f"{Preset.BALANCED}; {Preset.QUALITY} for summaries", _choice(Preset)
    ),
    "store": Setting("FASTKV_STORE", StoreMode.EXACT, _choice(StoreMode), only=StoreMode.OFF),
    "store_limit": Setting(
        "FASTKV_STORE_LIMIT", format_size(DEFAULT_STORE_LIMIT_BYTES), _size, only=""
    ),
    "offline": Setting("FASTKV_OFFLINE", "false", _flag, only=True),
}


@dataclass(frozen=True, slots=True)
class FileValue:
    """A setting as a file has it.

    Attributes:
        value: checked.
        path: the file.
        is_project: whether it is a project's.
    """

    value: str | bool
    path: Path
    is_project: bool


def user_file() -> Path | None:
    """The user's file, which need not exist: FASTKV_CONFIG, else in the platform's config folder.

    None where there is no home folder.
    """
    if named := os.environ.get(USER_FILE_VARIABLE):
        return Path(named).expanduser().absolute()
    import platformdirs

    try:
        folder = platformdirs.user_config_path("fastkv")
    except RuntimeError:
        return None
    return folder / "config.toml" if folder.is_absolute() else None


def project_file() -> Path | None:
    """The nearest fastkv.toml: in the current folder, or above it inside a repository or the home.

    Elsewhere only the current folder counts: above it, as in /tmp, anybody may have put one.
    """
    try:
        here = Path.cwd()
    except OSError:  # it was deleted
        return None
    home = os.path.realpath(os.path.expanduser("~"))  # noqa: PTH111 (does not raise)
    folders = []
    for folder in (here, *here.parents):
        folders.append(folder)
        if str(folder) == home or os.path.lexists(folder / ".git"):
            break
    else:
        folders = [here]
    found = (folder / PROJECT_FILE for folder in folders)
    return next((path for path in found if os.path.lexists(path)), None)


def find_in_files(name: str) -> FileValue | None:
    """A setting as the project file has it, else the user's; None if neither has it.

    Raises:
        UsageError: when a file cannot be read or holds something wrong, with its line.
    """
    for path, is_project in ((project_file(), True), (user_file(), False)):
        if path is not None:
            values = read_settings(path, is_project=is_project)
            if name in values:
                return FileValue(values[name], path, is_project)
    return None


def read_settings(path: Path, *, is_project: bool = False) -> dict[str, str | bool]:
    """The settings in a file, checked; none where there is no file.

    Args:
        path: the file.
        is_project: whether only what is harmless is allowed.

    Raises:
        UsageError: when it cannot be read or holds something wrong, with its line.
    """
    text = _read(path)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT.search(str(error))
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        what = _AT.sub("", str(error))
        raise _wrong(path, line, what[:1].lower() + what[1:], "correct it") from None
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply", "correct it") from None
    return {key: _check(key, value, path, text, is_project) for key, value in parsed.items()}


def _check(key: str, value: Any, path: Path, text: str, is_project: bool) -> str | bool:
    line = _line_of(key, text)
    setting = SETTINGS.get(key)
    if setting is None:
        known = ", ".join(SETTINGS)
        raise _wrong(path, line, f"unknown setting {key[:60]!r}", f"settings are {known}")
    try:
        found = setting.parse(value)
    except UsageError as error:
        raise _wrong(path, line, error.message, error.hint) from None
    except (ValueError, TypeError) as error:
        raise _wrong(path, line, f"{key} = {value!r:.60} is wrong", str(error)) from None
    if is_project and setting.only is not None and found != setting.only:
        allowed = "" if setting.only == "" else f", except {key} = {json.dumps(setting.only)}"
        raise _wrong(
            path,
            line,
            f"a project file cannot set {key}{allowed}",
            f"set it in {user_file() or 'the environment'}",
        )
    return found


def _read(path: Path) -> str:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MAX_BYTES:
            raise UsageError(f"{path} is no file of settings", "remove it")
        data = path.read_bytes()
        return data.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _wrong(path, line, "it is not UTF-8", "convert the file") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read {path} ({reason})", "check its permissions") from None


def _line_of(key: str, text: str) -> int:
    begins = re.compile(rf"""\s*(\[\s*)?["']?{re.escape(key)}["']?\s*[\].=]""")
    lines = text.splitlines()
    return next((at for at, line in enumerate(lines, 1) if begins.match(line)), 1)


def _wrong(path: Path, line: int, what: str, hint: str) -> UsageError:
    return UsageError(f"{path}, line {line}: {what}", hint)


def with_setting(text: str, key: str, value: str) -> str:
    """The text of a file with a setting changed or added; comments and the rest stay.

    Raises:
        UsageError: when the text is written in a way that needs a person.
    """
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    present = re.compile(rf"^[ \t]*{key}[ \t]*=.*$", re.MULTILINE)
    changed = present.sub(lambda _: line, text, count=1)
    if present.search(text) is None:
        changed = f"{line}\n{text}"
    try:
        if tomllib.loads(changed).get(key) == value:
            return changed
    except tomllib.TOMLDecodeError:
        pass
    raise UsageError(f"cannot change {key} in the file", f"write {line} into it yourself")


def store_mode(option: StoreMode | None = None) -> StoreMode:
    """How to store document states: the option, else FASTKV_STORE, a file, or exact.

    Raises:
        UsageError: when the variable is neither a mode, nor yes or no, or a file is wrong.
    """
    if option is not None:
        return option
    value = os.environ.get("FASTKV_STORE", "").strip().lower()
    if not value:
        found = find_in_files("store")
        return StoreMode.EXACT if found is None else StoreMode(str(found.value))
    try:
        return _STORE_MODES.get(value) or StoreMode(value)
    except ValueError:
        raise UsageError(
            f"FASTKV_STORE={value} is unknown", f"set it to {', '.join(StoreMode)}"
        ) from None


def store_limit_bytes() -> int:
    """The size limit of the stored states: FASTKV_STORE_LIMIT, else the user's file, or 5 GB.

    Raises:
        UsageError: when the variable is not a size, or a file is wrong.
    """
    value = os.environ.get("FASTKV_STORE_LIMIT", "").strip()
    if not value:
        found = find_in_files("store_limit")
        return DEFAULT_STORE_LIMIT_BYTES if found is None else parse_size(str(found.value))
    try:
        return parse_size(value)
    except UsageError as error:
        raise UsageError(f"FASTKV_STORE_LIMIT: {error.message}", error.hint) from None
