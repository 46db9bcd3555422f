"""All observers of one run: passes while it lasts, the question whether all is done, and the final full read."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
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
from harness.observers.spoiled import Spoiled
from harness.observers.topics import Topics

if TYPE_CHECKING:
    from harness.clients.http import HttpClient
    from harness.clients.kafka import KafkaClient, TopicReader
    from harness.observers.awaited import Awaited
    from harness.observers.set_aside import SetAside
    from harness.stack import Fields, RunNames
    from harness.system import System

BETWEEN_PASSES = 0.3
"""Seconds between two rounds of interim passes: they serve timing and the picture, not the verdict."""

TRIED_FOR = 5.0
"""Seconds that what the system file names is given to be there, once the services are ready."""

_SPARED = 3
"""After a round, so many times as long as it took, nothing is read; at most as long as the system's ``settle``."""

COMES_TO_REST = 30.0
"""Seconds that a system which runs already is given to do what it was given before the run."""

_LATELY = 30.0
"""Seconds over which the rate of progress is taken."""

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
        declared = {name: service.reads for name, service in system.services.items() if service.reads is not None}
        self._offsets = Offsets(kafka, list(system.effects), self._event_topics, declared)
        self.spoiled = Spoiled()
        self._backlog: int | None = None
        self._progress: deque[tuple[float, tuple[int, ...]]] = deque()
        self._moved = time.monotonic()
        self._blobs: Blobs | None = None
        self._kept: list[Awaited | Blobs] = []

    async def open(self, urls: Mapping[str, str], blob_url: str | None) -> None:
        """Connect the readers of topics.

        ``urls`` name each service's database; ``blob_url`` has ``{id}`` in it, None: this system has no blobs.
        """
        self._effects = Effects(self._system.effects, urls, sql.each, self._template)
        if self._names.shared:
            await self._leave_aside()
        if blob_url is not None:
            self._blobs = Blobs(self._http, partial(_address, blob_url), self._recorder.now)
            self._kept.append(self._blobs)
        events = await self._kafka.reader(self._event_topics)
        self._readers.append(events)
        self._topics = Topics(events, self._system, self.spoiled)
        self._kept.append(self._topics.awaited)
        if self._system.dead_letters is not None:
            name = self._system.dead_letters.topic
            letters = await self._kafka.reader({name: self._system.topics()[name]})
            self._readers.append(letters)
            self._letters = DeadLetters(letters, self._system.dead_letters, self._names)

    def _template(self, event_id: str, name: str) -> str | None:
        return self._topics.carried.template(event_id, name)

    async def _leave_aside(self) -> None:
        """What was there before the run is not judged, which can be told apart only while the system is at rest.

        StackError if it is not, nor comes to rest for a while.
        """
        deadline = asyncio.get_running_loop().time() + COMES_TO_REST + self._system.settle
        behind: list[str] = []
        while asyncio.get_running_loop().time() < deadline:
            ends = await self._kafka.leave_aside(self._system.topics())
            await asyncio.sleep(self._system.settle)
            async for _ in self._offsets.read(final=False):
                pass
            await self._effects.leave_aside()
            behind = await self._behind()
            if not behind and await self._kafka.ends(self._system.topics()) == ends:
                return
            await asyncio.sleep(BETWEEN_PASSES)
        told = f", and has not passed {', '.join(behind)}" if behind else ""
        raise StackError(
            f"the system that runs is at work{told}: what came of it could not be told from what the run does; "
            "run once it is at rest"
        )

    async def _behind(self) -> list[str]:
        """Partitions, each with its consumer, that hold a record which the group has not passed.

        Asked of the records themselves: a transaction's marker takes an offset, and nobody passes it.
        """
        found = []
        for one in self._offsets.standings or ():
            topic, partition = one.place
            if one.committed is None or one.committed >= one.end:
                continue
            tail = await self._kafka.tail(topic, one.end - one.committed)
            if any(record.partition == partition and record.offset >= one.committed for record in tail):
                found.append(f"{topic}:{partition} ({one.consumer})")
        return found

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
        self._backlog = self._counted() if all(read) else None
        self._ask_for_blobs()
        if self._letters is not None:
            read.append(await observe(self._letters, self._recorder))
        read += [await observe(self._offsets, self._recorder), await observe(self._effects, self._recorder)]
        self._note_progress()
        self.rounds += all(read)

    def _counted(self) -> int | None:
        """Records that groups had not passed in the last pass of the offsets; None if that could not be read.

        The topics were read since, past the ends that it saw: what is at or after a committed offset there is a record,
        and not the marker of a transaction.
        """
        if self._offsets.standings is None:
            return None
        return sum(
            max(0, min(self._topics.last.get(one.place, -1) + 1, one.end) - (one.committed or 0))
            for one in self._offsets.standings
            if one.consumer in self._offsets.committing
        )

    def _note_progress(self) -> None:
        now, pulse = time.monotonic(), self.pulse()
        if not self._progress or self._progress[-1][1] != pulse:
            self._moved = now
        self._progress.append((now, pulse))
        while now - self._progress[0][0] > _LATELY:
            self._progress.popleft()

    async def keep_looking(self) -> None:
        """Rounds until cancelled; one reads all effects there are, so most of the time is left to the others."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await self.look()
            spared = min(_SPARED * (loop.time() - begun), self._system.settle)
            await asyncio.sleep(max(BETWEEN_PASSES, spared))

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

    def on_outcome(self, tell: Callable[[str], object]) -> None:
        """Have ``tell`` told of each upload of which an outcome was seen."""
        self._topics.on_outcome = tell

    def has_outcome(self, upload_id: str) -> bool:
        """Whether an outcome of an upload was seen."""
        return self._topics.awaited.answered("upload", upload_id)

    async def try_out(self) -> None:
        """Ask every question once: what cannot be read is found before the load, not after it. StackError says what.

        A table that is made with a service's first work is given a while, though a service should be ready with it.
        """
        deadline = asyncio.get_running_loop().time() + TRIED_FOR
        while True:
            try:
                await self._effects.try_out()
            except StackError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise StackError(
                        f"{error}; mend the system file, or have it there when the service is ready"
                    ) from error
                await asyncio.sleep(BETWEEN_PASSES)
            else:
                return

    def idle(self) -> bool:
        """Whether groups have passed all there is, and each outcome, follow-up and dead letter has come."""
        return self._backlog == 0 and not self._topics.awaited and not self._idlers() and not self._letters_awaited()

    def _idlers(self) -> list[str]:
        """Consumers that have committed no offset and have no effect, though there are events for them to apply."""
        return [
            name
            for name, effects in self._system.effects.items()
            if name not in self._offsets.committing
            and not self._effects.counts[name]
            and any(kind in self._topics.types for kind in effects.applies)
        ]

    def _letters_awaited(self) -> int:
        """Malformed records that consumers must set aside and have not: a dead letter may wait in an outbox."""
        if self._letters is None:
            return 0
        made, awaited = self._letters.made, 0
        for name, reads in self._offsets.reads.items():
            kinds = {None, *self._system.effects[name].applies}
            due = sum(topic in reads and kind in kinds for topic, kind in self._topics.malformed)
            awaited += max(0, due - made[name])
        return awaited

    @property
    def silent(self) -> list[str]:
        """Consumers with events to apply that have committed no offset: only that nothing moves says they are done."""
        applied = {name: effects.applies for name, effects in self._system.effects.items()}
        return [
            name
            for name, kinds in applied.items()
            if name not in self._offsets.committing and any(kind in self._topics.types for kind in kinds)
        ]

    def pulse(self) -> tuple[int, ...]:
        """Changes whenever something moved: records seen, effects, dead letters, committed offsets."""
        standings = self._offsets.standings or ()
        return (
            self._topics.count,
            sum(self._effects.counts.values()),
            len(self._letters.letters) if self._letters is not None else 0,
            sum(one.committed or 0 for one in standings) if standings else self._last_committed(),
        )

    def _last_committed(self) -> int:
        return self._progress[-1][1][3] if self._progress else 0

    def quiet_for(self) -> float:
        """Seconds for which nothing was seen to move, up to the last look: while nobody looks, nothing is known."""
        return self._progress[-1][0] - self._moved if self._progress else 0.0

    def unfinished(self) -> Fields:
        """What is still to come, and how fast it came lately: for the one who must choose a longer ``drain``.

        ``passed`` are records a second that groups passed over the last ``seconds``, ``effects`` the same of effects.
        """
        if not self._progress:
            return {}
        (first, before), (last, after) = self._progress[0], self._progress[-1]
        seconds = max(last - first, 0.001)
        return {
            "backlog": self._backlog,
            "awaited": len(self._topics.awaited),
            "letters_awaited": self._letters_awaited(),
            "idle": ", ".join(self._idlers()),
            "quiet_seconds": round(self.quiet_for(), 1),
            "seconds": round(seconds, 1),
            "passed_per_second": round(max(0, after[3] - before[3]) / seconds, 1),
            "events_per_second": round(max(0, after[0] - before[0]) / seconds, 1),
            "effects_per_second": round(max(0, after[1] - before[1]) / seconds, 1),
        }

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
