"""Controls on the running system: consumers held back, one fact under two ids, and a record that is malformed."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import orjson
from aiokafka.errors import KafkaError

from harness.calibrate.planting import NotPlantedError
from harness.faults.kafka_malformed import new_key
from harness.model import Where
from harness.observers.topics import event_fields
from harness.pointer import pick
from harness.session.rest import SEVERAL, Rest, observed
from harness.stack import MARK, Pausable, Record

if TYPE_CHECKING:
    from harness.calibrate.tape import Tape
    from harness.run import AtRest
    from harness.system import System

NAME: Final = "calibrate"
"""How the records that it publishes are marked."""

_SPOILED: Final = b"\xffoneffect calibrate"
"""0xFF begins no UTF-8 text, so this is never JSON."""

_TAIL: Final = 500
"""Number of a topic's last records among which an event is searched for."""


@dataclass(frozen=True, slots=True)
class Fact:
    """An event of the run, and the same fact under another id, which was published."""

    consumers: Sequence[str]
    """The consumers that must apply it."""
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    """The fields of both events, as in the history."""


class Live:
    """Disturbs a system at rest, and lets it come to rest again; all reads meanwhile are recorded on ``tape``."""

    def __init__(self, at: AtRest, tape: Tape) -> None:
        self._at, self._tape = at, tape
        self._system, self._live = at.plan.system, at.session.live
        self._rest = Rest(self._live, tape, at.watch, at.progress)
        at.watch.record_to(tape)
        self.facts: list[Fact] = []

    @asynccontextmanager
    async def held_back(self) -> AsyncIterator[None]:
        """Pause every consumer, publish a known fact for each under another id, and wait until nothing moves any more.

        Within, ``facts`` says what was published and the tape has all that was read. At the end the consumers go on.
        NotPlantedError if one cannot be paused, or nothing that a consumer applies can be published again.
        """
        paused: list[Pausable] = []
        chosen = await self._chosen()
        try:
            for name in self._replicas():
                handle: object = self._live.stack.services[name]
                if (reason := self._live.stack.lacks(Pausable, name)) or not isinstance(handle, Pausable):
                    raise NotPlantedError(f"{name} cannot be paused: {reason or 'the stack cannot'}")
                await handle.pause()
                paused.append(handle)
            for consumers, old, record in chosen:
                new = await self._publish(record)
                self.facts.append(Fact(consumers, old, event_fields(new, self._system)))
            async with observed(self._live, self._at.watch, self._tape):
                await self._rest.come(_clock() + SEVERAL * self._system.settle)
            await self._at.watch.read_all()
            yield
        finally:
            for one in paused:
                await one.resume()

    def snapshot(self) -> Tape:
        """Return the tape as it is now."""
        return self._tape.without(lambda _: False)

    async def at_rest(self) -> None:
        """Wait until the system has come to rest, with a deadline after the scenario's ``drain``; read everything."""
        async with observed(self._live, self._at.watch, self._tape):
            await self._rest.come(_clock() + self._at.plan.scenario.drain)
        await self._rest.read_once()

    async def malformed(self) -> list[Record]:
        """Publish a record that is no event on each topic that a consumer reads, wait and read; return the records."""
        reads = sorted({one["topic"] for one in self._tape.records if one["op"] == "offset"})
        if not reads:
            raise NotPlantedError("no consumer's group tells what it reads")
        published = []
        for topic in reads:
            self._at.watch.spoiled.note(_SPOILED, f"spoiled by {NAME}: bytes")
            like = next((one.key for one in await self._live.kafka.tail(topic, 1)), None)
            record = Record(topic, 0, -1, new_key(like, Random(topic)), _SPOILED)
            published.append(await self._publish(record, malformed=f"spoiled by {NAME}: bytes"))
        await self.at_rest()
        return published

    def _replicas(self) -> list[str]:
        return sorted(name for name in self._live.stack.services if name.partition("#")[0] in self._system.effects)

    async def _chosen(self) -> list[tuple[list[str], Mapping[str, Any], Record]]:
        """Return events, one for each consumer if possible, each with a record of its fact under another id."""
        left = {name for name, effects in self._system.effects.items() if effects.countable}
        reads: dict[str, set[str]] = {}
        for one in self._tape.records:
            if one["op"] == "offset":
                reads.setdefault(one["consumer"], set()).add(one["topic"])
        chosen: list[tuple[list[str], Mapping[str, Any], Record]] = []
        for event in reversed(self._tape.records):
            if event["op"] != "event" or "malformed" in event or "error" in event:
                continue
            consumers = [
                name
                for name in sorted(left)
                if event["event_type"] in self._system.effects[name].applies
                and event["topic"] in reads.get(name, {event["topic"]})
            ]
            if not consumers or (record := await self._record(event)) is None:
                continue
            again = under_another_id(record, self._system, consumers)
            if again is not None:
                chosen.append((consumers, event, again))
                left -= set(consumers)
        if not chosen:
            raise NotPlantedError("no event of the run could be published again under another id")
        return chosen

    async def _record(self, event: Mapping[str, Any]) -> Record | None:
        place = (event["topic"], event["partition"], event["offset"])
        tail = await self._live.kafka.tail(event["topic"], _TAIL)
        return next((one for one in tail if (one.topic, one.partition, one.offset) == place), None)

    async def _publish(self, record: Record, malformed: str | None = None) -> Record:
        about = {"topic": record.topic, "partition": record.partition, "malformed": malformed}
        with self._tape.operation("publish", NAME, injected=NAME, **about) as operation:
            try:
                taken = await self._live.kafka.publish(record, headers=[(MARK, NAME.encode())])
            except KafkaError as error:
                raise NotPlantedError(f"{record.topic} takes no record: {error!r}") from error
            operation.ok(offset=taken.offset)
        return taken


