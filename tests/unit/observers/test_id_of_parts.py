"""An id that is made of several fields is the same id wherever it stands."""

import json
import uuid
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from harness.effects import Effects as Described
from harness.effects import Files, OutputTopic
from harness.errors import StackError
from harness.observers.dead_letters import Known, letter_fields
from harness.observers.effects import Effects
from harness.observers.folder_files import FolderFiles
from harness.observers.located import named_at, named_key
from harness.observers.sources import Database, Output
from harness.observers.topics import event_fields
from harness.stack import Record, RunNames
from harness.system import System
from harness.system_events import DeadLetters

PARTS = ["/order", "/line"]
BY_ITEM = {"applies": ["placed"], "by": "/order", "http": {"url": "http://a", "id": PARTS}}
UUID = "AAAAAAAA-1111-4111-8111-111111111111"
UUIDS = uuid.UUID(UUID)


def system(**changes: Any) -> System:
    events = {
        "id": PARTS,
        "type": "/type",
        "raw": None,
        "data": None,
        "topics": ["orders"],
        **changes.pop("events", {}),
    }
    return System.model_validate(
        {
            "oneffect": 1,
            "name": "shop",
            "dependencies": {"kafka": {"topics": {"orders": 1, "letters": 1}}},
            "services": {"shop": {"command": "./shop", "env": {"KAFKA": "{kafka}"}}},
            "load": {"publish": {"topic": "orders", "value": {"order": "{id}", "line": "{n}", "type": "placed"}}},
            "events": events,
            **changes,
        }
    )


def event(**value: object) -> dict[str, object]:
    return dict(event_fields(Record("orders", 0, 7, None, json.dumps(value).encode()), system()))


async def effects(*named: object) -> list[object]:
    async def rows(url: str, query: str, take: Any) -> None:
        take([{"id": name, "effect": number} for number, name in enumerate(named)])

    described = Described.model_validate({"applies": ["placed"], "sql": {"url": "sqlite:////x", "query": "SELECT"}})
    observer = Effects({"shop": described}, {"shop": Database("sqlite:////x", "SELECT", rows)}, event=PARTS)
    return [row["event_id"] async for row in observer.read(final=True)]


async def test_an_effect_names_it_as_an_array_of_its_values() -> None:
    assert event(order="A", line=2, type="placed")["event_id"] == '["A","2"]'
    assert await effects('["A", 2]', '["A","2"]', ["A", 2]) == ['["A","2"]'] * 3


async def test_a_uuid_in_it_may_be_written_in_another_form() -> None:
    assert event(order=UUID, line=1, type="placed")["event_id"] == f'["{UUID.lower()}","1"]'
    assert await effects(f'["{UUID.replace("-", "")}", 1]') == [f'["{UUID.lower()}","1"]']


def test_what_a_separator_would_make_one_is_two() -> None:
    ids = {event(order=order, line=line, type="placed")["event_id"] for order, line in (("a-b", "c"), ("a", "b-c"))}
    assert len(ids) == 2


@pytest.mark.parametrize("value", [{"order": "A"}, {"line": 1}, {"order": "", "line": 1}, {"order": None, "line": 1}])
def test_without_a_part_it_is_no_event(value: dict[str, object]) -> None:
    fields = event(type="placed", **value)
    assert fields["malformed"] == "no id"
    assert fields["event_id"] == "orders:0:7"


@pytest.mark.parametrize("named", ["A-2", '["A"]', '{"order": "A"}', 7])
async def test_an_effect_that_names_it_otherwise_is_refused(named: object) -> None:
    with pytest.raises(
        StackError, match=r"is at 2 pointers \(/order, /line\), so it must be a JSON array of 2 values"
    ):
        await effects(named)


