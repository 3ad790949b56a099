"""How states are kept: by an option, by the environment, or as usual."""

from __future__ import annotations

import re

import pytest
from processes import Capture

from fastkv_cli.cli.app import run
from fastkv_cli.cli.option_sets import RunOptions
from fastkv_cli.config import StoreMode
from fastkv_cli.errors import ExitCode, UsageError
from fastkv_cli.settings import store_limit_bytes, store_mode


@pytest.mark.parametrize(
    ("variable", "option", "mode"),
    [
        (None, None, StoreMode.EXACT),
        ("", None, StoreMode.EXACT),
        ("exact", None, StoreMode.EXACT),
        ("int8", None, StoreMode.INT8),
        ("OFF", None, StoreMode.OFF),
        ("0", None, StoreMode.OFF),
        ("false", None, StoreMode.OFF),
        ("no", None, StoreMode.OFF),
        (" 1 ", None, StoreMode.EXACT),
        ("True", None, StoreMode.EXACT),
        ("yes", None, StoreMode.EXACT),
        ("off", StoreMode.INT8, StoreMode.INT8),
        ("exact", StoreMode.OFF, StoreMode.OFF),
        ("nonsense", StoreMode.OFF, StoreMode.OFF),
    ],
)
def test_the_option_then_the_variable(
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    option: StoreMode | None,
    mode: StoreMode,
) -> None:
    monkeypatch.delenv("FASTKV_STORE", raising=False)
    if variable is not None:
        monkeypatch.setenv("FASTKV_STORE", variable)
    assert store_mode(option) == mode
    assert RunOptions(store=option).store_mode == mode
    assert RunOptions(no_store=True).store_mode == StoreMode.OFF


def test_a_limit_of_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTKV_STORE_LIMIT", raising=False)
    assert store_limit_bytes() == 5_000_000_000
    monkeypatch.setenv("FASTKV_STORE_LIMIT", "500MB")
    assert store_limit_bytes() == 500_000_000
    monkeypatch.setenv("FASTKV_STORE_LIMIT", "some")
    with pytest.raises(UsageError, match="FASTKV_STORE_LIMIT: cannot read the size 'some': write"):
        store_limit_bytes()


@pytest.mark.parametrize("command", ["ask", "summarize"])
@pytest.mark.parametrize(
    ("options", "variable", "words"),
    [
        ("--store int4", "", "'int4' is not one of 'exact', 'int8', 'off'"),
        ("--store int8 --no-store", "", "--no-store and --store int8 exclude each other: give one"),
        ("--no-store --store exact", "", "--no-store and --store exact exclude each other"),
        ("", "maybe", "FASTKV_STORE=maybe is unknown: set it to exact, int8, off"),
    ],
)
def test_wrong_usage(
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    options: str,
    variable: str,
    words: str,
) -> None:
    monkeypatch.setenv("FASTKV_STORE", variable)
    arguments = ["nowhere.txt", *(["Who?"] if command == "ask" else [])]
    assert run([command, *arguments, *options.split()]) == ExitCode.USAGE
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert re.search(words, stderr)


def test_off_twice_is_off() -> None:
    assert RunOptions(no_store=True, store=StoreMode.OFF).store_mode == StoreMode.OFF