def under_another_id(record: Record, system: System, consumers: Sequence[str]) -> Record | None:
    """Return a record with another event id, and another business key where a consumer uses one; None if impossible.

    Everything else stays the same.
    """
    if system.events.decode is not None:
        return None  # its fields would be known only after decoding
    places: list[str | Where] = []
    for by in (system.events.id, *(system.effects[name].by for name in consumers)):
        places += by if isinstance(by, list) else [by] if by is not None else []
    for place in dict.fromkeys(map(_hashable, places)):
        changed = _changed(record, place)
        if changed is None:
            return None
        record = changed
    return record


def _hashable(place: str | Where) -> str | tuple[str | None, bool]:
    return place if isinstance(place, str) else (place.header, place.key)


def _changed(record: Record, place: str | tuple[str | None, bool]) -> Record | None:
    """Return a record with another value at one place; None if there is none."""
    if isinstance(place, tuple):
        header, _ = place
        if header is None:
            return replace(record, key=_fresh(record.key.decode()).encode()) if record.key else None
        headers = tuple((name, _fresh(v.decode()).encode() if name == header else v) for name, v in record.headers)
        return replace(record, headers=headers) if headers != record.headers else None
    try:
        value = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    old = pick(value, place)
    if not isinstance(old, str | int) or isinstance(old, bool):
        return None
    value = copy.deepcopy(value)
    *path, last = (token.replace("~1", "/").replace("~0", "~") for token in place.split("/")[1:])
    holder = value
    for token in path:
        holder = holder[int(token)] if isinstance(holder, list) else holder[token]
    holder[int(last) if isinstance(holder, list) else last] = _fresh(old) if isinstance(old, str) else old + 1_000_003
    return replace(record, value=orjson.dumps(value))


def _fresh(old: str) -> str:
    try:
        UUID(old)
    except ValueError:
        return f"{old}-{uuid4().hex[:8]}"
    return str(uuid4())


def _clock() -> float:
    return asyncio.get_running_loop().time()
