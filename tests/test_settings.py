"""Settings from files: which wins, what a project may set, and what is wrong where."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from model_stores import ollama_model, small_gguf
from processes import Capture

from fastkv_cli.cli import first_note
from fastkv_cli.cli.app import run
from fastkv_cli.cli.option_sets import RunOptions, with_options
from fastkv_cli.config import EMBEDDED_MODEL, MethodName, Preset, StoreMode
from fastkv_cli.errors import ExitCode, ModelError, UsageError
from fastkv_cli.settings import (
    project_file,
    read_settings,
    store_limit_bytes,
    store_mode,
    with_setting,
)

Parse = Callable[..., RunOptions]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_package: None) -> Path:
    """The current folder, a repository, with two models in Ollama's store; no file of settings."""
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FASTKV_CONFIG", str(tmp_path / "config" / "user.toml"))
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    for name in [name for name in os.environ if name.startswith("FASTKV_")]:
        if name not in {"FASTKV_CONFIG", "FASTKV_HOME", "FASTKV_TEST_CACHE"}:
            monkeypatch.delenv(name)
    gguf = small_gguf(tmp_path / "a.gguf")
    for name in ("qwen3/4b", "llama3.2/1b"):
        ollama_model(tmp_path / "ollama", f"registry.ollama.ai/library/{name}", gguf)
    return project


@pytest.fixture
def parse() -> Parse:
    """Parse a command line as `ask` does; gives the options."""
    received: list[RunOptions] = []

    def command(*, options: RunOptions) -> None:
        received.append(options)

    app = typer.Typer()
    app.command()(with_options(command))

    def parsed(*arguments: str) -> RunOptions:
        app(args=list(arguments), standalone_mode=False)
        return received.pop()

    return parsed


def write_user(text: str) -> Path:
    path = Path(os.environ["FASTKV_CONFIG"])
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_what_wins(
    folder: Path, parse: Parse, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    assert parse().model == EMBEDDED_MODEL
    write_user('model = "llama3.2"\nmethod = "snapkv"\npreset = "fast"\nstore = "int8"\n')
    options = parse()
    assert options.model == "ollama:llama3.2:1b"  # the whole name
    assert (options.method, options.preset) == (MethodName.SNAPKV, Preset.FAST)
    assert (options.offline, options.store_mode) == (False, StoreMode.INT8)
    assert capfd.readouterr().err == ""

    Path("fastkv.toml").write_text('model = "ollama:qwen3:4b"\npreset = "quality"\nstore = "off"\n')
    Path("deep", "er").mkdir(parents=True)
    monkeypatch.chdir("deep/er")
    options = parse()
    assert (options.model, options.preset) == ("ollama:qwen3:4b", Preset.QUALITY)
    assert (options.method, options.store_mode) == (MethodName.SNAPKV, StoreMode.OFF)
    assert options.offline  # it may not be downloaded
    assert capfd.readouterr().err == f"model ollama:qwen3:4b, by {folder / 'fastkv.toml'}\n"
    parse("-q")
    assert capfd.readouterr().err == ""

    monkeypatch.setenv("FASTKV_MODEL", "org/name")
    monkeypatch.setenv("FASTKV_STORE", "exact")
    options = parse("--preset", "balanced")
    assert (options.model, options.preset) == ("org/name", Preset.BALANCED)
    assert (options.offline, options.store_mode) == (False, StoreMode.EXACT)
    options = parse("--model", EMBEDDED_MODEL, "--store", "off")
    assert (options.model, options.store_mode) == (EMBEDDED_MODEL, StoreMode.OFF)


def test_config_shows_where_each_comes_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    user = write_user('model = "org/name"\nstore_limit = "2GB"\noffline = true\n')
    Path("fastkv.toml").write_text('preset = "fast"')
    monkeypatch.setenv("FASTKV_METHOD", "full")
    monkeypatch.setenv("FASTKV_PDF_PASSWORD", "secret")
    assert run(["config", "--json"]) == 0
    stdout, stderr = capfd.readouterr()
    assert (stderr, "secret" in stdout) == ("", False)
    shown = json.loads(stdout)
    settings = {each["name"]: (each["value"], each["source"]) for each in shown["settings"]}
    assert settings["model"] == ("org/name", str(user))
    assert settings["offline"] == ("true", str(user))
    assert settings["store_limit"] == ("2GB", str(user))
    assert settings["preset"] == ("fast", str(folder / "fastkv.toml"))
    assert settings["method"] == ("full", "FASTKV_METHOD")
    assert settings["store"] == ("exact", "default")
    assert settings["dtype"] == ("auto", "default")
    assert shown["files"] == {"project": str(folder / "fastkv.toml"), "user": str(user)}
    assert store_limit_bytes() == 2_000_000_000
    assert run(["config"]) == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert ["method", "full", "FASTKV_METHOD"] in lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('model = "a"\nmethod "full"', "line 2: expected '=' after a key"),
        ('model = "a\n', "line 1: illegal character"),
        ("# one\n\ncolour = 1", "line 3: unknown setting 'colour': settings are model, method"),
        ("[fastkv]\nmodel = 'a'", "line 1: unknown setting 'fastkv'"),
        ("method = 'best'", "line 1: method = 'best' is wrong: choose one of fastkv-probe"),
        ("preset = ['fast']", r"line 1: preset = \['fast'\] is wrong"),
        ("offline = 1", "line 1: offline = 1 is wrong: give true or false"),
        ("\nstore_limit = 'much'", "line 2: cannot read the size 'much'"),
        ("model = 7", "line 1: model = 7 is wrong: give the name"),
        ("model = ''", "give the name of a model"),
        ('model = "\\u001b[2J"', "give the name of a model"),
        ("a = " + "[" * 5000, "nested too deeply|line 1"),
        (b"model = '\xff'", "line 1: it is not UTF-8"),
        ("#" * 70_000, "is no file of settings"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, text: str | bytes, words: str, capfd: Capture
) -> None:
    path = write_user("")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=words) as raised:
        read_settings(path)
    assert str(path) in str(raised.value)
    assert run(["config"]) == ExitCode.USAGE
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)


