"""The same fact under another id, wherever a system has its ids."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from harness.calibrate.live import under_another_id
from harness.coding import Decode
from harness.observers.topics import event_fields
from harness.stack import Record
from harness.system import System


def system(where: Any, by: Any = None) -> System:
    return System.model_validate(
        {
            "oneffect": 1,
            "name": "shop",
            "dependencies": {"kafka": {"topics": {"orders": 1}}},
            "services": {"shop": {"command": "./shop", "env": {"KAFKA": "{kafka}"}}},
            "load": {"upload": {"to": "shop", "post": "/orders"}},
            "events": {"id": where, "type": "/type", "topics": ["orders"]},
            "effects": {
                "shop": {
                    "applies": ["placed"],
                    "sql": {"url": "sqlite:///{data}/db", "query": "SELECT 1"},
                    **({"by": by} if by is not None else {}),
                }
            },
        }
    )


UUID = "11111111-1111-4111-8111-111111111111"
VALUE = {"id": UUID, "type": "placed", "data": {"order": "A-1", "line": 3, "amount": 2}}
RECORD = Record("orders", 0, 7, UUID.encode(), orjson.dumps(VALUE), (("id", UUID.encode()), ("trace", b"t")))


@pytest.mark.parametrize("where", ["/id", {"header": "id"}, {"key": True}])
def test_only_the_id_is_another(where: Any) -> None:
    described = system(where)
    other = under_another_id(RECORD, described, ["shop"])
    assert other is not None
    old, new = event_fields(RECORD, described), event_fields(other, described)
    assert old["event_id"] == UUID != new["event_id"]
    assert len(str(new["event_id"])) == len(UUID)
    assert {name for name in old if old[name] != new[name]} == {"event_id"}
    assert dict(other.headers)["trace"] == b"t"


def test_all_parts_of_an_id_are_others() -> None:
    described = system(["/data/order", "/data/line"])
    other = under_another_id(RECORD, described, ["shop"])
    assert other is not None
    old, new = event_fields(RECORD, described), event_fields(other, described)
    assert {name for name in old if old[name] != new[name]} == {"event_id", "digest"}
    before, after = orjson.loads(str(old["event_id"])), orjson.loads(str(new["event_id"]))
    assert len(after) == 2
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("where", ["/id", {"header": "id"}, {"key": True}])
def test_where_values_are_decoded_there_is_none(where: Any) -> None:
    described = system(where)
    events = described.events.model_copy(update={"decode": Decode(function="decoding:order")})
    assert under_another_id(RECORD, described.model_copy(update={"events": events}), ["shop"]) is None


def test_a_business_key_is_another_too() -> None:
    described = system("/id", ["/data/order", "/data/line"])
    other = under_another_id(RECORD, described, ["shop"])
    assert other is not None
    old, new = orjson.loads(RECORD.value or b""), orjson.loads(other.value or b"")
    assert [one for one in VALUE["data"] if old["data"][one] != new["data"][one]] == ["order", "line"]


@pytest.mark.parametrize("where", ["/nowhere", {"header": "nothing"}])
def test_a_record_without_an_id_there_is_none(where: Any) -> None:
    assert under_another_id(RECORD, system(where), ["shop"]) is None
