"""kafka.malformed: publishes records that are not valid events."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Field

from harness.errors import FaultError, PlanRefused
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.published import SPOILS, Published, enough, sound
from harness.pointer import pick
from harness.stack import Record

if TYPE_CHECKING:
    from random import Random

    from harness.system import System
    from harness.system_events import Events

Kind = Literal["bytes", "types", "no_raw"]
KINDS: tuple[Kind, ...] = ("bytes", "types", "no_raw")

_TAIL = 50
"""How many of a topic's latest records to search for one that can be spoiled."""

_WRONG: tuple[object, ...] = ("text", 7, [], True)
"""Values of types that an event's data never have."""


class KafkaMalformed(Fault):
    """Publishes ``count`` records: bytes that are not JSON, events with wrong types, events without a raw blob.

    The last two kinds spoil a record of the topic at the system file's pointers (``events.data``, ``events.raw``) and
    keep its event id: a malformed record's identity is its position, never the id that it claims. The seed decides
    contents and partitions.
    """

    name = SPOILS
    summary: ClassVar[str] = (
        "Publishes records that are not valid events: stray bytes, wrong types, or no raw blob id."
    )
    bites: ClassVar[str] = "A service's consumer group passed one of the published records."
    target = "topic"
    needs: ClassVar[tuple[type, ...]] = ()
    heals = False

    count: Annotated[int, Field(ge=1, le=100_000)]
    """How many records to publish, for example ``6``."""
    kinds: Annotated[tuple[Kind, ...] | None, Field(min_length=1)] = None
    """Which kinds to publish; default: all that the topic's events allow."""

    def check(self, on: str, system: System) -> None:  # noqa: ARG002 - only the events matter
        """Wrong types need events that are JSON, ``no_raw`` those that carry a raw blob's id."""
        if system.events.decode is not None and (wrong := sorted({"types", "no_raw"}.intersection(self.kinds or ()))):
            raise PlanRefused(
                f"kinds: {wrong[0]}: such a value cannot be made where events.decode is set; write `kinds: [bytes]`"
            )
        if "no_raw" in (self.kinds or ()) and system.events.raw is None:
            raise PlanRefused(
                "kinds: no_raw: the system file names no events.raw, so no event carries one; leave it out"
            )

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """All records are published once the scope is entered."""
        events = context.system.events
        published = Published(context, on)
        await enough(context, on, 1)
        tail = await context.broker.tail(on, _TAIL, sound)
        kinds = self.kinds or tuple(kind for kind in KINDS if spoiled(kind, tail, events, context.random) is not None)
        for number in range(self.count):
            kind = kinds[number % len(kinds)]
            made = spoiled(kind, tail, events, context.random)
            if made is None:
                raise FaultError(
                    f"kinds: {kind}: none of the last records of {on} can be spoiled this way; leave it out"
                )
            partition = context.random.randrange(context.topics.get(on, 1))
            record = Record(on, partition, -1, *made)
            published.add(await context.publish(record, malformed=f"spoiled by {self.name}: {kind}"))
        yield Injected(published.armed, published.bit)


def spoiled(kind: Kind, tail: Sequence[Record], events: Events, random: Random) -> tuple[bytes | None, bytes] | None:
    """Return a key, and a malformed value made from the newest suitable record of ``tail``; None without one."""
    if kind == "bytes":
        # 0xFF begins no UTF-8 text, so this is never JSON by chance.
        return new_key(tail[-1].key if tail else None, random), b"\xff" + random.randbytes(random.randrange(1, 64))
    if events.decode is not None:
        return None  # the pointers are into decoded values
    for sample in reversed(tail):
        event = _event(sample.value)
        if event is None:
            continue
        spoil = _mistyped(event, events, random) if kind == "types" else _without(event, events.raw)
        if spoil is not None:
            return new_key(sample.key, random), orjson.dumps(spoil)
    return None


def new_key(sample: bytes | None, random: Random) -> bytes | None:
    """Return a key of nobody's for a topic on which keys are like ``sample``: a compacted topic takes no record without one.

    An event's own may be its id, so that a right consumer would take the record for that event come again.
    """
    return None if sample is None else b"oneffect-%016x" % random.getrandbits(64)


def _event(sample: bytes | None) -> dict[str, Any] | None:
    try:
        event = orjson.loads(sample or b"")
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _mistyped(event: dict[str, Any], events: Events, random: Random) -> object | None:
    """Return the event with data of another type; None if it has no data."""
    if events.data is None:
        return random.choice(_WRONG)
    if not isinstance(pick(event, events.data), dict | list):
        return None
    wrong = random.choice([value for value in _WRONG if not isinstance(value, list)])
    return _with(event, events.data.split("/")[1:], lambda holder, name: holder.__setitem__(name, wrong))


def _without(event: dict[str, Any], pointer: str | None) -> object | None:
    """Return the event without the value at the pointer; None if there is no such value."""
    if pointer is None or pick(event, pointer) is None:
        return None
    return _with(event, pointer.split("/")[1:], lambda holder, name: holder.pop(name))


def _with(event: dict[str, Any], tokens: Sequence[str], change: Callable[[Any, Any], object]) -> object:
    """Return a copy of the event, with ``change`` applied to the last of ``tokens`` in its container."""
    made: Any = copy.deepcopy(event)
    holder = made
    names = [token.replace("~1", "/").replace("~0", "~") for token in tokens]
    for name in names[:-1]:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    change(holder, int(names[-1]) if isinstance(holder, list) else names[-1])
    return made
