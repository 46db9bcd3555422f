"""An interim pass gives what is new; the final one gives everything."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from harness.effects import Effects as Described
from harness.errors import StackError
from harness.observers.effects import Effects
from harness.observers.sources import Database


class Table:
    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    async def __call__(self, url: str, query: str, take) -> None:
        for row in self.rows:
            take([row])


def observer(table: Table) -> Effects:
    described = Described.model_validate({"applies": ["placed"], "sql": {"url": "sqlite:////x", "query": "SELECT"}})
    return Effects({"shop": described}, {"shop": Database("sqlite:////x", "SELECT", table)})


async def one_pass(effects: Effects, *, final: bool = False) -> list[tuple[object, object]]:
    return [(row["event_id"], row["effect"]) async for row in effects.read(final=final)]


async def test_rows_are_given_once() -> None:
    table = Table()
    effects = observer(table)
    table.rows = [{"id": "e1", "effect": 1, "carries": "d"}]
    assert await one_pass(effects) == [("e1", "1")]
    table.rows.append({"id": "e1", "effect": 2, "carries": "d"})
    assert await one_pass(effects) == [("e1", "2")]
    assert effects.counts == {"shop": 2}


async def test_what_was_left_aside_is_never_given_but_one_more_of_it_is() -> None:
    table = Table()
    effects = observer(table)
    table.rows = [{"id": "e1"}, {"id": "e2"}]
    await effects.leave_aside()
    assert not await one_pass(effects)
    table.rows += [{"id": "e1"}, {"id": "e3"}]
    for final in (False, True):
        assert await one_pass(effects, final=final) == [("e1", None), ("e3", None)]
    assert effects.counts == {"shop": 2}


async def test_rows_without_an_identity_are_counted() -> None:
    table = Table()
    effects = observer(table)
    table.rows = [{"id": "e1"}, {"id": "e1"}]
    assert len(await one_pass(effects)) == 2
    table.rows.append({"id": "e1"})
    assert len(await one_pass(effects)) == 1


async def test_the_final_pass_gives_all_that_is_there() -> None:
    table = Table()
    effects = observer(table)
    table.rows = [{"id": "e1", "effect": 1}, {"id": "e2", "effect": 2}]
    await one_pass(effects)
    table.rows.pop()
    assert await one_pass(effects, final=True) == [("e1", "1")]


async def test_passes_give_what_a_count_of_rows_would() -> None:
    """Random tables that grow, and lose rows now and then, with rows that say the same."""
    for seed in range(50):
        random, table, given = Random(seed), Table(), Counter[tuple[object, object]]()
        effects = observer(table)
        for _ in range(8):
            table.rows += [{"id": f"e{random.randrange(5)}", "effect": random.choice([None, 1])} for _ in range(4)]
            random.shuffle(table.rows)
            if random.random() < 0.2:
                table.rows.pop()
            there = Counter[tuple[object, object]](
                (row["id"], None if row["effect"] is None else str(row["effect"])) for row in table.rows
            )
            new = Counter(await one_pass(effects))
            assert new == there - given
            given |= there
            assert Counter(await one_pass(effects, final=True)) == there
            assert effects.counts == {"shop": given.total()}


async def test_what_a_pass_that_was_cut_short_did_not_give_is_given_by_the_next() -> None:
    table = Table()
    effects = observer(table)
    table.rows = [{"id": "e1", "effect": 1}, {"id": "e2", "effect": 2}]
    reading: Any = effects.read(final=False)
    assert (await anext(reading))["event_id"] == "e1"
    await reading.aclose()
    assert await one_pass(effects) == [("e1", "1"), ("e2", "2")]


async def test_an_id_that_the_store_spells_otherwise_is_the_same_uuid() -> None:
    table = Table()
    table.rows = [{"id": "6F9619FF8B86D011B42D00CF4FC964FF", "effect": 1}]
    assert await one_pass(observer(table)) == [("6f9619ff-8b86-d011-b42d-00cf4fc964ff", "1")]


async def test_rows_without_an_id_are_refused_before_there_is_a_load() -> None:
    table = Table()
    await observer(table).try_out()
    table.rows = [{"event_id": "e1", "effect": 1}]
    with pytest.raises(StackError, match=r"effects\.shop: the query returns event_id, effect, but no `id`"):
        await observer(table).try_out()