def test_a_dead_letter_holds_its_parts() -> None:
    where = DeadLetters(topic="letters", id=PARTS, consumer="shop", source="/source")
    value = {"order": UUID, "line": 1, "source": {"topic": "r1.orders", "partition": 0, "offset": 1}}
    record = Record("letters", 0, 3, None, json.dumps(value).encode())
    assert letter_fields(record, where, RunNames("r1"), Known())["event_id"] == f'["{UUID.lower()}","1"]'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"events": {"cause": "/cause"}},
            "events.cause: it must have as many pointers as what it refers to, which is at /order, /line",
        ),
        (
            {"dead_letters": {"topic": "letters", "id": "/id", "consumer": "shop", "source": "/source"}},
            "dead_letters.id: it must have as many pointers as what it refers to, which is at /order, /line",
        ),
        ({"events": {"id": ["/order", "/item"]}}, "load.publish has no id of its own at /order, /item"),
        ({"events": {"id": ["/line", "/type"]}}, "load.publish has no id of its own at /line, /type"),
        ({"events": {"id": []}}, "at least 1 item"),
        ({"events": {"id": ["/order", "/order"]}}, "the same pointer is there twice"),
        (
            {"effects": {"shop": BY_ITEM}},
            "effects.shop.http.id: it must have as many pointers as what it refers to, which is at /order",
        ),
        (
            {"effects": {"shop": {"applies": ["placed"], "http": {"url": "http://a", "id": ["/a", "/b", "/c"]}}}},
            "effects.shop.http.id: it must have as many pointers as what it refers to, which is at /order, /line",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="alidation error") as refused:
        system(**changes)
    assert said in str(refused.value)


def test_a_cause_in_as_many_parts_fits() -> None:
    described = system(events={"cause": ["/of/order", "/of/line"]})
    value = {"order": "B", "line": 1, "type": "billed", "of": {"order": "A", "line": 2}}
    fields = event_fields(Record("orders", 0, 7, None, json.dumps(value).encode()), described)
    assert fields["causation_id"] == event(order="A", line=2, type="placed")["event_id"]


async def test_the_records_of_an_output_topic_and_the_files_of_a_folder_hold_its_parts(tmp_path: Path) -> None:
    value = json.dumps({"order": "A", "line": 2}).encode()

    class Billed:
        async def pass_to_end(self) -> list[Record]:
            return [Record("billed", 0, 0, None, value), Record("billed", 0, 1, None, b'{"order": "A"}')]

        async def close(self) -> None: ...

    async def opened() -> Billed:
        return Billed()

    rows: list[Any] = []
    await Output(OutputTopic(name="billed", id=PARTS), opened).each(rows.extend, everything=True)
    assert rows[0]["id"] == '["A","2"]'
    assert "it has nothing at `id`" in rows[1]["error"]

    (tmp_path / "bill.json").write_bytes(value)
    rows.clear()
    await FolderFiles(Files(folder=".", names="*.json", id=PARTS), tmp_path).each(rows.extend, everything=True)
    assert rows == [{"id": ["A", 2], "effect": "bill.json", "carries": None}]
    (tmp_path / "other.json").write_text('{"line": 2}')
    with pytest.raises(StackError, match=r"other\.json has nothing at /order, /line"):
        await FolderFiles(Files(folder=".", names="*.json", id=PARTS), tmp_path).each(rows.extend, everything=True)


def test_a_part_that_is_missing_or_empty_is_none_of_it() -> None:
    assert named_at(PARTS, {"order": "A", "line": 0}) == ["A", 0]
    for value in ({"order": "A"}, {"order": "A", "line": None}, {"order": "", "line": 1}, [], "A"):
        assert named_at(PARTS, value) is None


async def test_an_id_that_is_an_array_by_itself_is_spelled_alike() -> None:
    described = system(events={"id": "/order"})
    value = {"order": ["A", 2], "type": "placed"}
    fields = event_fields(Record("orders", 0, 7, None, json.dumps(value).encode()), described)
    assert named_key("/order", ["A", 2]) == fields["event_id"] == '["A",2]'


def test_a_part_may_be_the_same_in_every_event() -> None:
    publish = {"publish": {"topic": "orders", "value": {"order": "{id}", "line": 0, "type": "placed"}}}
    assert system(load=publish).load.publish is not None


@pytest.mark.parametrize(
    ("named", "spelled"),
    [
        ([UUID.lower(), 2], f'["{UUID.lower()}","2"]'),
        ((UUIDS, 2), f'["{UUID.lower()}","2"]'),
        ([Decimal("1.50"), date(2026, 1, 2)], '["1.50","2026-01-02"]'),
        ([True, 1.5], '["true","1.5"]'),
    ],
)
def test_a_stores_own_types_spell_themselves(named: object, spelled: str) -> None:
    assert named_key(PARTS, named) == spelled


def test_one_pointer_in_a_list_is_one_pointer() -> None:
    assert system(events={"id": ["/order"]}).events.id == "/order"
