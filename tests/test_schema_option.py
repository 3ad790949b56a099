"""`fastkv ask --schema` on the command line: one JSON object on stdout, whatever comes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from processes import Capture

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

FIELDS = "vendor, total float, date: day of the invoice, phone"
TEXT = "Vendor: Cedar & Stone\nTotal: 12.50 EUR\nDate of invoice: 3. März 2026\n"
VALUE = {"vendor": "Cedar & Stone", "total": 12.5, "date": "2026-03-03", "phone": None}


@pytest.fixture
def invoice(options: list[str]) -> list[str]:
    """A command without its schema."""
    Path("invoice.txt").write_text(TEXT, encoding="utf-8")
    return ["ask", "invoice.txt", *options, "--max-tokens", "500"]


def test_stdout_is_one_object(invoice: list[str], capfd: Capture) -> None:
    assert run([*invoice, "--schema", FIELDS]) == 0
    stdout, stderr = capfd.readouterr()
    assert json.loads(stdout) == VALUE
    assert stdout.endswith("}\n")
    assert "invoice.txt" in stderr
    assert "Unsupported" not in stderr


def test_json_has_a_place_for_each_field(invoice: list[str], capfd: Capture) -> None:
    schema = {
        "properties": {
            name: {"type": "number" if name == "total" else ["string", "null"]}
            for name in ("vendor", "total")
        }
    }
    Path("fields.json").write_text(json.dumps(schema))
    assert run([*invoice, "--schema", "fields.json", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["object"] == {"vendor": "Cedar & Stone", "total": 12.5}
    assert json.loads(told["answer"]) == told["object"]
    assert told["fields"][1] == {
        "path": "total",
        "value": 12.5,
        "text": "12.50",
        "document": "invoice.txt",
        "page": None,
        "line": 2,
        "quote": told["fields"][1]["quote"],
        "supported": True,
    }
    assert "Total: 12.50 EUR" in told["fields"][1]["quote"]
    assert told["question"] is None


def test_stdin_and_rows(
    invoice: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = io.TextIOWrapper(io.BytesIO(b"- Desk lamp, 39.00\n- Chair, 120.00\n"))
    monkeypatch.setattr(sys, "stdin", data)
    assert run(["ask", *invoice[2:], "--schema", "item, price float", "--schema-multi"]) == 0
    assert json.loads(capfd.readouterr().out) == [
        {"item": "Desk lamp", "price": 39.0},
        {"item": "Chair", "price": 120.0},
    ]


def test_an_object_that_is_cut_is_an_error(invoice: list[str], capfd: Capture) -> None:
    limit = ["--max-tokens", "40"]
    assert run([*invoice, *limit, "--schema", FIELDS]) == ExitCode.INCOMPLETE.value == 8
    stdout, stderr = capfd.readouterr()
    assert json.loads(stdout).items() < VALUE.items()
    assert "fields do not fit --max-tokens: " in stderr


@pytest.mark.parametrize(
    ("added", "words"),
    [
        (["--schema", "total money"], "'money' is no type of total"),
        (
            ["--schema", '{"properties": {"a": {"type": "string", "pattern": "x"}}}'],
            "pattern is not",
        ),
        (["--schema", "{"], "is no JSON"),
        (["--schema-multi"], "--schema-multi needs --schema"),
        (["--schema", "a", "--question", "Who?"], "--schema and questions exclude each other"),
        (["--schema", "a", "--cite"], "--schema and --cite exclude each other"),
    ],
)
def test_wrong_usage(invoice: list[str], added: list[str], words: str, capfd: Capture) -> None:
    assert run([*invoice, *added]) == ExitCode.USAGE
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert words in " ".join(stderr.split())
    assert "Traceback" not in stderr


def test_no_document(options: list[str], capfd: Capture) -> None:
    assert run(["ask", "missing.txt", *options, "--schema", "a"]) == ExitCode.INPUT
    assert "missing.txt" in capfd.readouterr().err


def test_dry_run(invoice: list[str], capfd: Capture) -> None:
    assert run([*invoice, "--schema", FIELDS, "--dry-run", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["dry_run"] is True
