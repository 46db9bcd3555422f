"""All observers of one run: interim passes, whether the system is done, and the final full read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.clients.coders import Decoder
from harness.errors import StackError
from harness.history.recorder import Recorder
from harness.observers.activity import Activity
from harness.observers.base import Observer, observe
from harness.observers.before import leave_aside
from harness.observers.blobs import Blobs, Get
from harness.observers.dead_letters import DeadLetters, Known
from harness.observers.decoded import Decoded, decoded
from harness.observers.effects import Effects
from harness.observers.forms import Asked, Reach, source
from harness.observers.offsets import Offsets
from harness.observers.spoiled import Spoiled
from harness.observers.topics import Topics
from harness.observers.totals import Totals

if TYPE_CHECKING:
    from harness.clients.http import HttpClient
    from harness.clients.kafka import KafkaClient
    from harness.effects import Effects as Described
    from harness.effects import Total
    from harness.observers.awaited import Awaited
    from harness.observers.carried import Of
    from harness.observers.known import Known as KnownEvents
    from harness.observers.set_aside import SetAside
    from harness.observers.sources import Reader, Source
    from harness.stack import Record, RunNames, TopicPartition
    from harness.system import System

BETWEEN_PASSES = 0.3
"""Seconds between rounds of interim passes, which serve timing and the picture, not the verdict."""

TRIED_FOR = 5.0
"""Seconds, once the services are ready, within which the tables that the system file queries must exist."""

TRIES = 3
"""How often a final pass is made until one succeeds."""

BETWEEN_TRIES = 2.0
"""Seconds between them."""

TRIED_AGAIN_FOR = 60.0
"""Seconds after which a final read repeats no pass: whoever has not answered by then is away."""

_SPARED = 3
"""After a round, reading pauses for this many times as long as the round took, at most for the system's ``settle``."""

BETWEEN_BLOBS = 0.02
"""Seconds between rounds of blob reads: short, so that a late blob is seen to be late."""


