"""Effects that are in Redis: what one is in each type, and what fails a read."""

from __future__ import annotations

from typing import Any

import pytest

from harness.effects import Effects as Described
from harness.effects import RedisKeys as Keys
from harness.effects import Total
from harness.errors import StackError
from harness.observers.effects import Effects
from harness.observers.id_in_name import Pattern
from harness.observers.redis_keys import RedisKeys
from harness.observers.totals import Totals
from tests.standin import StandIn

UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"


class Store(StandIn):
    """Gives each of its contents once, the last one for ever."""

    def __init__(self, *contents: dict[bytes, tuple[str, Any]]) -> None:
        self.contents_, self.globs = list(contents), []

    async def contents(self, glob: bytes) -> dict[bytes, tuple[str, Any]]:
        self.globs.append(glob)
        return self.contents_.pop(0) if len(self.contents_) > 1 else self.contents_[0]


def keys(store: Store, sums: bool = False, **said: Any) -> RedisKeys:
    return RedisKeys(store, Keys(**said), lambda text: text.replace("{run}", "r1"), sums=sums)


async def read(source: RedisKeys, everything: bool = True) -> list[Any]:
    rows: list[Any] = []
    await source.each(rows.extend, everything=everything)
    return [(row["id"], row["effect"]) for row in rows]


@pytest.mark.parametrize(
    ("content", "said", "effects"),
    [
        (("string", b"anything"), {"keys": "b:{id}"}, [("e1", "e1")]),
        (("string", b"anything"), {"keys": "*:{id}"}, [("e1", "b:e1")]),
        (("set", {b"e5"}), {"keys": "b:e1"}, [("e5", "e5")]),
        (("set", {b'{"e": 1}'}), {"keys": "b:e1", "id": "/e"}, [("1", 'b:e1 {"e": 1}')]),
        (("hash", {b"e3": b"x"}), {"keys": "b:e1", "fields": True}, [("e3", "e3")]),
        (("hash", {b"o": b"A", b"l": b"2"}), {"keys": "b:*", "id": ["/o", "/l"]}, [(["A", "2"], "b:e1")]),
        (("string", b'{"event": 7}'), {"keys": "b:*", "id": "/event"}, [("7", "b:e1")]),
        (("string", b"e9"), {"keys": "b:*"}, [("e9", "b:e1")]),
        (("hash", {b"event": b"17", b"n": b"{"}), {"keys": "b:*", "id": "/event"}, [("17", "b:e1")]),
        (
            ("hash", {b"e3": b"x", b"e2": b"y"}),
            {"keys": "b:*", "fields": True},
            [("e2", "b:e1 e2"), ("e3", "b:e1 e3")],
        ),
        (("hash", {b"1": b'{"e": "e4"}'}), {"keys": "b:*", "fields": True, "id": "/e"}, [("e4", "b:e1 1")]),
        (("set", {b"e6", b"e5"}), {"keys": "b:*"}, [("e5", "b:e1 e5"), ("e6", "b:e1 e6")]),
        (("zset", [b"e7"]), {"keys": "b:*"}, [("e7", "b:e1 e7")]),
        (("stream", [(b"5-0", {b"o": b'{"id": "e8"}'})]), {"keys": "b:*", "id": "/o/id"}, [("e8", "b:e1 5-0")]),
    ],
)
async def test_what_one_effect_is(content: Any, said: Any, effects: Any) -> None:
    assert await read(keys(Store({b"b:e1": content}), **said)) == effects


async def test_equal_elements_of_a_list_are_told_apart_wherever_they_are() -> None:
    described = Described.model_validate({"applies": ["placed"], "redis": {"keys": "b"}})
    before, after = [b"e1", b"e2"], [b"e1", b"e1", b"e2"]
    store = Store({b"b": ("list", before)}, {b"b": ("list", after)})
    effects = Effects({"shop": described}, {"shop": keys(store, keys="b")}, lambda _of, _name: "computed")
    first = [row async for row in effects.read(final=False)]
    (new,) = [row async for row in effects.read(final=False)]
    assert new["event_id"] == "e1"
    assert new["effect"] not in {row["effect"] for row in first}
    assert new["template"] is None, "nothing that an event carries decides how many equal elements there are"


