"""One pass of an observer: its rows are recorded between the pass's invoke and its ok."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from harness.history.recorder import Recorder
from harness.stack import Fields, Record


def seen_at(op: str, record: Record) -> dict[str, object]:
    """The fields of a record of a topic that was seen: what it is, and where it lies."""
    return {
        "op": op,
        "phase": "seen",
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }


class Observer(Protocol):
    """Looks at one kind of thing past the proxies."""

    what: str
    """``read.what``: topics, effects, blobs, offsets or dead_letters."""

    def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """One pass: records without ``t`` and ``read``; each has ``op`` and ``phase``.

        An interim pass gives what was not given before; the final one gives everything that judges anew.
        """
        ...


async def observe(observer: Observer, recorder: Recorder, *, final: bool = False) -> bool:
    """Record one pass; False if it failed, which is recorded and never raised: the checkers draw the conclusion."""
    with recorder.operation("read", f"observer:{observer.what}", what=observer.what, final=final) as reading:
        begun = recorder.now()
        try:
            async for row in observer.read(final=final):
                fields = dict(row)
                op, phase = str(fields.pop("op")), str(fields.pop("phase"))
                t_begin = fields.pop("t_begin", begun)
                recorder.record(op, phase, f"observer:{observer.what}", read=reading.index, t_begin=t_begin, **fields)
        except Exception as error:  # noqa: BLE001 - whatever it was, this pass could not read, and the run goes on
            reading.fail(what=observer.what, final=final, error=f"{type(error).__name__}: {error}")
            return False
        reading.ok(what=observer.what, final=final)
        return True
