"""Reads every event off the system's topics, read_committed, and says of each what it is."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import orjson
import rfc8785

from harness.observers.awaited import Awaited
from harness.pointer import pick
from harness.stack import Fields, Record
from harness.system import Outcome, System, Where

INJECTED = "oneffect-fault"
"""The header by which the harness knows the records that its own faults published."""

MALFORMING = "kafka.malformed"


class Reader(Protocol):
    """Gives the records that became visible since the pass before."""

    async def pass_to_end(self) -> Sequence[Record]:
        """Every record visible when the pass began."""
        ...


class Topics:
    """The events of a system's topics; each record is given once, over all passes."""

    what = "topics"

    def __init__(self, reader: Reader, system: System) -> None:
        self._reader = reader
        self._system = system
        self.count = 0
        """Events given so far."""
        self.awaited = Awaited(system.outcomes)
        """What has no outcome yet: all that the drain asks for."""
        self._raws: list[str] = []

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:  # noqa: ARG002 - each record once is all there is
        """Records that became visible since the pass before."""
        for record in await self._reader.pass_to_end():
            fields = event_fields(record, self._system)
            self._keep(fields)
            yield fields

    def _keep(self, fields: Fields) -> None:
        self.count += 1
        joins = fields.get("joins")
        if isinstance(joins, Mapping):
            self.awaited.saw(str(fields["event_type"]), joins, str(fields["event_id"]))
        if isinstance(raw := fields.get("raw_file_storage_id"), str):
            self._raws.append(raw)

    def take_raws(self) -> list[str]:
        """Raw blobs that events have named since the last time, as often as they did."""
        taken, self._raws = self._raws, []
        return taken


def event_fields(record: Record, system: System) -> Fields:
    """What a record says as an event; what is no event has ``malformed``, and its position for an id."""
    injected = dict(record.headers).get(INJECTED, b"").decode("utf-8", "replace") or None
    place: dict[str, object] = {
        "op": "event",
        "phase": "seen",
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "injected": injected,
    }
    value = _parsed(record.value)
    reads = {name: _where(where, record, value) for name, where in _wheres(system).items()}
    reason = _malformed(injected, value, reads)
    if reason is not None:
        return place | {
            "malformed": reason,
            "event_id": f"{record.topic}:{record.partition}:{record.offset}",
            "digest": hashlib.sha256(record.value or b"").hexdigest(),
        }
    data = pick(value, system.events.data) if system.events.data else value
    joins = {str(n): key for n, rule in enumerate(system.outcomes) if (key := _join(rule, reads["type"], value))}
    return place | {
        "event_id": reads["id"],
        "event_type": reads["type"],
        "causation_id": reads.get("cause"),
        "digest": _digest(data, record),
        "raw_file_storage_id": _text(pick(value, system.events.raw)) if system.events.raw else None,
        "upload_id": next(
            (joins[str(n)] for n, r in enumerate(system.outcomes) if r.of == "upload" and str(n) in joins), None
        ),
        "joins": joins,
    }


def digest(data: object) -> str:
    """SHA-256, hex, of the canonical JSON (RFC 8785) of an event's data."""
    try:
        canonical = rfc8785.dumps(data)  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError:
        # Numbers beyond RFC 8785's domain: sorted JSON is the nearest form that does not change them.
        canonical = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _digest(data: object, record: Record) -> str:
    try:
        return digest(data)
    except (RecursionError, TypeError):
        # Nested too deep for any canonical form: its bytes must do, and the other records go on.
        return hashlib.sha256(record.value or b"").hexdigest()


def _parsed(value: bytes | None) -> object:
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None


def _wheres(system: System) -> Mapping[str, str | Where]:
    cause = {"cause": system.events.cause} if system.events.cause is not None else {}
    return {"id": system.events.id, "type": system.events.type, **cause}


def _where(where: str | Where, record: Record, value: object) -> str | None:
    if isinstance(where, str):
        return _text(pick(value, where))
    raw = record.key if where.key else dict(record.headers).get(where.header or "")
    return raw.decode("utf-8", "replace") if raw is not None else None


def _malformed(injected: str | None, value: object, reads: Mapping[str, str | None]) -> str | None:
    if injected == MALFORMING:
        return "published so by the harness"
    if value is None:
        return "not JSON"
    missing = [name for name in ("id", "type") if not reads.get(name)]
    return f"no {' and no '.join(missing)}" if missing else None


def _join(rule: Outcome, event_type: str | None, value: object) -> str | None:
    if event_type is None or event_type not in {rule.of, *rule.types()}:
        return None
    if isinstance(rule.by, str):
        return _text(pick(value, rule.by))
    values = [pick(value, pointer) for pointer in rule.by]
    return None if None in values else orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return orjson.dumps(value).decode()
