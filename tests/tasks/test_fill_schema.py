"""Fields of a schema: from the places that name them, else chosen by a model that knows nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from works import listen_to, make_work

from fastkv_cli import Document, Engine
from fastkv_cli.config import Sampling
from fastkv_cli.documents import Page
from fastkv_cli.errors import NotSupportedError
from fastkv_cli.field_values import FilledSchema
from fastkv_cli.fields.read_schema import read_schema
from fastkv_cli.fields.validation import problems
from fastkv_cli.tasks import Outcome, Work, fill_schema
from fastkv_cli.tasks.corpus import join_documents
from fastkv_cli.tasks.fill_schema import fill

INVOICE = """INVOICE

Vendor: Cedar & Stone Ltd
Invoice date: May 18, 2023
Due date: 2023-06-19
Total due: $4,258.98
VAT 20%: $709.83
Colours: red, green and blue

Item             Quantity    Unit price
Office chair     4           129.50
Desk lamp        12          39.00
"""
FIELDS = "vendor, total float: amount due, date: invoice date, due_date, phone"


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


def filled(work: Work, schema: str | dict[str, Any], *, multi: bool = False) -> FilledSchema:
    """The answer; it validates, and its text is its value."""
    read = read_schema(schema if isinstance(schema, str) else json.dumps(schema), multi=multi)
    *_, outcome = fill(work, read)
    assert isinstance(outcome, Outcome)
    assert outcome.filled is not None
    assert json.loads(outcome.generation.text) == outcome.filled.value
    if not outcome.filled.missing:
        assert problems(outcome.filled.value, read) == []
    return outcome.filled


def test_named_values_need_no_model(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = listen_to(engine, monkeypatch)
    found = filled(make_work(engine, INVOICE, 512), FIELDS)
    assert found.value == {
        "vendor": "Cedar & Stone Ltd",
        "total": 4258.98,
        "date": "2023-05-18",
        "due_date": "2023-06-19",
        "phone": None,
    }
    date = found.fields[2]
    assert (date.path, date.value, date.text) == ("date", "2023-05-18", "May 18, 2023")
    assert (date.document, date.page, date.line) == ("a.txt", None, 4)
    assert date.quote is not None
    assert "Invoice date: May 18, 2023" in date.quote
    assert date.supported
    assert (found.fields[4].text, found.fields[4].supported) == (None, False)
    assert prompts == []


def test_pages(engine: Engine) -> None:
    first, second = "Nothing.", "Vendor: Cedar"
    text = f"{first}\n\n{second}"
    pages = (Page(1, 0, len(first)), Page(2, len(first) + 2, len(text)))
    document = Document("a.pdf", text, 2, pages, ())
    work = replace(make_work(engine, text, 99), corpus=join_documents([document], engine.tokenizer))
    [vendor] = filled(work, "vendor").fields
    assert (vendor.page, vendor.line, vendor.quote) == (2, None, "Vendor: Cedar")


@pytest.mark.parametrize("group", [1, 3])
def test_the_model_chooses_what_is_in_the_text(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    """Each choice is a value of the type, or null; no two prompts take the same place."""
    defaults = fill_schema.fill.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "fields_a_prompt", group)
    prompts = listen_to(engine, monkeypatch)
    text = "Anna Keller met Bruno Costa on 3 May 2024. They paid 17 and 25.50 in Lyon."
    for seed in range(2):
        work = replace(make_work(engine, text, 512), sampling=Sampling(2.0, seed))
        value = filled(work, "mayor, baker, cost float, born date, sum int, ok bool").value
        assert value["mayor"] in {None, "Anna Keller", "Bruno Costa", "Keller", "Costa", "Lyon"}
        assert group > 1 or value["baker"] is None or value["baker"] != value["mayor"]
        assert value["cost"] in {None, 17, 25.5}
        assert value["sum"] in {None, 17}
        assert value["born"] in {None, "2024-05-03"}
        assert value["ok"] in {None, True, False}
    assert len(prompts) == (12 if group == 1 else 4)


def test_without_drafts_each_pass_gives_a_token(engine: Engine) -> None:
    text = "Anna Keller met Bruno Costa on 3 May 2024. They paid 17 and 25.50 in Lyon."
    work = make_work(Engine(engine.loaded, max_draft=0), text, 512)
    *_, outcome = fill(work, read_schema("mayor, cost float"), fields_a_prompt=1)
    assert isinstance(outcome, Outcome)
    assert outcome.generation.stats.tokens_per_pass == 1


def test_what_must_be_there_is(engine: Engine) -> None:
    kinds = {"a": "string", "b": "integer", "c": "number", "e": "boolean"}
    properties: dict[str, Any] = {name: {"type": kind} for name, kind in kinds.items()}
    properties["d"] = {"type": "string", "format": "date"}
    properties["f"] = {"enum": ["x y", 2]}
    properties["g"] = {"type": "array", "items": {"type": "string"}}
    properties["h"] = {"type": "object", "properties": {"i": {"type": "string"}}}
    found = filled(
        make_work(engine, "…", 512), {"properties": properties, "required": list(properties)}
    )
    assert found.value["g"] == []
    assert found.value["h"] == {}
    assert not any(field.supported for field in found.fields)
    assert filled(make_work(engine, "…", 512), {"properties": properties}).value.keys() <= {*"efg"}


def test_lists(engine: Engine) -> None:
    row = {
        "type": "object",
        "required": ["item"],
        "properties": {"item": {"type": "string"}, "price": {"type": "number"}},
    }
    schema = {
        "properties": {
            "colours": {"type": "array", "items": {"type": "string"}},
            "rows": {"type": "array", "items": row},
            "total": {"type": ["number", "null"]},
        }
    }
    found = filled(make_work(engine, INVOICE, 512), schema)
    assert found.value == {
        "colours": ["red", "green", "blue"],
        "rows": [{"item": "Office chair", "price": 129.5}, {"item": "Desk lamp", "price": 39.0}],
        "total": 4258.98,
    }
    assert [field.path for field in found.fields][2:5] == [
        "colours[2]",
        "rows[0].item",
        "rows[0].price",
    ]
    assert (found.fields[6].text, found.fields[6].line) == ("39.00", 12)


@pytest.mark.parametrize(
    "text",
    [
        "Item            Price\nOffice chair    129.50\nDesk lamp       39.00\n",
        "Item: Office chair\nPrice: 129.50\n\nItem: Desk lamp\nPrice: 39.00\n",
        "We sell:\n- Office chair, 129.50\n- Desk lamp (39.00)\n",
    ],
)
def test_every_row_of_a_list(engine: Engine, text: str) -> None:
    found = filled(make_work(engine, text, 512), "item, price float", multi=True)
    assert found.value == [
        {"item": "Office chair", "price": 129.5},
        {"item": "Desk lamp", "price": 39.0},
    ]
    assert [field.path for field in found.fields][:2] == ["[0].item", "[0].price"]
    assert filled(make_work(engine, "No list.", 512), "item, price float", multi=True).value == []


def test_the_limit_of_tokens(engine: Engine) -> None:
    def tokens(value: object) -> int:
        text = json.dumps(value, ensure_ascii=False, indent=2)
        return len(engine.tokenizer(text, add_special_tokens=False)["input_ids"])

    limit = tokens({"vendor": "Cedar & Stone Ltd"})
    found = filled(make_work(engine, INVOICE, limit), FIELDS)
    assert found.value == {"vendor": "Cedar & Stone Ltd"}
    assert found.missing == ("total", "date", "due_date", "phone")
    row = {"item": "Office chair", "quantity": 4}
    rows = filled(make_work(engine, INVOICE, tokens([row])), "item, quantity int", multi=True)
    assert rows.value == [row]
    assert rows.missing == ("[1]",)


def test_strict_gives_what_is_supported(engine: Engine) -> None:
    work = replace(make_work(engine, "Vendor: Cedar\nAnna Keller met him.", 99), strict=True)
    assert filled(work, "vendor, mayor").value == {"vendor": "Cedar", "mayor": None}
    with pytest.raises(NotSupportedError):
        filled(work, {"properties": {"mayor": {"type": "string"}}, "required": ["mayor"]})


def test_a_long_text_is_searched_for_each_field(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = listen_to(engine, monkeypatch)
    text = "".join(f"Entry {at:04}: the committee met again.\n\n" for at in range(150))
    work = make_work(engine, text + INVOICE + text, 512)
    found = filled(work, FIELDS + ", committee")
    assert found.value["total"] == 4258.98
    assert found.fields[1].line == 306
    assert len(prompts) <= 2
    assert all(len(prompt) < len(text) for prompt in prompts)
