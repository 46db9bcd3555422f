"""Controls that leave the system alone: its observers read a copy in which something was planted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from harness.calibrate.planting import NotPlantedError, Planted, double, lose, raise_total
from harness.calibrate.scratch import Scratch, SqliteScratch
from harness.calibrate.tape import Record, Tape
from harness.clients.http import Blob
from harness.effects import Sql
from harness.errors import StackError
from harness.model import By
from harness.observers.base import observe
from harness.observers.decoded import decoded
from harness.observers.located import named_key
from harness.observers.sources import Output, Reader, Source, Take

if TYPE_CHECKING:
    from harness.run import AtRest
    from harness.stack import Fields
    from harness.stack import Record as Published

_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Altered:
    """A history with something planted, how it was planted, and what findings about it must say."""

    tape: Tape
    how: str
    wanted: Sequence[str]
    about: Mapping[str, Sequence[object]]


class Copies:
    """Plants controls in copies of the data of a run at rest; ``tape`` is its history, with the final read."""

    def __init__(self, at: AtRest, tape: Tape) -> None:
        self._at, self._tape = at, tape
        self._system = at.plan.system

    async def lost(self, consumer: str) -> Altered:
        """Remove one effect, and every earlier sight of it; NotPlantedError if it cannot be removed."""
        described = self._system.effects[consumer]
        if described.topic is not None:
            chosen = self._on_topic(consumer)
            source = self._topic(consumer, lambda records: [one for one in records if not _at(one, chosen)])
            tape = await self._read(self._tape.without(partial(_same, chosen)), effects={consumer: source})
            return Altered(tape, "a record left out", ("lost",), {"consumer": [consumer]})

        async def read(scratch: Scratch) -> Altered:
            planted = await asyncio.to_thread(lose, scratch, self._known(consumer))
            gone = self._named(consumer, planted.id)

            def of_it(one: Record) -> bool:
                same = one.get("key" if described.by is not None else "event_id") == gone
                return same and one["op"] == "effect" and one.get("consumer") == consumer

            tape = await self._read(self._tape.without(of_it), effects={consumer: _Rows(scratch)})
            return Altered(tape, planted.said, ("lost",), {"consumer": [consumer]})

        return await self._scratched(consumer, described.sql, read)

    async def duplicate(self, consumer: str) -> Altered:
        """Add a second copy of one effect; NotPlantedError if the store refuses it."""
        described = self._system.effects[consumer]
        if described.topic is not None:
            chosen = self._on_topic(consumer)
            source = self._topic(consumer, lambda records: _again(records, chosen))
            tape = await self._read(self._tape, effects={consumer: source})
            return Altered(tape, "a record copied", ("duplicate",), {"consumer": [consumer]})

        async def read(scratch: Scratch) -> Altered:
            planted = await asyncio.to_thread(double, scratch, self._known(consumer))
            tape = await self._read(self._tape, effects={consumer: _Rows(scratch)})
            return Altered(tape, planted.said, ("duplicate",), {"consumer": [consumer]})

        return await self._scratched(consumer, described.sql, read)

    async def total(self, consumer: str) -> Altered:
        """Raise one total above what its events add up to; NotPlantedError if changing no single number does that."""
        total = self._system.effects[consumer].total
        assert total is not None  # noqa: S101 - asked for only where there is one
        events = [
            one for one in self._tape.records if one["op"] == "event" and consumer in (one.get("amounts") or {})
        ]
        keys = {one["keys"].get(f"{consumer}.total") for one in events}
        amount = Decimal(events[0]["amounts"][consumer]) if events else Decimal(1)

        async def read(scratch: Scratch) -> Altered:
            planted: Planted = await asyncio.to_thread(
                raise_total, scratch, lambda named: _spelled(total.by, named) in keys, amount
            )
            tape = await self._read(self._tape, totals={consumer: _Rows(scratch)})
            return Altered(tape, planted.said, ("total_wrong",), {"consumer": [consumer]})

        return await self._scratched(consumer, total.sql, read)

    async def raw_different(self) -> Altered:
        """Flip a bit of one raw blob as it is read; NotPlantedError if no blob with content was read."""
        tape = self._tape.without(lambda _: False)
        damaged = _Damaged(self._at.http.blob)
        await self._at.watch.read_blobs_through(tape, damaged)
        if damaged.url is None:
            raise NotPlantedError("no blob was read that has a byte to flip")
        return Altered(tape, "a byte of a blob flipped", ("raw_different",), {})

    async def _read(
        self,
        tape: Tape,
        *,
        effects: Mapping[str, Source] | None = None,
        totals: Mapping[str, Source] | None = None,
    ) -> Tape:
        """Repeat the final read into a copy of the tape; the topics, which are unchanged, come after the effects."""
        tape = tape.without(lambda _: False)
        await self._at.watch.read_instead(tape, effects=effects, totals=totals)
        await observe(_Unchanged(), tape, final=True)
        return tape

    async def _scratched(
        self, consumer: str, sql: Sql | None, read: Callable[[Scratch], Awaitable[Altered]]
    ) -> Altered:
        """Call ``read`` with a scratch copy of the database that a query reads, and discard the copy."""
        if sql is None:
            raise NotPlantedError("only SQLite and Postgres databases and topics can be copied")
        url = self._at.session.live.filled(sql.url, consumer)
        with TemporaryDirectory(prefix="oneffect-") as folder:
            scratch = await asyncio.to_thread(_copied, url, sql.query, Path(folder) / "copy")
            try:
                return await read(scratch)
            finally:
                await asyncio.to_thread(scratch.close)

    def _known(self, consumer: str) -> Callable[[object], bool]:
        by = self._system.effects[consumer].by
        named = {one.get("key" if by is not None else "event_id") for one in self._effects(consumer)}
        return lambda raw: self._named(consumer, raw) in named

    def _named(self, consumer: str, raw: object) -> str | None:
        by = self._system.effects[consumer].by
        return _spelled(by if by is not None else self._system.events.id, raw)

    def _effects(self, consumer: str) -> list[Record]:
        return [one for one in self._tape.last("effects") if one.get("consumer") == consumer and "error" not in one]

    def _on_topic(self, consumer: str) -> Record:
        effects = self._effects(consumer)
        if not effects:
            raise NotPlantedError("no effect was read")
        return effects[-1]

    def _topic(self, consumer: str, change: Callable[[Sequence[Published]], Sequence[Published]]) -> Source:
        described = self._system.effects[consumer].topic
        assert described is not None  # noqa: S101 - asked for only where there is one
        partitions = {described.name: self._system.topics()[described.name]}

        async def opened() -> Reader:
            reader = _Changed(await self._at.session.live.kafka.reader(partitions), change)
            return await decoded(reader, described.decode, self._at.plan.folder)

        return Output(described, opened)


def _copied(url: str, query: str, at: Path) -> Scratch:
    if url.startswith(_SQLITE):
        return SqliteScratch(Path(url.removeprefix(_SQLITE)), at, query)
    from harness.calibrate.postgres_scratch import PostgresScratch

    return PostgresScratch(url, query)


def _spelled(by: By, raw: object) -> str | None:
    """Return a row's id as the history spells it; None if it is not a valid id or key."""
    try:
        return named_key(by, raw)
    except StackError:
        return None


