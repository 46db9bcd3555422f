"""Puts the scheduled events straight on a topic, and records each as an operation."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from harness.errors import StackError
from harness.load.paced import Paced
from harness.load.values import Values
from harness.stack import Record
from harness.template import filled, filled_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from harness.clients.producer import Appended
    from harness.history.recorder import Recorder
    from harness.load.schedule import Planned
    from harness.scenario import LoadShape
    from harness.system_load import PublishLoad


_SAME: Final = ("malformed", "event_id", "event_type", "causation_id", "joins", "keys")
"""Fields that must survive encoding and decoding, as they identify and join an event."""


class Producer(Protocol):
    """Appends records to a topic; a record with partition -1 goes to the partition of its key."""

    async def append(self, record: Record) -> Appended:
        """Append one record, once; never raises for what the broker does."""


class Encodes(Protocol):
    """Turns JSON into record values."""

    async def encode(self, text: bytes) -> tuple[bytes, bytes]:
        """Return the encoded value of a JSON text, and the JSON text to which that value is decoded."""

    async def close(self) -> None:
        """Release its resources."""


class Publishing(Paced[Record]):
    """One run's published events; ``connect`` opens a producer for as long as the load lasts.

    Each event is published once. The idempotent producer retries a request under the same sequence number, so the
    broker keeps one record; a retry by the load would add a second. ``read`` reads an event as observers do.
    """

    what = "published events"

    def __init__(  # noqa: PLR0913 - the parts of a load
        self,
        shape: LoadShape,
        described: PublishLoad,
        *,
        run: str,
        seed: int,
        recorder: Recorder,
        partitions: int,
        read: Callable[[Record], Mapping[str, object]],
        connect: Callable[[], AbstractAsyncContextManager[Producer]],
        encoder: Encodes | None = None,
    ) -> None:
        super().__init__(shape, run=run, seed=seed)
        self._encoder, self._encoding = encoder, asyncio.Lock()
        self._described, self._recorder = described, recorder
        self._partitions, self._read, self._connect = partitions, read, connect
        self._producer: Producer

    def prepare(self) -> None:
        """Do nothing: events are quick to make."""

    async def run(self, more: Callable[[], bool] = lambda: False) -> None:
        """Publish every event at its time; StackError if the broker does not answer, or a value cannot be encoded."""
        try:
            async with self._connect() as self._producer:
                await super().run(more)
        finally:
            if self._encoder is not None:
                await self._encoder.close()

    async def _made(self, planned: Planned) -> Record:
        return self.record(planned)

    async def _encoded(self, made: Record) -> Record:
        """Return a record with its value encoded; StackError if that decodes to another event."""
        if self._encoder is None:
            return made
        async with self._encoding:
            value, decoded = await self._encoder.encode(made.value or b"")
        meant, sent = self._read(made), self._read(replace(made, value=decoded))
        if odd := [name for name in _SAME if meant.get(name) != sent.get(name)]:
            raise StackError(
                f"load.publish.encode: what it makes of event {meant['event_id']} is decoded as another event: {odd[0]} is "
                f"{sent.get(odd[0])} and not {meant.get(odd[0])}"
            )
        return replace(made, value=value)

    def record(self, planned: Planned) -> Record:
        """Make the record of a planned event, from the seed and its own place alone, apart from the run's id."""
        described = self._described
        values = Values.of(self._seed, planned.index, self._id(planned), self._batch(planned), self._shape.batch)
        value = json.dumps(filled(described.value, values), ensure_ascii=False, allow_nan=False)
        key = filled_text(described.key, values).encode() if described.key is not None else None
        headers = ((name, filled_text(text, values).encode()) for name, text in described.headers.items())
        drawn = Random(f"{self._seed}:{planned.index}:partition").randrange(self._partitions)
        return Record(described.topic, drawn if key is None else -1, -1, key, value.encode(), tuple(headers))

    async def _operate(self, planned: Planned, made: Record) -> None:
        event_id = str(self._read(made)["event_id"])
        made = await self._encoded(made)
        batch = self._batch(planned) if self._described.batches else None
        self.answers.begin()
        with self._recorder.operation(
            "publish",
            "client",
            topic=made.topic,
            event_id=event_id,
            batch=batch,
            acceptable=True,
            size=len(made.value or b""),
        ) as operation:
            with self.answers.awaited():
                appended = await self._producer.append(made)
            if appended.phase == "ok":
                operation.ok(partition=appended.partition, offset=appended.offset)
            elif appended.phase == "fail":
                operation.fail(error=appended.error)
            else:
                operation.unknown(error=appended.error)
        self.answers.note(appended.phase, event_id, batch=batch, acceptable=True, raw=None, sha256="")
