"""All observers of one run: passes while it lasts, the question whether all is done, and the final full read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.clients import sql
from harness.errors import StackError
from harness.history.recorder import Recorder
from harness.observers.base import observe
from harness.observers.blobs import Blobs
from harness.observers.dead_letters import DeadLetters
from harness.observers.effects import Effects
from harness.observers.offsets import Offsets
from harness.observers.topics import Topics

if TYPE_CHECKING:
    from harness.clients.http import HttpClient
    from harness.clients.kafka import KafkaClient, TopicReader
    from harness.observers.awaited import Awaited
    from harness.observers.set_aside import SetAside
    from harness.stack import RunNames
    from harness.system import System

BETWEEN_PASSES = 0.3
"""Seconds between two rounds of interim passes: they serve timing and the picture, not the verdict."""

_SPARED = 3
"""After a round, so many times as long as it took, nothing is read."""

COMES_TO_REST = 30.0
"""Seconds that a system which runs already is given to do what it was given before the run."""

BETWEEN_BLOBS = 0.02
"""Seconds between two rounds of blob reads: a blob that comes late is to be seen late."""


class Watch:
    """Observers of one run, all past the proxies. ``open`` connects, ``close`` lets go."""

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
        self._http = http
        self._system = system
        self._recorder = recorder
        self._kafka = kafka
        self._readers: list[TopicReader] = []
        self._event_topics = {name: count for name, count in system.topics().items() if name in system.events.topics}
        self._topics: Topics
        self._letters: DeadLetters | None = None
        self._effects: Effects
        self._offsets = Offsets(kafka, list(system.effects), self._event_topics)
        self._blobs: Blobs | None = None
        self._kept: list[Awaited | Blobs] = []

    async def open(self, urls: Mapping[str, str], blob_url: str | None) -> None:
        """Connect the readers of topics.

        ``urls`` name each service's database; ``blob_url`` has ``{id}`` in it, None: this system has no blobs.
        """
        self._effects = Effects(self._system.effects, urls, sql.each)
        if self._names.shared:
            await self._leave_aside()
        if blob_url is not None:
            self._blobs = Blobs(self._http, partial(_address, blob_url), self._recorder.now)
            self._kept.append(self._blobs)
        events = await self._kafka.reader(self._event_topics)
        self._readers.append(events)
        self._topics = Topics(events, self._system)
        self._kept.append(self._topics.awaited)
        if self._system.dead_letters is not None:
            name = self._system.dead_letters.topic
            letters = await self._kafka.reader({name: self._system.topics()[name]})
            self._readers.append(letters)
            self._letters = DeadLetters(letters, self._system.dead_letters, self._names)

    async def _leave_aside(self) -> None:
        """What was there before the run is not judged, which can be told apart only while the system is at rest.

        StackError if it is not, nor comes to rest for a while.
        """
        deadline = asyncio.get_running_loop().time() + COMES_TO_REST + self._system.settle
        while asyncio.get_running_loop().time() < deadline:
            ends = await self._kafka.leave_aside(self._system.topics())
            await asyncio.sleep(self._system.settle)
            async for _ in self._offsets.read(final=False):
                pass
            await self._effects.leave_aside()
            if self._offsets.backlog <= 0 and await self._kafka.ends(self._system.topics()) == ends:
                return
            await asyncio.sleep(BETWEEN_PASSES)
        behind = f", and {self._offsets.backlog} records are not done" if self._offsets.backlog > 0 else ""
        raise StackError(
            f"the system that runs is at work{behind}: what came of it could not be told from what the run does; "
            "run once it is at rest"
        )

    async def close(self) -> None:
        """Disconnect."""
        for reader in self._readers:
            await reader.close()
        for kept in self._kept:
            kept.close()

    async def look(self) -> None:
        """One round of interim passes.

        Topics and offsets come before effects, so that an effect that is missing from a pass was missing after
        its event was seen and after its offset was passed.
        """
        read = [await observe(self._topics, self._recorder)]
        self._ask_for_blobs()
        read += [await observe(self._offsets, self._recorder), await observe(self._effects, self._recorder)]
        self.rounds += all(read)

    async def keep_looking(self) -> None:
        """Rounds until cancelled; one reads all effects there are, so most of the time is left to the others."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await self.look()
            await asyncio.sleep(max(BETWEEN_PASSES, _SPARED * (loop.time() - begun)))

    async def keep_reading_blobs(self) -> None:
        """Read blobs as they are asked for, until cancelled."""
        while self._blobs is not None:
            if self._blobs.asked:
                await observe(self._blobs, self._recorder)
            await asyncio.sleep(BETWEEN_BLOBS)

    def acknowledged(self, storage_id: str, sha256: str) -> None:
        """Have an upload's raw blob read at once: it must be there as soon as the answer is."""
        if self._blobs is not None:
            self._blobs.ask(storage_id, "answer", sha256)

    def _ask_for_blobs(self) -> None:
        for raw in self._topics.take_raws():
            if self._blobs is not None:
                self._blobs.ask(raw, "event")

    def asked(self, of: str, key: str) -> None:
        """An upload or a batch must have its outcome before all is done."""
        self._topics.awaited.asked(of, key)

    def asked_again(self, of: str, key: str) -> None:
        """An upload must have one more outcome before all is done."""
        self._topics.awaited.asked_again(of, key)

    def settled(self, of: str, key: str) -> bool:
        """Whether an upload has every outcome that it was asked for."""
        return self._topics.awaited.settled(of, key)

    def letters(self) -> Sequence[SetAside]:
        """The dead letters seen so far."""
        return self._letters.set_aside if self._letters is not None else ()

    def idle(self) -> bool:
        """Whether groups have passed all there is, and each outcome and follow-up has come."""
        return self._offsets.backlog == 0 and not self._topics.awaited

    def pulse(self) -> tuple[int, int]:
        """Changes whenever a new event or effect was seen."""
        return self._topics.count, self._effects.count

    async def read_offsets(self) -> None:
        """The offsets that judge; what has no effect when it is read ``settle`` later will have none."""
        await observe(self._offsets, self._recorder, final=True)

    async def read_all(self) -> None:
        """The rest of the final full read: effects, dead letters, topics (past ends taken after the effects), blobs."""
        await observe(self._effects, self._recorder, final=True)
        if self._letters is not None:
            await observe(self._letters, self._recorder, final=True)
        await observe(self._topics, self._recorder, final=True)
        self._ask_for_blobs()
        if self._blobs is not None:
            await observe(self._blobs, self._recorder, final=True)


def _address(template: str, storage_id: str) -> str:
    """The id comes from the system under test: it may name a path segment and nothing else."""
    return template.replace("{id}", quote(storage_id, safe=""))