async def test_a_final_read_of_what_still_changes_fails() -> None:
    moving = Store({b"b": ("set", {b"e1"})}, {b"b": ("set", {b"e1", b"e2"})})
    assert len(await read(keys(moving, keys="b"), everything=False)) == 1
    moving = Store({b"b": ("set", {b"e1"})}, {b"b": ("set", {b"e1", b"e2"})})
    with pytest.raises(StackError, match="redis: b changed while it was read"):
        await read(keys(moving, keys="b"))


@pytest.mark.parametrize(
    ("key", "content", "said", "says"),
    [
        (b"b:", ("string", b"x"), {"keys": "b:{id}"}, r"b: has no id where the pattern b:\{id\} has"),
        (b"b:1", ("hash", {b"f": b"x"}), {"keys": "b:*"}, "it is a hash or a stream's entry: say where"),
        (b"b:1", ("string", b"{}"), {"keys": "b:*", "id": "/event"}, r"b:1: it has nothing at `id` \(/event\)"),
        (b"b:1", ("list", [b"x"]), {"keys": "b:*", "fields": True}, "b:1 is a list, not a hash"),
        (b"b:1", ("ReJSON-RL", None), {"keys": "b:*"}, "b:1 is a ReJSON-RL, which is not read here"),
        (b"a-b-c", ("string", b"x"), {"keys": "*-{id}"}, "the id in a-b-c may be b-c or c by the pattern"),
    ],
)
async def test_what_cannot_be_read_fails_the_read(key: bytes, content: Any, said: Any, says: str) -> None:
    with pytest.raises(StackError, match=says):
        await read(keys(Store({key: content}), **said))


async def test_a_pattern_stands_for_itself_but_for_stars() -> None:
    store = Store({})
    await read(keys(store, keys="b[1]:{run}:{id}:*"))
    assert store.globs == [rb"b\[1\]:r1:*:*"] * 2


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("b:{id}", f"b:{UUID.upper()}", UUID),
        ("b:{id}", f"B:{UUID}", None),
        ("{id}-*", f"{UUID}-17", UUID),
        ("*-{id}", f"bill-{UUID.replace('-', '')}", UUID),
        ("b:{id}:*", "b:A-1:x", "A-1"),
        ("b.{id}", "bx1", None),
    ],
)
def test_an_id_in_a_name(pattern: str, name: str, found: str | None) -> None:
    assert Pattern(pattern).id_in(name) == found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({b"t:a": ("string", b"5"), b"t:b": ("string", b"7.50")}, {"keys": "t:{id}"}),
        ({b"t": ("hash", {b"a": b"5", b"b": b"7.50"})}, {"keys": "t", "fields": True}),
    ],
)
async def test_sums_are_strings_or_fields(content: Any, said: Any) -> None:
    total = Total.model_validate({"redis": said, "adds": "/n", "by": "/account"})
    observer = Totals({"purse": total}, {"purse": keys(Store(content), sums=True, **said)})
    assert [(row["key"], row["total"]) async for row in observer.read(final=True)] == [("a", "5"), ("b", "7.5")]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"redis": {"keys": "b:{id}", "id": "/x"}}, "write either {id} in keys, or id:"),
        ({"redis": {"keys": "{id}:{id}"}}, "{id} stands there twice"),
        ({"total": {"redis": {"keys": "t"}, "adds": "/n", "by": "/a"}}, "write {id} in keys if each sum is a key"),
        ({"total": {"adds": "/n", "by": "/a"}}, "a total is in one place: write one of sql:, command:, redis:"),
    ],
)
def test_what_does_not_fit_is_refused(said: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Described.model_validate({"applies": ["placed"], **said})
