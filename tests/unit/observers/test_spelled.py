"""What a store holds as bytes, and digests in capitals, are spelled as the events spell them, or refused."""

import hashlib
import sqlite3
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.clients import sql
from harness.effects import Effects as Described
from harness.errors import StackError
from harness.observers.carried import Carried
from harness.observers.effects import Effects
from harness.observers.located import business_key, named_key
from harness.observers.sources import Database, Function
from harness.stack import Record

ID = uuid.UUID("6ba7a71c-8f0e-4c53-9d9c-0a4b5a1d7e11")
GUID = uuid.UUID("6ba7a71c-8f0e-4c93-9d9c-0a4b5a1d7e11").bytes_le
ULID = bytes.fromhex("01902f3b6d5af1c2d3e4f5a6b7c8d9ea")
DIGEST = hashlib.sha256(b"data").hexdigest()
SQL = {"applies": ["placed"], "sql": {"url": "sqlite:////x", "query": "SELECT"}}


def effects(*rows: Mapping[str, object], template: Any = lambda _of, _name: None) -> Effects:
    described = Described.model_validate(SQL)
    return Effects({"shop": described}, {"shop": Function(lambda: rows)}, template)


async def one_pass(observer: Effects) -> list[dict[str, object]]:
    return [dict(row) async for row in observer.read(final=False)]


@pytest.mark.parametrize("held", [ID.bytes, bytearray(ID.bytes), memoryview(ID.bytes), ID, ID.hex.upper(), str(ID)])
async def test_a_uuid_is_one_however_the_store_holds_it(held: object) -> None:
    observer = effects({"id": held, "effect": 1})
    (row,) = await one_pass(observer)
    assert row["event_id"] == str(ID)
    assert await one_pass(observer) == []


@pytest.mark.parametrize("by", ["/id", ["/id", "/n"]])
def test_it_may_be_a_part_of_a_key(by: Any) -> None:
    if isinstance(by, list):
        assert named_key(by, [ID.bytes, 2]) == f'["{ID}","2"]'
    assert named_key("/ids", [ID.bytes, 2**65]) == f'["{ID}",{2**65}]'


@pytest.mark.parametrize("by", ["/id", ["/id", "/n"]])
def test_an_object_is_one_key_in_any_order_of_its_fields(by: Any) -> None:
    one, other = {"line": 1, "order": "o"}, {"order": "o", "line": 1}
    record = Record("orders", 0, 0, None, b"")
    keys = {business_key(by, record, {"id": found, "n": 1}) for found in (one, other)}
    keys |= {named_key(by, found if by == "/id" else [found, 1]) for found in (one, other)}
    assert len(keys) == 1


@pytest.mark.parametrize("held", [ULID, b"order-0000000017", b"e1", b"", GUID, b"\0" * 16, ID.bytes * 2])
async def test_other_bytes_name_no_event_and_the_read_says_what_to_write(held: bytes) -> None:
    with pytest.raises(
        StackError, match=rf"`id` is {len(held)} bytes, and no UUID; let the query return text.*hex\(id\)"
    ):
        await one_pass(effects({"id": held, "effect": 1}))
    with pytest.raises((StackError, TypeError)):
        named_key("/id", [held])


@pytest.mark.parametrize(
    "held", [DIGEST, DIGEST.upper(), bytes.fromhex(DIGEST), DIGEST.encode(), DIGEST.upper().encode()]
)
async def test_a_digest_is_compared_by_what_it_says(held: object) -> None:
    (row,) = await one_pass(effects({"id": "e1", "effect": 1, "carries": held}))
    assert row["digest"] == DIGEST


@pytest.mark.parametrize("held", [b"", b"\xff" * 31, b"g" * 64, hashlib.sha1(b"data").digest()])
async def test_bytes_that_are_no_digest_are_refused(held: bytes) -> None:
    with pytest.raises(StackError, match=rf"`carries` is {len(held)} bytes, and no SHA-256; .*hex\(digest\)"):
        await one_pass(effects({"id": "e1", "effect": 1, "carries": held}))


async def test_a_digest_that_is_other_text_or_none_stays_as_it_is() -> None:
    rows = await one_pass(effects({"id": "e1", "carries": "D1"}, {"id": "e2", "carries": None}))
    assert [row["digest"] for row in rows] == ["D1", None]


@pytest.mark.parametrize(
    ("held", "name", "template"),
    [
        (ID.bytes, str(ID), "{/event_id}"),
        (b"A-17", "A-17", "{/order}"),
        (17, "17", "17"),
    ],
)
async def test_a_name_that_its_event_carries_is_recognised_in_bytes_too(
    held: object, name: str, template: str
) -> None:
    """It is the same for a second effect, which an upsert would hide."""
    carried = Carried()
    carried.note(str(ID), "placed", Record("orders", 0, 0, None, b""), {"event_id": str(ID), "order": "A-17"})
    (row,) = await one_pass(effects({"id": ID.bytes, "effect": held}, template=carried.template))
    assert (row["effect"], row["template"]) == (name, template)


async def test_names_that_are_no_text_stay_apart() -> None:
    rows = await one_pass(effects(*({"id": "e1", "effect": held} for held in (ULID, GUID, b"\xff", b"\xfe"))))
    assert len({row["effect"] for row in rows}) == len(rows)


async def test_of_a_table_with_blobs_each_effect_is_of_its_event(tmp_path: Path) -> None:
    ids = [uuid.uuid4() for _ in range(50)]
    with sqlite3.connect(tmp_path / "db") as database:
        database.execute("CREATE TABLE ledger (event_id BLOB, entry INTEGER, digest BLOB)")
        rows = [(one.bytes, n, bytes.fromhex(DIGEST)) for n, one in enumerate(ids)]
        database.executemany("INSERT INTO ledger VALUES (?, ?, ?)", rows)
    database.close()

    async def read(query: str) -> list[tuple[object, object]]:
        source = Database(f"sqlite:///{tmp_path}/db", query, sql.each)
        observer = Effects({"shop": Described.model_validate(SQL)}, {"shop": source})
        return [(row["event_id"], row["digest"]) for row in await one_pass(observer)]

    for columns in (
        "event_id AS id, entry AS effect, digest AS carries",
        "hex(event_id) AS id, hex(digest) AS carries",
    ):
        assert await read(f"SELECT {columns} FROM ledger") == [(str(one), DIGEST) for one in ids]
