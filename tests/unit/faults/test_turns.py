"""Faults keep their order and distance where one has to wait."""

import asyncio
from types import SimpleNamespace
from typing import Any

from harness.faults.turns import Turns
from tests.standin import StandIn


class Load:
    """Goes on as the test says."""

    def __init__(self) -> None:
        self.at, self.duration = 0.0, 20.0

    def position(self, moment: float | str) -> float:
        return self.at


class Moment(StandIn):
    """A planned fault, of which only its moment counts."""

    def __init__(self, name: str, at: float | str) -> None:
        self.id, self.at = name, at
        self.lasts: float | None = None


def turns(*faults: Any, over: bool = False) -> tuple[Turns, Load]:
    load = Load()
    return Turns(faults, load, lambda: over), load


async def test_a_fault_that_waits_for_its_turn_keeps_those_after_it_at_their_distance() -> None:
    first, second, other = (Moment(name, at) for name, at in (("f1", "20%"), ("f2", "30%"), ("f3", 1.0)))
    turn, load = turns(second, first, other)
    waiting = asyncio.create_task(turn.wait(second))
    load.at = 60.0
    await asyncio.sleep(0.1)
    assert not waiting.done(), "the first has not begun, and seconds are no per cent"
    turn.begins(first)
    await asyncio.sleep(0.1)
    assert not waiting.done(), "it follows ten per cent after the first"
    load.at = 70.0
    await asyncio.wait_for(waiting, 20)


async def test_a_fault_within_the_window_of_another_waits_until_that_is_armed() -> None:
    """Else what is to meet a store that does not answer would come before the store has fallen silent."""
    window, within = Moment("f1", "20%"), Moment("f2", "30%")
    window.lasts = 4.0
    turn, _ = turns(window, within, over=True)
    waiting = asyncio.create_task(turn.wait(within))
    turn.begins(window)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    turn.armed(window)
    await asyncio.wait_for(waiting, 20)


async def test_nobody_waits_for_a_load_that_is_over() -> None:
    first, second = Moment("f1", 1.0), Moment("f2", 90.0)
    turn, _ = turns(first, second, over=True)
    turn.begins(first)
    await asyncio.wait_for(turn.wait(second), 20)


async def test_a_window_waits_for_what_is_within_it_to_be_armed_and_to_last_its_share() -> None:
    def fault(name: str, at: str, lasts: float, takes: str) -> Any:
        return SimpleNamespace(
            id=name, at=at, lasts=lasts, target=name, fault=SimpleNamespace(takes=lambda *_: [takes])
        )

    outer, inner, taking_turns = (
        fault("f1", "0%", 9.0, "a#1"),
        fault("f2", "10%", 0.1, "b"),
        fault("f3", "20%", 1.0, "a#1"),
    )
    on_its_link = fault("f4", "30%", 1.0, "nothing")
    on_its_link.target = "a#1->b"
    turn, _ = turns(outer, inner, taking_turns, on_its_link)
    context: Any = SimpleNamespace(planned=outer)
    waiting = asyncio.create_task(turn.overlapped(context))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    turn.armed(inner)
    await asyncio.wait_for(waiting, 20)
