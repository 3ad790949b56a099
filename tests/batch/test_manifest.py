"""The manifest of a batch: one folder holds the results of one kind, whoever comes first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.batch.batch_folder import BatchFolder, open_to_run
from fastkv_cli.batch.batch_status import read_status
from fastkv_cli.batch.batch_task import BatchTask
from fastkv_cli.batch.manifest import (
    begin_manifest,
    check_manifest,
    describe_settings,
    read_manifest,
    settle_model,
)
from fastkv_cli.errors import OutputError, UsageError
from fastkv_cli.session.options import SessionOptions

MODEL = {"name": "one", "content": "1" * 64, "dtype": "float32"}


def settings_of(question: str) -> dict[str, Any]:
    return describe_settings([BatchTask("ask", {"question": question})], SessionOptions())


def test_a_run_whose_model_is_loading_refuses_others(tmp_path: Path) -> None:
    """A document of another question would be added to its index."""
    who, when = settings_of("Who?"), settings_of("When?")
    with open_to_run(tmp_path) as first, open_to_run(tmp_path) as second:
        runs = [first.run, second.run]
        begin_manifest(first, who, runs)
        assert (read_manifest(first) or {})["model"] is None
        assert read_status(tmp_path).model == ""
        check_manifest(second, when)  # it may be left from a run that loaded none
        with pytest.raises(UsageError, match=r"what is asked is .*Who\?.* there, .*When\?.* here"):
            begin_manifest(second, when, runs)
        begin_manifest(second, who, runs)
        settle_model(second, who, MODEL)
        settle_model(first, who, MODEL)
        with pytest.raises(UsageError, match='model is "one" there, "two" here'):
            settle_model(first, who, MODEL | {"name": "two", "content": "2" * 64})
    for check in (check_manifest, begin_manifest):
        with pytest.raises(UsageError, match="what is asked"):
            check(BatchFolder(tmp_path, "third"), when)


def test_settings_that_no_model_was_loaded_for_are_replaced(tmp_path: Path) -> None:
    with open_to_run(tmp_path) as first:
        begin_manifest(first, settings_of("Who?"))
    with open_to_run(tmp_path) as second:
        begin_manifest(second, settings_of("When?"), [first.run, second.run])
        settle_model(second, settings_of("When?"), MODEL)
        assert read_manifest(second) == {
            "format": 1,
            "kind": "fastkv-batch",
            **settings_of("When?"),
            "model": MODEL,
        }


@pytest.mark.parametrize(
    "changed",
    [{"tasks": None}, {"tasks": [{"kind": "ask"}]}, {"model": "one"}, {"model": {"name": "one"}}],
    ids=str,
)
def test_a_damaged_manifest(tmp_path: Path, changed: dict[str, Any]) -> None:
    folder = BatchFolder(tmp_path)
    whole = {"format": 1, "kind": "fastkv-batch", **settings_of("Who?"), "model": MODEL}
    folder.manifest_path.write_text(json.dumps(whole | changed))
    with pytest.raises(OutputError, match="cannot be read"):
        check_manifest(folder, settings_of("Who?"))