def test_a_project_file_is_harmless(
    folder: Path, parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path("fastkv.toml")
    for text, words in (
        ('store = "exact"', 'cannot set store, except store = "off"'),
        ('store = "int8"', "cannot set store"),
        ('store_limit = "9TB"', "cannot set store_limit: set it in"),
        ("offline = false", "cannot set offline, except offline = true"),
        ('output = "x"', "unknown setting 'output'"),
        ('model = "//host/share"', "on another computer"),
        (r"model = '\\host\share'", "on another computer"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            parse()
    file.write_text("offline = true")
    assert parse().offline
    # A model that is not there is not fetched, and the error says who named it.
    file.write_text('model = "nothing-such"')
    with pytest.raises(ModelError, match=r"named by .*fastkv\.toml\): give it with --model"):
        parse()
    # A path counts from the file's folder.
    small_gguf(folder / "models" / "own.gguf")
    file.write_text('model = "models/own.gguf"')
    Path("inner").mkdir()
    monkeypatch.chdir("inner")
    assert parse().model == str(folder / "models" / "own.gguf")

    file.unlink(missing_ok=True)
    (folder / "fastkv.toml").unlink()
    os.mkfifo(folder / "fastkv.toml")  # must not be waited for
    with pytest.raises(UsageError, match="is no file of settings"):
        parse()


def test_project_files_are_looked_for_up_to_the_repository_or_home(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = tmp_path / "fastkv.toml"
    above.write_text("offline = true")
    assert project_file() is None  # behind the root of the repository
    (folder / ".git").rmdir()
    assert project_file() == above  # in the home
    monkeypatch.setenv("HOME", "/nowhere")
    assert project_file() is None  # in a folder of neither, only the folder itself counts
    (folder / "fastkv.toml").write_text("")
    assert project_file() == folder / "fastkv.toml"
    assert store_mode() is StoreMode.EXACT


def test_a_default_model(folder: Path, parse: Parse, capfd: Capture) -> None:
    user = write_user('# mine\nmodel = "org/old"  # once\nstore = "off"\n')
    assert run(["models", "default", "qwen3"]) == 0
    said = f"ollama:qwen3:4b is the default model now, by {user}\n"
    assert capfd.readouterr() == ("", said)
    assert user.read_text() == '# mine\nmodel = "ollama:qwen3:4b"\nstore = "off"\n'
    assert parse().model == "ollama:qwen3:4b"

    own = small_gguf(folder / "own.gguf")
    user.unlink()
    assert run(["models", "default", "own.gguf", "-q"]) == 0
    assert (capfd.readouterr().err, parse().model) == ("", str(own))

    Path("fastkv.toml").write_text('model = "ollama:llama3.2:1b"')
    assert run(["models", "default", EMBEDDED_MODEL]) == 0
    shown = " ".join(capfd.readouterr().err.split())
    assert f"warning: here {folder / 'fastkv.toml'} sets another model" in shown
    assert run(["models", "default", "nothing"]) == ExitCode.MODEL
    (folder / "cut.gguf").write_bytes(own.read_bytes()[:2000])
    assert run(["models", "default", "cut.gguf"]) == ExitCode.MODEL
    assert read_settings(user) == {"model": EMBEDDED_MODEL}


def test_a_file_is_changed_with_care() -> None:
    assert with_setting("", "model", 'a "b"') == 'model = "a \\"b\\""\n'
    assert with_setting('store = "off"', "model", "a") == 'model = "a"\nstore = "off"'
    with pytest.raises(UsageError, match="write model = "):
        with_setting('model = """\na"""\n', "model", "a")


class Teletype:
    """A stream that says it is a terminal."""

    def __init__(self, stream: object) -> None:
        self.stream = stream

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


def test_the_embedded_model_is_introduced_once(
    folder: Path, parse: Parse, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    import sys

    parse()
    assert capfd.readouterr().err == ""  # pipes
    monkeypatch.setattr(sys, "stdout", Teletype(sys.stdout))
    monkeypatch.setattr(sys, "stderr", Teletype(sys.stderr))
    monkeypatch.setattr(first_note, "_BETTER", 1000)  # tiny models count as large
    for arguments in (["-q"], ["--json"], ["--dry-run"], ["--model", "ollama:qwen3:4b"]):
        parse(*arguments)
        assert capfd.readouterr().err == ""
    parse()
    shown = " ".join(capfd.readouterr().err.split())
    assert "smollm2-135m has 135 million parameters: it shows what fastkv does" in shown
    assert "fastkv models default ollama:" in shown
    parse()
    assert capfd.readouterr().err == ""

    cache = Path(os.environ["FASTKV_HOME"])
    (cache / "embedded-model-introduced").unlink()
    (cache / "embedded-model-introduced").symlink_to("/nowhere/at/all")  # cannot be written
    parse()
    assert capfd.readouterr().err == ""