def _same(chosen: Record, one: Record) -> bool:
    """Whether a record of the history is a read of the chosen record of a topic."""
    return one["op"] == "effect" and all(one.get(name) == chosen[name] for name in ("topic", "partition", "offset"))


def _at(published: Published, chosen: Record) -> bool:
    place = (published.topic, published.partition, published.offset)
    return place == (chosen["topic"], chosen["partition"], chosen["offset"])


def _again(records: Sequence[Published], chosen: Record) -> list[Published]:
    """Return the records with a copy of the chosen one at the end of its partition."""
    end = max((one.offset for one in records if one.partition == chosen["partition"]), default=-1) + 1
    return [*records, *(replace(one, offset=end) for one in records if _at(one, chosen))]


class _Rows:
    """A source that reads the query's rows from a scratch copy."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    async def each(self, take: Take, *, everything: bool) -> None:  # noqa: ARG002 - a query always returns everything
        """Pass every row to ``take``."""
        take(await asyncio.to_thread(self._scratch.rows))

    async def close(self) -> None:
        """Do nothing: the copy is thrown away elsewhere."""


class _Changed:
    """A topic's reader whose records are altered by ``change``."""

    def __init__(self, reader: Reader, change: Callable[[Sequence[Published]], Sequence[Published]]) -> None:
        self._reader, self._change = reader, change

    async def pass_to_end(self) -> Sequence[Published]:
        """Return the changed records."""
        return self._change(await self._reader.pass_to_end())

    async def close(self) -> None:
        """Close the reader."""
        await self._reader.close()


class _Damaged:
    """Reads blobs, and flips a bit in the first byte of the first that has one, each time that it is read."""

    def __init__(self, blob: Callable[..., Awaitable[Blob]]) -> None:
        self._blob = blob
        self.url: str | None = None
        """The damaged blob's URL, once it was read."""

    async def blob(self, url: str) -> Blob:
        """Read a blob; never raises for what the server does."""

        def flipped(content: bytes) -> bytes:
            if not content or self.url not in {None, url}:
                return content
            self.url = url
            return bytes([content[0] ^ 1]) + content[1:]

        return await self._blob(url, flipped)


class _Unchanged:
    """Stands for the topics at rest, of which every record was read before."""

    what = "topics"

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:  # noqa: ARG002 - nothing is new
        """Yield nothing."""
        nothing: list[Fields] = []
        for one in nothing:
            yield one
