from __future__ import annotations

import json
from typing import Any

import pytest

from reference_impl.common_core import schemas
from reference_impl.common_core.events import EVENTS, EventEnvelope
from reference_impl.common_core.schemas import __main__ as command


@pytest.fixture
def folder(tmp_path):
    schemas.write(tmp_path)
    return tmp_path


def test_the_schemas_in_the_tree_are_those_of_the_events():
    assert schemas.drift() == []
    assert len(list(schemas.FOLDER.glob("*.json"))) == len(EVENTS)


def test_a_schema_that_differs_is_missing_or_is_no_events_any_more_is_drift(folder):
    changed, missing, *_ = sorted(schemas.expected())
    (folder / changed).write_text((folder / changed).read_text().replace("string", "number"))
    (folder / missing).unlink()
    (folder / "huleedu.no.such.event.v1.json").write_text("{}")
    assert schemas.drift(folder) == [changed, missing, "huleedu.no.such.event.v1.json"]
    schemas.write(folder)
    assert schemas.drift(folder) == []


def test_a_change_of_an_event_is_drift(folder, monkeypatch):
    first: Any = EVENTS[0]

    class Changed(first):
        another: int

    monkeypatch.setattr(schemas, "EVENTS", (Changed, *EVENTS[1:]))
    assert schemas.drift(folder) == [f"{Changed.EVENT_TYPE}.json"]


def test_the_check_says_which_and_writes_nothing(folder, monkeypatch, capsys):
    monkeypatch.setattr(schemas, "drift", lambda: ["a.json"])
    monkeypatch.setattr(schemas, "write", None)
    assert command.main(["--check"]) == 1
    assert "a.json is not up to date" in capsys.readouterr().err


def test_the_check_passes_on_the_tree():
    assert command.main(["--check"]) == 0


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.EVENT_TYPE)
def test_a_schema_names_its_type_and_all_that_an_envelope_has(event):
    document = json.loads(schemas.schema(event))
    assert document["properties"]["event_type"] == {"const": event.EVENT_TYPE}
    assert set(document["required"]) == set(EventEnvelope.model_fields)
    (data,) = (each for name, each in document["$defs"].items() if name == event.__name__)
    assert set(data["required"]) == {name for name, field in event.model_fields.items() if field.is_required()}
    for each in (document, data):
        assert "additionalProperties" not in each, "what a newer producer adds is passed over"
