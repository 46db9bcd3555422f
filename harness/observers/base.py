"""The protocol of observers, and one pass of an observer: its rows are recorded between ``invoke`` and ``ok``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from harness.history.recorder import Recorder
from harness.stack import Fields, Record


def seen_at(op: str, record: Record) -> dict[str, object]:
    """Return the fields that say what was seen on a topic, and at which offset."""
    return {
        "op": op,
        "phase": "seen",
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }


class Observer(Protocol):
    """Observes one kind of thing, bypassing the proxies."""

    what: str
    """``read.what``: topics, effects, blobs, offsets or dead_letters."""

    def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Yield the history records of one pass, each with ``op`` and ``phase`` but without ``t`` and ``read``.

        An interim pass yields what is new. The final pass yields again everything that the verdict rests on.
        """


async def observe(observer: Observer, recorder: Recorder, *, final: bool = False) -> bool:
    """Record one pass. A failure is recorded, not raised, and returns False: the checkers draw the conclusion."""
    with recorder.operation("read", f"observer:{observer.what}", what=observer.what, final=final) as reading:
        begun = recorder.now()
        try:
            async for row in observer.read(final=final):
                fields = dict(row)
                op, phase = str(fields.pop("op")), str(fields.pop("phase"))
                t_begin = fields.pop("t_begin", begun)
                recorder.record(op, phase, f"observer:{observer.what}", read=reading.index, t_begin=t_begin, **fields)
        except Exception as error:  # noqa: BLE001 - whatever failed, this pass could not read, and the run goes on
            reading.fail(what=observer.what, final=final, error=f"{type(error).__name__}: {error}")
            return False
        reading.ok(what=observer.what, final=final)
        return True
