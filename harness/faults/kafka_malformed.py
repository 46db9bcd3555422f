"""kafka.malformed: records that are no event, or not quite."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Field

from harness.errors import FaultError, PlanRefused
from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.published import Published, enough
from harness.pointer import pick
from harness.stack import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

    from harness.system import Events, System

Kind = Literal["bytes", "types", "no_raw"]
KINDS: tuple[Kind, ...] = ("bytes", "types", "no_raw")

_TAIL = 50
"""Records of a topic among which one is looked for that can be spoiled."""

_WRONG: tuple[object, ...] = ("text", 7, [], True)
"""Values of types that no event's data have."""


class KafkaMalformed(Fault):
    """``count`` records: bytes that are no JSON, an event with wrong types, an event that names no raw blob.

    The last two are made of a record that the topic holds, by the pointers of the system file (``events.data``,
    ``events.raw``), and keep its event id: a malformed record's identity is its position, never the id that it claims.
    Which and where follow from the seed.
    """

    name = "kafka.malformed"
    summary: ClassVar[str] = "Records that are no event: stray bytes, wrong types, no raw blob's id."
    bites: ClassVar[str] = "The group of a service passed one of the records that were published."
    target = "topic"
    needs: ClassVar[tuple[type, ...]] = ()
    heals = False

    count: Annotated[int, Field(ge=1, le=100_000)]
    """How many records are published, for example ``6``."""
    kinds: Annotated[tuple[Kind, ...] | None, Field(min_length=1)] = None
    """Left out: those by which an event of the topic's can be spoiled."""

    def check(self, on: str, system: System) -> None:  # noqa: ARG002 - it is the events that matter
        """Without a raw blob's id none can be taken away."""
        if "no_raw" in (self.kinds or ()) and system.events.raw is None:
            raise PlanRefused(
                "kinds: no_raw: the system file names no events.raw, so no event carries one; leave it out"
            )

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """All are published once the scope is entered."""
        events = context.system.events
        published = Published(context, on)
        await enough(context, on, 1)
        tail = [record.value for record in await context.broker.tail(on, _TAIL)]
        kinds = self.kinds or tuple(kind for kind in KINDS if spoiled(kind, tail, events, context.random) is not None)
        for number in range(self.count):
            kind = kinds[number % len(kinds)]
            value = spoiled(kind, tail, events, context.random)
            if value is None:
                raise FaultError(f"kinds: {kind}: none of the last records of {on} can be spoiled so; leave it out")
            partition = context.random.randrange(context.topics.get(on, 1))
            record = Record(on, partition, -1, None, value)
            published.add(await context.publish(record, malformed=f"spoiled by {self.name}: {kind}"))
        yield Injected(published.armed, published.bit)


def spoiled(kind: Kind, tail: Sequence[bytes | None], events: Events, random: Random) -> bytes | None:
    """One malformed record, made of the newest of ``tail`` that lends itself to it; None if none does."""
    if kind == "bytes":
        # 0xFF begins no UTF-8 text, so this is never JSON by chance.
        return b"\xff" + random.randbytes(random.randrange(1, 64))
    for sample in reversed(tail):
        event = _event(sample)
        if event is None:
            continue
        spoil = _mistyped(event, events, random) if kind == "types" else _without(event, events.raw)
        if spoil is not None:
            return orjson.dumps(spoil)
    return None


def _event(sample: bytes | None) -> dict[str, Any] | None:
    try:
        event = orjson.loads(sample or b"")
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _mistyped(event: dict[str, Any], events: Events, random: Random) -> object | None:
    """The event with data of another type; None if it has no data."""
    if events.data is None:
        return random.choice(_WRONG)
    if not isinstance(pick(event, events.data), dict | list):
        return None
    wrong = random.choice([one for one in _WRONG if not isinstance(one, list)])
    return _with(event, events.data.split("/")[1:], lambda holder, name: holder.__setitem__(name, wrong))


def _without(event: dict[str, Any], pointer: str | None) -> object | None:
    """The event without what stands at the pointer; None if nothing does."""
    if pointer is None or pick(event, pointer) is None:
        return None
    return _with(event, pointer.split("/")[1:], lambda holder, name: holder.pop(name))


def _with(event: dict[str, Any], tokens: Sequence[str], change: Callable[[Any, Any], object]) -> object:
    """A copy of the event in which the last of ``tokens`` is changed in what holds it."""
    made: Any = copy.deepcopy(event)
    holder = made
    names = [token.replace("~1", "/").replace("~0", "~") for token in tokens]
    for name in names[:-1]:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    change(holder, int(names[-1]) if isinstance(holder, list) else names[-1])
    return made
