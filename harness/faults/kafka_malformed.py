"""kafka.malformed: records that are no event, or not quite."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Field

from harness.faults.base import Arena, Fault, Injected
from harness.faults.published import Published, enough
from harness.stack import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

Kind = Literal["bytes", "types", "no_raw"]

_RAW = "raw_file_storage_id"


class KafkaMalformed(Fault):
    """``count`` records: bytes that are no JSON, an event with wrong types, an event that names no raw blob.

    The last two are made of a record that the topic holds, and keep its event id: a malformed record's identity
    is its position, never the id that it claims. Which and where follow from the seed.
    """

    name = "kafka.malformed"
    summary: ClassVar[str] = "Records that are no event: stray bytes, wrong types, no raw_file_storage_id."
    target = "topic"
    needs: ClassVar[tuple[type, ...]] = ()
    heals = False

    count: Annotated[int, Field(ge=1, le=100_000)]
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("bytes", "types", "no_raw")

    @asynccontextmanager
    async def inject(self, on: str, arena: Arena) -> AsyncIterator[Injected]:
        """All are published once the scope is entered."""
        publish = arena.needed_publish()
        published = Published(arena, on)
        tail = await enough(arena, on, 1)
        for number in range(self.count):
            value = malformed(self.kinds[number % len(self.kinds)], tail[-1].value if tail else None, arena.random)
            partition = arena.random.randrange(arena.topics.get(on, 1))
            published.add(await publish(Record(on, partition, -1, None, value)))
        yield Injected(published.armed, published.bit)


def malformed(kind: Kind, sample: bytes | None, random: Random) -> bytes:
    """Bytes of one malformed record; stray bytes where there is no sample to spoil."""
    event = _event(sample)
    if kind == "bytes" or event is None:
        # 0xFF begins no UTF-8 text, so this is never JSON by chance.
        return b"\xff" + random.randbytes(random.randrange(1, 64))
    if kind == "types":
        return orjson.dumps({**event, "data": random.choice(["text", 7, [], None, True])})
    return orjson.dumps(_without_raw(event))


def _event(sample: bytes | None) -> dict[str, Any] | None:
    try:
        event = orjson.loads(sample or b"")
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _without_raw(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_raw(inner) for key, inner in value.items() if key != _RAW}
    return value
