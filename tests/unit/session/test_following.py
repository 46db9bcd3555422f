"""What follows a fault is armed for its event before the fault acts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import StackError
from harness.observers.known import Known
from harness.session.following import Following
from harness.taps.trigger import Trigger
from tests.standin import StandIn


class Message(StandIn):
    """A held message that names an event."""

    link = "a#1->kafka"

    def __init__(self, key: str, *, waiting: bool = True, commits: Any = (), side: str = "request") -> None:
        self.key, self.commits, self.waiting, self.side = key, commits, waiting, side


def fault(name: str, row: int, *, follows: int | None = None) -> Any:
    return SimpleNamespace(id=name, row=row, when=SimpleNamespace(follows=follows))


FIRST, SECOND = fault("f1", 1), fault("f2", 2, follows=1)


def trigger() -> Trigger:
    return Trigger(side="request", patterns=["SET *"], links=["a#1->redis"], follows=True)


def of(known: Known, *, look: Any = None, committed: Any = None, longest: float = 0.0) -> Following:
    async def nothing() -> None:
        pass

    async def before(service: str) -> Any:
        assert service == "a"
        if committed is None:
            raise StackError("the broker does not answer")
        return committed

    return Following([FIRST, SECOND], known, look or nothing, before, longest)


def record(number: int) -> dict[str, object]:
    return {"event_id": f"event-{number}", "topic": "orders", "partition": 0, "offset": number}


async def test_its_event_is_handed_over_and_the_first_alone() -> None:
    known, waiting = Known(), trigger()
    known.note(record(1))
    known.note(record(2))
    following = of(known)
    following.wait(1, waiting)
    assert await following.leads(FIRST, Message("claim:event-1"))
    assert await following.leads(FIRST, Message("claim:event-2"))
    assert waiting.event is not None
    assert waiting.event.names == {"event-1"}
    late = trigger()
    following.wait(1, late)
    assert late.event is waiting.event


async def test_a_record_that_nobody_has_seen_yet_is_looked_for() -> None:
    known = Known()

    async def look() -> None:
        known.note(record(1))

    following, waiting = of(known, look=look), trigger()
    following.wait(1, waiting)
    assert await following.leads(FIRST, Message("claim:event-1"))
    assert waiting.event is not None


async def test_a_message_of_no_event_is_not_the_one_nor_is_one_that_was_given_up_meanwhile() -> None:
    known, waiting = Known(), trigger()
    known.note(record(1))
    following = of(known)
    following.wait(1, waiting)
    assert not await following.leads(FIRST, Message("settings"))
    assert not await following.leads(FIRST, Message("claim:event-1", waiting=False))
    assert waiting.event is None


async def test_a_fault_that_nothing_follows_acts_at_any_message() -> None:
    assert await of(Known()).leads(SECOND, Message("settings"))


async def test_it_is_not_waited_for_once_it_cannot_come() -> None:
    known = Known()
    known.note(record(1))
    following = of(known, longest=0.05)
    assert not following.vain(None, set())
    assert not following.vain(1, {"f1", "f2"}), "the first may still act"
    assert following.vain(1, {"f2"}) == "row 1 has met no event to follow"
    assert await following.leads(FIRST, Message("claim:event-1"))
    assert not following.vain(1, {"f1", "f2"}), "the first is still in place"
    assert not following.vain(1, {"f2"})
    while not (why := following.vain(1, {"f2"})):
        await asyncio.sleep(0.01)
    assert why == "its event had none within 0.05 s of the end of row 1's fault"


def place(offset: int, partition: int = 0) -> tuple[str, int, int]:
    return ("orders", partition, offset)


@pytest.mark.parametrize(
    ("committed", "side", "commits", "led"),
    [
        ({}, "request", [place(2)], "event-1"),
        ({("orders", 0): 1}, "request", [place(2)], "event-1"),
        ({("orders", 0): 2}, "request", [place(2)], None),
        ({("orders", 0): 2}, "request", [place(2), place(1, 1)], "event-9"),
        ({("orders", 0): 2}, "reply", [place(2)], "event-1"),
        (None, "request", [place(2)], "event-1"),
    ],
    ids=["the first", "a further one", "sent again", "sent again with another", "answered", "not known"],
)
async def test_the_event_of_a_commit_is_one_that_it_passes_and_none_before_it(committed, side, commits, led) -> None:
    known, waiting = Known(), trigger()
    known.note(record(1))
    known.note({**record(9), "partition": 1, "offset": 0})
    following = of(known, committed=committed)
    following.wait(1, waiting)
    assert await following.leads(FIRST, Message("a", commits=commits, side=side)) == (led is not None)
    assert (waiting.event.names if waiting.event is not None else None) == ({led} if led else None)


async def test_a_second_group_of_a_service_passes_events_of_its_own() -> None:
    known = Known()
    known.note(record(1))
    following = of(known, committed={("orders", 0): 2})
    assert await following.leads(FIRST, Message("a-audit", commits=[place(2)]))
