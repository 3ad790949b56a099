"""-o FILE: whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode


class TestFiles:
    """-o FILE."""

    def test_the_file_holds_what_stdout_would(
        self, options: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["summarize", "a.txt", *options]
        before = set(Path().iterdir())
        assert run(arguments) == 0
        stdout = capfd.readouterr().out
        umask = os.umask(0o027)
        try:
            assert run([*arguments, "-o", "out.txt"]) == 0
        finally:
            os.umask(umask)
        assert capfd.readouterr().out == ""
        assert Path("out.txt").read_text(encoding="utf-8") == stdout
        assert stat.S_IMODE(Path("out.txt").stat().st_mode) == 0o640
        assert set(Path().iterdir()) == before | {Path("out.txt")}

    def test_json_goes_into_it(self, options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["summarize", "a.txt", *options, "--json", "-o", "out.json"]) == 0
        assert capfd.readouterr().out == ""
        assert json.loads(Path("out.json").read_text(encoding="utf-8"))["schema"] == "fastkv/1"

    def test_force_replaces_and_keeps_the_rights(self, options: list[str]) -> None:
        Path("out.txt").write_text("old")
        Path("out.txt").chmod(0o604)
        assert run(["summarize", "a.txt", *options, "-o", "out.txt"]) == ExitCode.OUTPUT
        assert Path("out.txt").read_text() == "old"
        assert run(["summarize", "a.txt", *options, "-o", "out.txt", "--force"]) == 0
        assert Path("out.txt").read_text(encoding="utf-8") != "old"
        assert stat.S_IMODE(Path("out.txt").stat().st_mode) == 0o604

    def test_a_link_stays_a_link(self, options: list[str]) -> None:
        Path("link.txt").symlink_to("there.txt")
        assert run(["summarize", "a.txt", *options, "-o", "link.txt"]) == 0
        assert Path("link.txt").is_symlink()
        assert Path("there.txt").stat().st_size > 1

    def test_a_device_is_written_to(self, options: list[str]) -> None:
        assert run(["summarize", "a.txt", *options, "-o", os.devnull]) == 0
        assert not Path(os.devnull).is_file()

    def test_a_failed_run_leaves_the_old_file(self, options: list[str]) -> None:
        Path("out.txt").write_text("old")
        before = sorted(Path().iterdir())
        assert run(["summarize", "no.txt", *options, "-o", "out.txt", "--force"]) == ExitCode.INPUT
        assert Path("out.txt").read_text() == "old"
        assert sorted(Path().iterdir()) == before

    def test_names_beyond_utf8_do_no_harm(
        self, options: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        name = os.fsdecode(b"caf\xe9.txt")
        try:
            Path(name).write_text("The committee met.")
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
        assert run(["summarize", name, *options, "--json", "-o", "out.json"]) == 0
        report = json.loads(Path("out.json").read_text(encoding="utf-8"))
        assert ascii(report["documents"][0]["path"]) == ascii(name)  # a worker cannot send it
        assert run(["summarize", name, *options]) == 0


def test_killed_half_way_the_old_file_is_whole(tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: the name holds the old text or the new, never less."""
    code = """
import sys
from pathlib import Path
from fastkv_cli.output.console import AnswerWriter
writer = AnswerWriter(Path(sys.argv[1]), force=True)
writer.write("new " * 5_000_000)
print("now", flush=True)
writer.finish()
"""
    output = tmp_path / "out.txt"
    output.write_text("old")
    child = subprocess.Popen([sys.executable, "-c", code, output], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    assert output.read_text() in {"old", "new " * 5_000_000 + "\n"}
