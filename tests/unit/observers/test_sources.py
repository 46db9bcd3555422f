"""Effects that name a business key, and effects that are records of a topic."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from harness.effects import Effects as Described
from harness.errors import StackError
from harness.observers.effects import Effects
from harness.observers.located import business_key, named_key
from harness.observers.sources import Database, Function, Output
from harness.stack import MARK, Record


class Topic:
    """A topic, and how many readers of it are open."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)
        self.open = 0

    async def reader(self) -> Reading:
        self.open += 1
        return Reading(self)


class Reading:
    def __init__(self, topic: Topic) -> None:
        self._topic, self._at = topic, 0

    async def pass_to_end(self) -> Sequence[Record]:
        new, self._at = self._topic.records[self._at :], len(self._topic.records)
        return new

    async def close(self) -> None:
        self._topic.open -= 1


def record(offset: int, value: bytes | None, key: bytes | None = None, *headers: tuple[str, bytes]) -> Record:
    return Record("billed", 0, offset, key, value, headers)


def on_topic(topic: Topic, by: Any = None, **described: Any) -> Effects:
    made = Described.model_validate({"applies": ["placed"], "by": by, "topic": {"name": "billed", **described}})
    assert made.topic is not None
    return Effects({"shop": made}, {"shop": Output(made.topic, topic.reader)})


async def one_pass(effects: Effects, *, final: bool = False) -> list[dict[str, object]]:
    return [dict(row) async for row in effects.read(final=final)]


async def test_each_record_is_an_effect_named_by_its_place() -> None:
    topic = Topic(record(0, b'{"event": "e1", "sum": "d1"}'))
    effects = on_topic(topic, id="/event", carries="/sum")
    (first,) = await one_pass(effects)
    assert (first["event_id"], first["effect"], first["digest"]) == ("e1", "billed:0:0", "d1")
    topic.records.append(record(1, b'{"event": "e1"}'))
    assert [row["effect"] for row in await one_pass(effects)] == ["billed:0:1"]
    assert [row["effect"] for row in await one_pass(effects, final=True)] == ["billed:0:0", "billed:0:1"]
    await effects.close()
    assert topic.open == 0


async def test_a_name_that_is_a_place_has_no_template() -> None:
    """That an offset equals a number which its event carries is chance, for however many events."""
    made = Described.model_validate({"applies": ["placed"], "topic": {"name": "billed", "id": "/event"}})
    assert made.topic is not None
    output = Output(made.topic, Topic(record(0, b'{"event": "e1"}')).reader)
    (row,) = await one_pass(Effects({"shop": made}, {"shop": output}, lambda _of, _name: "{/n}"))
    assert row["template"] is None


async def test_an_effect_whose_key_is_no_text_cannot_be_read() -> None:
    (row,) = await one_pass(on_topic(Topic(record(0, b"1", b"\xff")), id={"key": True}))
    assert str(row["error"]).startswith("no effect can be read from it: 'utf-8' codec can't decode byte 0xff")


async def test_a_tombstone_on_a_topic_of_effects_is_no_effect() -> None:
    topic = Topic(record(0, b'{"sum": "d1"}', b"e1"), record(1, None, b"e1"))
    rows = await one_pass(on_topic(topic, id={"key": True}), final=True)
    assert [row["effect"] for row in rows] == ["billed:0:0"]


async def test_one_without_a_value_that_a_header_names_may_be_an_effect() -> None:
    topic = Topic(record(0, None, b"e1", ("ce_id", b"e1")), record(1, None, b"e1"))
    (row,) = await one_pass(on_topic(topic, id={"header": "ce_id"}), final=True)
    assert row["offset"] == 0
    assert "an effect without data" in str(row["error"])
    assert not await one_pass(on_topic(topic, id={"header": "ce_id"}, only={"/type": "billed"}))


async def test_what_is_no_effect_is_left_out_and_what_cannot_be_read_is_said() -> None:
    topic = Topic(
        record(0, b'{"event": "e1", "type": "noise"}'),
        record(1, b'{"type": "billed"}'),
        record(2, b"\x00"),
        record(3, b'{"event": "e2", "type": "billed"}', None, (MARK, b"kafka.duplicate")),
    )
    rows = await one_pass(on_topic(topic, id="/event", only={"/type": "billed"}))
    assert [(row["offset"], "error" in row, row.get("marked")) for row in rows] == [
        (1, True, None),
        (2, True, None),
        (3, False, "kafka.duplicate"),
    ]


async def test_the_key_of_a_record_may_be_the_business_key() -> None:
    (row,) = await one_pass(on_topic(Topic(record(0, b"1", b"A-1")), id={"key": True}, by="/data/order"))
    assert (row["event_id"], row["key"]) == (None, "A-1")


