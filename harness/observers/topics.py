"""Reads every record of the system's topics, read_committed, and extracts what identifies it as an event."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import orjson

from harness.exact_json import dumps, loads, text
from harness.model import By, Where
from harness.observers.awaited import Awaited
from harness.observers.base import seen_at
from harness.observers.carried import Carried
from harness.observers.digest import digests
from harness.observers.identity import identity
from harness.observers.known import Known
from harness.observers.located import business_key, located
from harness.observers.spoiled import Spoiled
from harness.observers.totals import amount
from harness.observers.unreadable import Undecoded, UnreadableError
from harness.pointer import pick
from harness.stack import MARK, Fields, Record
from harness.system import System
from harness.system_events import Outcome, TypeByTopic

Settled = Callable[[], Awaitable[None]]
"""Raises StackError while a transaction is open on a topic, and hides what was committed after its first record."""


async def settled_at_once() -> None:
    """Find no transaction open."""


class Reader(Protocol):
    """Reads the records that became visible since the last pass."""

    async def pass_to_end(self) -> Sequence[Record]:
        """Return the records that were visible when the pass began and not returned before."""


class Topics:
    """Observes the events on a system's topics; over all passes it yields each record once."""

    what = "topics"

    def __init__(
        self, reader: Reader, system: System, spoiled: Spoiled | None = None, *, settled: Settled = settled_at_once
    ) -> None:
        self._reader = reader
        self._settled = settled
        self._system = system
        self._spoiled = spoiled or Spoiled()
        self._left: deque[Record] = deque()
        self.count = 0
        """Records yielded so far."""
        self.awaited = Awaited(system.outcomes)
        """Outcomes still missing; the drain waits for them."""
        self.carried = Carried()
        self.types: dict[str, set[str]] = {}
        """Event type -> topics on which it was seen."""
        self.last: dict[tuple[str, int], int] = {}
        """Partition -> offset of its last record."""
        self.malformed: list[tuple[str, str | None]] = []
        """Topic of each malformed record, and the event type that it claims, if readable."""
        self.on_outcome: Callable[[str], object] = lambda _upload_id: None
        """Called with the id of each upload whose outcome was seen."""
        self._raws: list[str] = []
        self.known: Known | None = None
        """Receives every event if the run must look events up by name; None otherwise."""

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Yield the records that became visible since the last pass, and those that a cut-short pass did not reach.

        The final pass raises StackError while a transaction hides some of them.
        """
        if final:
            await self._settled()
        self._left.extend(await self._reader.pass_to_end())
        while self._left:
            record = self._left[0]
            fields = seen(record, self._system, self._spoiled)
            yield fields
            self._left.popleft()
            self._keep(record, fields)

    def _keep(self, record: Record, fields: Fields) -> None:
        if self.known is not None:
            self.known.note(fields)
        self.count += 1
        self.last[record.topic, record.partition] = record.offset
        if "malformed" in fields:
            claimed = fields.get("event_type")
            self.malformed.append((record.topic, str(claimed) if claimed is not None else None))
        elif "event_id" in fields:
            event_id, event_type = str(fields["event_id"]), str(fields["event_type"])
            self.types.setdefault(event_type, set()).add(record.topic)
            joins, keys = fields["joins"], fields["keys"]
            assert isinstance(joins, Mapping)  # noqa: S101 - as event_fields returns it
            assert isinstance(keys, Mapping)  # noqa: S101 - as event_fields returns it
            self.awaited.saw(event_type, joins, event_id)
            if (upload := fields.get("upload_id")) is not None:
                self.on_outcome(str(upload))
            if isinstance(raw := fields.get("raw_file_storage_id"), str):
                self._raws.append(raw)
            # Last: it looks at every value of the event, and a failure there must not lose what the run waits for.
            self.carried.note(event_id, event_type, record, _parsed(record.value), keys)

    def overwritten(self, record: Record) -> Fields:
        """Return the fields of an event in whose place a fault put other bytes, so that no read finds it.

        As an outcome it is awaited no more; what would follow from it is not awaited.
        """
        fields = seen(record, self._system, Spoiled())
        if "event_id" in fields and "malformed" not in fields:
            event_type, joins = str(fields["event_type"]), fields["joins"]
            assert isinstance(joins, Mapping)  # noqa: S101 - as event_fields returns it
            answers = {n: key for n, key in joins.items() if self._system.outcomes[int(n)].of != event_type}
            self.awaited.saw(event_type, answers, str(fields["event_id"]))
            if (upload := fields.get("upload_id")) is not None:
                self.on_outcome(str(upload))
        return fields

    def take_raws(self) -> list[str]:
        """Return the raw blobs that events named since the last call, with repetitions."""
        taken, self._raws = self._raws, []
        return taken


def seen(record: Record, system: System, spoiled: Spoiled) -> Fields:
    """Return ``event_fields``, or the record's position and the ``error`` if extracting them fails; never raises."""
    try:
        return event_fields(record, system, spoiled)
    except Exception as error:  # noqa: BLE001 - no single record may keep the others from being read
        return {**_place(record), "error": f"{type(error).__name__}: {error}"}