class Watch:
    """The observers of one run, which bypass the proxies; use it between ``open`` and ``close``."""

    def __init__(
        self,
        system: System,
        recorder: Recorder,
        *,
        kafka: KafkaClient,
        http: HttpClient,
        names: RunNames,
    ) -> None:
        self._names = names
        self.rounds = 0
        """Completed rounds of interim passes."""
        self.round_seconds = 0.0
        """Seconds that the last one took."""
        self._http = http
        self._system = system
        self._recorder = recorder
        self._kafka = kafka
        self._readers: list[Reader] = []
        self._event_topics = {name: count for name, count in system.topics().items() if name in system.events.topics}
        self._decoder: Decoder | None = None
        self._topics: Topics
        self._letters: DeadLetters | None = None
        self._effects = Effects({}, {})
        self._totals: Totals | None = None
        declared = {name: service.reads for name, service in system.services.items() if service.reads is not None}
        self._offsets = Offsets(kafka, list(system.effects), self._event_topics, declared)
        self.spoiled = Spoiled()
        self.activity: Activity
        """What moves, and what is still missing; set by ``open``."""
        self._blobs: Blobs | None = None
        self._kept: list[Awaited | Blobs] = []
        self._died = asyncio.Event()
        self._brisk = asyncio.Event()
        self._looking = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._others: Sequence[Observer] = ()
        """Observers that the end of a run does not wait for; read last in each round and in the final read."""

    async def open(self, reach: Reach, blob_url: str | None) -> None:
        """Connect the readers; ``blob_url`` contains ``{id}``, or is None for a system without blobs."""
        countable = {name: effects for name, effects in self._system.effects.items() if effects.countable}
        sources = {name: self._source(name, effects, reach) for name, effects in countable.items()}
        self._effects = Effects(countable, sources, self._template, event=self._system.events.id)
        totals = {name: effects.total for name, effects in self._system.effects.items() if effects.total is not None}
        if totals:
            self._totals = Totals(totals, {name: self._source(name, total, reach) for name, total in totals.items()})
        if self._names.shared:
            await leave_aside(
                self._system,
                self._kafka,
                self._offsets,
                self._effects,
                self.hidden,
                begins_later=self._names.begins_later,
            )
        if blob_url is not None:
            self._blobs = Blobs(self._http, partial(_address, blob_url), self._recorder.now)
            self._kept.append(self._blobs)
        events = await self._kafka.reader(self._event_topics)
        self._readers.append(events)
        described = self._system.events.decode
        if described is not None:
            self._decoder = Decoder(described, reach.folder)
        read = events if self._decoder is None else Decoded(events, self._decoder, self.spoiled)
        self._topics = Topics(read, self._system, self.spoiled, settled=partial(self._settled, self._event_topics))
        self._kept.append(self._topics.awaited)
        if self._system.dead_letters is not None:
            name = self._system.dead_letters.topic
            records = await self._kafka.reader({name: self._system.topics()[name]})
            letters = await decoded(records, self._system.dead_letters.decode, reach.folder, "dead_letters.")
            self._readers.append(letters)
            self._letters = DeadLetters(
                letters,
                self._system.dead_letters,
                self._names,
                Known(self._system.events.topics, self._system.services.keys()),
                settled=partial(self._settled, [name]),
            )
        self.activity = Activity(
            self._system, self._topics, self._offsets, self._effects, totals=self._totals, letters=self._letters
        )

    def _source(self, consumer: str, read: Described | Total, reach: Reach) -> Source:
        topics = self._system.topics()
        asked = Asked(
            consumer,
            read,
            reach,
            stores=self._system.of_kind("redis"),
            http=self._http,
            opened=lambda topic: self._kafka.reader({topic: topics[topic]}),
            settled=lambda topic: self._settled([topic]),
        )
        return source(asked)

    async def _settled(self, topics: Collection[str]) -> None:
        """Raise StackError while a transaction is open on one of the topics."""
        await self._kafka.require_settled({name: self._system.topics()[name] for name in topics})

    def _template(self, of: Of, name: str) -> str | None:
        return self._topics.carried.template(of, name)

    async def hidden(self) -> str:
        """Say why a topic cannot be read whole now, as a transaction is open on it; empty if all can."""
        topics = {effects.topic.name for effects in self._system.effects.values() if effects.topic is not None}
        letters = {self._system.dead_letters.topic} if self._system.dead_letters is not None else set()
        try:
            await self._settled(sorted({*self._event_topics, *topics, *letters}))
        except StackError as error:
            return str(error)
        return ""

    def record_to(self, recorder: Recorder) -> None:
        """Record all further reads in ``recorder``."""
        self._recorder = recorder

    async def read_instead(
        self,
        recorder: Recorder,
        *,
        effects: Mapping[str, Source] | None = None,
        totals: Mapping[str, Source] | None = None,
    ) -> None:
        """Make a final read of effects and totals into ``recorder``, from other sources for the given services."""
        await observe(self._effects.instead(effects or {}), recorder, final=True)
        if self._totals is not None:
            await observe(self._totals.instead(totals or {}), recorder, final=True)

    async def read_blobs_through(self, recorder: Recorder, http: Get) -> None:
        """Make a final read of the blobs into ``recorder``, through another client."""
        if self._blobs is not None:
            await observe(self._blobs.through(http), recorder, final=True)

    async def close(self) -> None:
        """Disconnect the readers and delete the temporary files."""
        for reader in self._readers:
            await reader.close()
        if self._decoder is not None:
            await self._decoder.program.close()
        await self._effects.close()
        if self._totals is not None:
            await self._totals.close()
        for kept in self._kept:
            kept.close()

    async def look(self) -> None:
        """Make one round of interim passes.

        Topics and offsets are read before effects: an effect that a pass lacks was then still missing after its event
        was seen and its offset passed.
        """
        read = [await self.look_at_topics()]
        self.activity.count(whole=all(read))
        self._ask_for_blobs()
        if self._letters is not None:
            read.append(await observe(self._letters, self._recorder))
        read += [await observe(self._offsets, self._recorder), await self._look_at_effects()]
        if self._totals is not None:
            read.append(await observe(self._totals, self._recorder))
        for other in self._others:
            await observe(other, self._recorder)
        self.activity.note()
        self.rounds += all(read)

    async def keep_looking(self) -> None:
        """Make rounds until cancelled. Each reads all effects, so longer pauses leave the databases to the system."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await self.look()
            self.round_seconds = loop.time() - begun
            spared = min(_SPARED * self.round_seconds, self._system.settle)
            # Not `wait_for`: until Python 3.12 it swallows a cancellation that comes as its wait ends.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(BETWEEN_PASSES, spared)):
                    await self._brisk.wait()

    @contextmanager
    def without_pauses(self) -> Iterator[None]:
        """Make rounds back to back while the scope lasts: a system at rest needs no pauses."""
        self._brisk.set()
        try:
            yield
        finally:
            self._brisk.clear()

    def look_soon(self) -> None:
        """Have the effects read soon: something died, and what it had done shows only until its work is redone."""
        self._died.set()

    async def keep_looking_after_deaths(self) -> None:
        """Look at the effects as soon as something died, until cancelled."""
        while True:
            await self._died.wait()
            self._died.clear()
            await self._look_at_effects()

    def know(self, known: KnownEvents) -> None:
        """Pass every event to ``known`` from now on."""
        self._topics.known = known

    async def look_at_topics(self) -> bool:
        """Read the topics up to their ends; return whether that succeeded."""
        async with self._reading:
            return await observe(self._topics, self._recorder)

    async def _look_at_effects(self) -> bool:
        async with self._looking:
            return await observe(self._effects, self._recorder)

    async def keep_reading_blobs(self) -> None:
        """Read blobs as they are requested, until cancelled."""
        while self._blobs is not None:
            if self._blobs.asked:
                await observe(self._blobs, self._recorder)
            await asyncio.sleep(BETWEEN_BLOBS)

    def acknowledged(self, storage_id: str, sha256: str) -> None:
        """Have an upload's raw blob read at once: it must exist as soon as the upload is acknowledged."""
        if self._blobs is not None:
            self._blobs.ask(storage_id, "answer", sha256)

    def _ask_for_blobs(self) -> None:
        for raw in self._topics.take_raws():
            if self._blobs is not None:
                self._blobs.ask(raw, "event")

    def asked(self, of: str, key: str, acceptable: bool) -> None:  # noqa: FBT001 - a callback
        """Note that an upload or a batch needs an outcome before the system is done."""
        self._topics.awaited.asked(of, key, acceptable=acceptable)

    def asked_again(self, of: str, key: str) -> None:
        """Note that an upload needs one more outcome before the system is done."""
        self._topics.awaited.asked_again(of, key)

    def settled(self, of: str, key: str) -> bool:
        """Whether an upload has every outcome that it needs."""
        return self._topics.awaited.settled(of, key)

    def letters(self) -> Sequence[SetAside]:
        """Return the dead letters seen so far."""
        return self._letters.set_aside if self._letters is not None else ()

    def committed(self, consumer: str) -> Mapping[TopicPartition, int] | None:
        """Return the offsets that a consumer had committed at the last pass; None if that saw none of its group."""
        seen = [group for group in self._offsets.latest or () if group.consumer == consumer]
        return {group.place: group.committed or 0 for group in seen} or None

    def overwritten(self, record: Record) -> None:
        """Note an event of the system's own in whose place a fault put other bytes."""
        told = self._topics.overwritten(record)
        fields = {name: value for name, value in told.items() if name not in {"op", "phase"}}
        self._recorder.record("overwritten", "seen", "observer:topics", **fields)

    def on_outcome(self, tell: Callable[[str], object]) -> None:
        """Have ``tell`` called with the id of each upload whose outcome is seen."""
        self._topics.on_outcome = tell

    def has_outcome(self, upload_id: str) -> bool:
        """Whether an outcome of an upload was seen."""
        return self._topics.awaited.answered("upload", upload_id)

    async def try_out(self) -> None:
        """Run every query and the decoder once, so that failures show before the load. StackError gives the reason.

        Tables get a while to appear, although a service should not be ready without them.
        """
        if self._decoder is not None:
            await self._decoder.decode([])
        deadline = asyncio.get_running_loop().time() + TRIED_FOR
        while True:
            try:
                await self._effects.try_out()
                if self._totals is not None:
                    await self._totals.try_out()
            except StackError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise StackError(
                        f"{error}; correct the system file, or create what it names before the service is ready"
                    ) from error
                await asyncio.sleep(BETWEEN_PASSES)
            else:
                break
        # The run's events are added to the totals as they are before the load.
        if self._totals is not None and not await observe(self._totals, self._recorder):
            raise StackError("the totals could be read once, but not again before the load; run again")

    async def read_offsets(self) -> None:
        """Read the offsets that the verdict uses. An effect still missing ``settle`` later will not come."""
        await self._finally(self._offsets, asyncio.get_running_loop().time() + TRIED_AGAIN_FOR)

    async def read_all(self) -> None:
        """Do the rest of the final read: effects, dead letters, topics (past ends taken after the effects), blobs."""
        until = asyncio.get_running_loop().time() + TRIED_AGAIN_FOR
        await self._finally(self._effects, until)
        if self._totals is not None:
            await self._finally(self._totals, until)
        if self._letters is not None:
            await self._finally(self._letters, until)
        await self._finally(self._topics, until)
        self._ask_for_blobs()
        if self._blobs is not None:
            await self._finally(self._blobs, until)
        for other in self._others:
            await self._finally(other, until)

    async def _finally(self, observer: Observer, until: float) -> None:
        """Make a final pass. One that fails is made again, but not after ``until``: a store may have had no time to answer."""
        for tried in range(1, TRIES + 1):
            if await observe(observer, self._recorder, final=True):
                return
            if tried == TRIES or asyncio.get_running_loop().time() >= until:
                return
            await asyncio.sleep(BETWEEN_TRIES)


def _address(template: str, storage_id: str) -> str:
    """Fill in a blob's id, quoted: it comes from the system under test, and must stay one path segment."""
    return template.replace("{id}", quote(storage_id, safe=""))