@pytest.mark.parametrize(
    ("by", "value", "named"),
    [
        ("/n", {"n": 17}, 17),
        ("/n", {"n": "17"}, 17),
        ("/n", {"n": "6F9619FF8B86D011B42D00CF4FC964FF"}, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        (["/n", "/k"], {"n": 17, "k": "a"}, '["17", "a"]'),
        (["/n", "/k"], {"n": 17, "k": "a"}, [17, "a"]),
    ],
)
def test_an_event_and_an_effect_spell_a_key_in_the_same_way(by: Any, value: object, named: object) -> None:
    assert business_key(by, record(0, b""), value) == named_key(by, named)


def test_a_key_of_which_a_part_is_missing_is_none() -> None:
    assert business_key(["/n", "/k"], record(0, b""), {"n": 17}) is None
    assert business_key("/n", record(0, b""), {"n": ""}) is None


async def test_a_key_of_several_parts_that_is_no_array_is_refused_before_there_is_a_load() -> None:
    async def rows(_url: str, _query: str, take: Any) -> None:
        take([{"id": "A-1", "effect": 1}])

    described = {"applies": ["placed"], "by": ["/n", "/k"], "sql": {"url": "sqlite:////x", "query": "SELECT"}}
    effects = Effects({"shop": Described.model_validate(described)}, {"shop": Database("", "", rows)})
    with pytest.raises(
        StackError,
        match=r"effects\.shop: `id` is A-1; what it names is at 2 pointers \(/n, /k\), so it must be a JSON array",
    ):
        await effects.try_out()


SQL = {"url": "sqlite:////x", "query": "SELECT"}
TOTAL = {"sql": SQL, "adds": "/n", "by": "/account"}


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ({}, "write sql:, topic:, command:.* or total:"),
        ({"sql": SQL, "topic": {"name": "a", "id": "/id"}}, "write either sql: or topic:"),
        ({"total": TOTAL, "by": "/order"}, "a total has a `by` of its own"),
    ],
)
def test_effects_are_in_one_place(places: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Described.model_validate({"applies": ["placed"], **places})


def test_an_addresses_file_names_one_database_for_effects_and_totals() -> None:
    both = Described.model_validate({"applies": ["placed"], "sql": SQL, "total": TOTAL})
    assert both.read_at("postgresql://there/x").urls == ["postgresql://there/x"] * 2


async def test_a_function_is_called_anew_for_each_look() -> None:
    given = [[{"id": "e1", "effect": 1}], [{"id": "e1", "effect": 1}, {"id": "e2", "effect": 2}]]
    source, taken = Function(lambda: given.pop(0)), []
    await source.each(taken.append, everything=False)
    await source.each(taken.append, everything=True)
    assert [len(rows) for rows in taken] == [1, 2]


def raising() -> list[object]:
    raise LookupError("no such table")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (raising, r"raising\(\) gave no rows: LookupError: no such table; it must return mappings"),
        (lambda: None, r"gave no rows: TypeError: .*it must return mappings"),
        (lambda: [("e1", 1, 2)], r"gave no rows: .*it must return mappings"),
        (lambda: [{"event": "e1"}], r"gave a row without an `id`: it has event"),
        (lambda: [{"id": None, "effect": 1}], r"gave a row without an `id`: it has id, effect"),
    ],
    ids=["raises", "nothing", "tuples", "without", "null"],
)
async def test_a_function_that_gives_no_rows_is_a_read_that_failed(call, says: str) -> None:
    taken: list[object] = []
    with pytest.raises(StackError, match=says):
        await Function(call).each(taken.append, everything=True)
    assert taken == []


@pytest.mark.parametrize("column", [{"place": "Zurich"}, {"own": True}, {"error": "retried"}, {"place": {"op": "x"}}])
async def test_a_column_of_the_users_own_says_nothing_to_the_harness(column: dict[str, object]) -> None:
    """An upsert's name would pass for one that nothing in the event decides, or the effect for one that cannot be read."""
    made = Described.model_validate({"applies": ["placed"], "sql": {"url": "sqlite:///x", "query": "SELECT"}})
    function = Function(lambda: [{"id": "e1", "effect": "e1", **column}])
    (row,) = await one_pass(Effects({"shop": made}, {"shop": function}, lambda _of, name: f"named {name}"))
    assert (row["op"], row["event_id"], row["template"]) == ("effect", "e1", "named e1")


async def test_a_function_that_never_returns_is_a_read_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.observers.sources.RETURNS_WITHIN", 0.1)
    let_go = threading.Event()

    def blocked() -> list[dict[str, object]]:
        let_go.wait(60)
        return []

    try:
        with pytest.raises(StackError, match=r"blocked\(\) gave no rows within 0.1 s"):
            await Function(blocked).each(lambda _: None, everything=True)
    finally:
        let_go.set()


async def test_what_a_transaction_may_hide_fails_the_whole_read() -> None:
    made = Described.model_validate({"applies": ["placed"], "topic": {"name": "billed", "id": "/event"}})
    assert made.topic is not None

    async def open_one() -> None:
        raise StackError("a transaction is open on billed:0")

    output = Output(made.topic, Topic(record(0, b'{"event": "e1"}')).reader, open_one)
    rows: list[Any] = []
    await output.each(rows.extend, everything=False)
    assert len(rows) == 1
    with pytest.raises(StackError, match="a transaction is open"):
        await output.each(rows.extend, everything=True)


@pytest.mark.parametrize("by", ["/event_id", ["/order", "/line"]])
def test_a_row_without_an_id_is_no_effect_of_an_event_called_none(by: Any) -> None:
    with pytest.raises(StackError, match="`id` is null in a row"):
        named_key(by, None)