def event_fields(record: Record, system: System, spoiled: Spoiled | None = None) -> Fields:
    """Return a record's fields as an event. One that is no event has ``malformed``, and its position as id.

    Without a value it is a tombstone, which is neither, unless a fault published it as malformed. Raises UnreadableError, or
    a parser's own error, if it cannot tell which it is.
    """
    place = _place(record)
    if isinstance(record.value, Undecoded):
        raise UnreadableError(record.value.why)
    reason = spoiled.reason(record.value) if spoiled is not None else None
    if record.value is None and reason is None:
        return _tombstone(record, system)
    value = _parsed(record.value) if reason is None else _claimed(record.value)
    reads = {name: business_key(where, record, value) for name, where in _wheres(system).items()}
    if isinstance(kinds := system.events.type, TypeByTopic):
        reads["type"] = kinds.topics.get(record.topic)
    reason = reason or _malformed(value, reads)
    if reason is not None:
        return place | {
            "malformed": reason,
            "event_id": f"{record.topic}:{record.partition}:{record.offset}",
            "claims": reads["id"],
            "event_type": reads["type"],
            "digest": hashlib.sha256(record.value or b"").hexdigest(),
        }
    exact, rounded = digests(pick(value, system.events.data) if system.events.data else value)
    joins = {str(n): key for n, rule in enumerate(system.outcomes) if (key := _join(rule, reads["type"], value))}
    return place | {
        "event_id": reads["id"],
        "event_type": reads["type"],
        "causation_id": reads.get("cause"),
        "digest": exact,
        "digest_rounded": rounded,
        "raw_file_storage_id": text(pick(value, system.events.raw)) if system.events.raw else None,
        "upload_id": next(
            (joins[str(n)] for n, r in enumerate(system.outcomes) if r.of == "upload" and str(n) in joins), None
        ),
        "joins": joins,
        **_added_up(system, reads["type"], record, value),
    }


def _tombstone(record: Record, system: System) -> Fields:
    """Return only the place: what has no value asks no consumer for anything, neither for an effect nor for a dead letter.

    Raises UnreadableError if the record names an id and a type all the same. A key alone names what a tombstone deletes.
    """
    where, kind = system.events.id, system.events.type
    if isinstance(where, Where) and located(where, record, None):
        by_topic = isinstance(kind, TypeByTopic) and not where.key and record.topic in kind.topics
        if by_topic or (isinstance(kind, Where) and located(kind, record, None)):
            raise UnreadableError(
                "it has no value, and names an id and a type all the same: it may be an event without data, or a tombstone; "
                "give such events a value, for example {}, or leave the id out of such tombstones"
            )
    return seen_at("tombstone", record)


def _added_up(system: System, event_type: str | None, record: Record, value: object) -> Fields:
    """Return the business keys by which consumers name an event, and what it adds to their totals."""
    keys: dict[str, str | None] = {}
    amounts: dict[str, str | None] = {}
    for name, effects in system.effects.items():
        if event_type in effects.applies:
            if effects.by is not None:
                keys[name] = business_key(effects.by, record, value)
            if effects.total is not None:
                keys[f"{name}.total"] = business_key(effects.total.by, record, value)
                amounts[name] = amount(record.value, effects.total.adds)
    return {
        "keys": {name: key for name, key in keys.items() if key is not None},
        "amounts": {name: number for name, number in amounts.items() if number is not None},
    }


def _place(record: Record) -> dict[str, object]:
    mark = dict(record.headers).get(MARK) or b""
    return {**seen_at("event", record), "marked": mark.decode("utf-8", "replace") or None}


def _parsed(value: bytes | None) -> object:
    """Parse JSON. None if no parser would accept it; raises UnreadableError if only this one rejects it.

    orjson rejects a lone surrogate, NaN or a thousand nested brackets; many services accept them.
    """
    try:
        return loads(value or b"")
    except orjson.JSONDecodeError as error:
        try:
            json.loads(value or b"")
        except RecursionError:
            pass
        except ValueError:
            return None
        raise UnreadableError(f"only some parsers accept it as JSON ({error})") from None


def _claimed(value: bytes | None) -> object:
    """Parse a record that is known to be malformed, for what it claims to be; None if unreadable."""
    try:
        return _parsed(value)
    except ValueError:
        return None


def _wheres(system: System) -> Mapping[str, By]:
    events = system.events
    wheres: dict[str, By | None] = {"id": events.id, "cause": events.cause}
    if not isinstance(events.type, TypeByTopic):
        wheres["type"] = events.type
    return {name: where for name, where in wheres.items() if where is not None}


def _malformed(value: object, reads: Mapping[str, str | None]) -> str | None:
    if value is None:
        return "not JSON"
    missing = [name for name in ("id", "type") if not reads.get(name)]
    return f"no {' and no '.join(missing)}" if missing else None


def _join(rule: Outcome, event_type: str | None, value: object) -> str | None:
    if event_type is None or event_type not in {rule.of, *rule.types()}:
        return None
    if isinstance(rule.by, str):
        key = text(pick(value, rule.by))
        return identity(key) if key is not None else None
    parts = [pick(value, pointer) for pointer in rule.by]
    # Services may write one value differently; objects and lists are compared as they are.
    written = [part if isinstance(part, dict | list) else identity(text(part) or "") for part in parts]
    return None if None in parts else dumps(written, sort=True)
