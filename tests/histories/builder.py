"""Makes small histories: a whole good run of a shop, from which a bad one differs in as little as possible.

The shop: uploads give ``placed`` or ``refused`` on the topic ``orders``; ``shop`` applies both; ``desk`` applies
``placed`` and answers each with ``shipped`` on the topic ``shipping``. Two uploads make a batch; it ends with one
``closed`` on ``shipping``, which nobody applies. Times are milliseconds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

MS = 1_000_000

CHECKS: Mapping[str, Any] = {
    "consumers": {"shop": ["placed", "refused"], "desk": ["placed"]},
    "topics": ["orders", "shipping"],
    "outcomes": [
        {"of": "upload", "then": ["placed", "refused"], "accepted": ["placed"], "rejected": ["refused"]},
        {"of": "placed", "then": ["shipped"], "accepted": None, "rejected": None},
        {"of": "batch", "then": ["closed"], "accepted": None, "rejected": None},
    ],
    "blobs": True,
    "dead_letters": True,
    "settle_ns": 3000 * MS,
}

Record = dict[str, Any]


class Tape:
    """Records in the order of their time; indices are given when it is written."""

    def __init__(self) -> None:
        self.header: dict[str, Any] = {
            "oneffect_history": 1,
            "run": "r1",
            "plan": {"checks": copy.deepcopy(dict(CHECKS)), "faults": []},
            "plan_digest": "0" * 64,
            "seed": 1,
            "versions": {"oneffect": "0.1.0"},
            "started": "2025-01-01T00:00:00+00:00",
        }
        self.records: list[Record] = []

    @property
    def checks(self) -> dict[str, Any]:
        return self.header["plan"]["checks"]

    def add(self, ms: float, op: str, phase: str, **fields: Any) -> Record:
        """One record; ``of`` and ``read`` name a record, not an index."""
        record = {"t": int(ms * MS), "actor": "test", "op": op, "phase": phase, **fields}
        self.records.append(record)
        return record

    def find(self, op: str, phase: str | None = None, **fields: Any) -> list[Record]:
        """Records with these values."""
        return [
            record
            for record in self.records
            if record["op"] == op
            and (phase is None or record["phase"] == phase)
            and all(record.get(name) == value for name, value in fields.items())
        ]

    def one(self, op: str, phase: str | None = None, **fields: Any) -> Record:
        """The only record with these values."""
        (found,) = self.find(op, phase, **fields)
        return found

    def drop(self, records: Iterable[Record]) -> None:
        """Take records out."""
        gone = {id(record) for record in records}
        self.records = [record for record in self.records if id(record) not in gone]

    def numbered(self) -> list[Record]:
        """The records as a history holds them: in order, with indices, None left out.

        An effect that names a business key names no event. A record with ``gone`` has its number, and is not there.
        """
        ordered = sorted(self.records, key=lambda record: record["t"])
        index = {id(record): i for i, record in enumerate(ordered, 1)}
        return [
            {"i": index[id(record)]}
            | {
                name: index.get(id(value), 0) if name in {"of", "read"} else value
                for name, value in record.items()
                if value is not None and not (name == "event_id" and record["op"] == "effect" and record.get("key"))
            }
            for record in ordered
            if not record.get("gone")
        ]

    def write(self, path: Path) -> Path:
        """As a file."""
        path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in (self.header, *self.numbered())))
        return path

    # What happens in a run, in its own words.

    def upload(self, ms: float, n: int, *, phase: str = "ok", acceptable: bool = True, took: float = 5) -> Record:
        """One try of upload ``u<n>``."""
        fields = {"upload_id": f"u{n}", "batch": batch_of(n), "sha256": sha(n), "acceptable": acceptable}
        invoke = self.add(ms, "upload", "invoke", **fields)
        raw = f"b{n}" if phase == "ok" else None
        if phase != "none":
            self.add(ms + took, "upload", phase, of=invoke, raw_file_storage_id=raw, **fields)
        return invoke

    def look(self, ms: float, what: str, *, took: float = 2, final: bool = False, phase: str = "ok") -> Record:
        """One pass of an observer; its rows are added with ``read=``."""
        invoke = self.add(ms, "read", "invoke", what=what, final=final)
        if phase != "none":
            error = "TimeoutError: no answer" if phase == "fail" else None
            self.add(ms + took, "read", phase, of=invoke, what=what, final=final, error=error)
        return invoke

    def event(self, read: Record, n: int, kind: str, partition: int, offset: int, **changes: Any) -> Record:
        """The event that upload ``u<n>``, or the n-th batch if it is ``closed``, led to, as ``read`` saw it."""
        first = kind in {"placed", "refused"}
        fields: dict[str, Any] = {
            "topic": "orders" if first else "shipping",
            "partition": partition,
            "offset": offset,
            "event_id": f"{kind}-{n}",
            "event_type": kind,
            "digest": digest(kind, n),
            "joins": {
                "placed": {"0": f"u{n}", "1": f"order-{n}"},
                "refused": {"0": f"u{n}"},
                "shipped": {"1": f"order-{n}"},
                "closed": {"2": f"g{n}"},
            }.get(kind, {}),
            "upload_id": f"u{n}" if first else None,
            "raw_file_storage_id": f"b{n}" if first else None,
        }
        return self.seen(read, "event", fields | changes)

    def malformed(self, read: Record, partition: int, offset: int, **changes: Any) -> Record:
        """A record that is no event."""
        fields = {
            "topic": "orders",
            "partition": partition,
            "offset": offset,
            "event_id": f"orders:{partition}:{offset}",
            "malformed": "not JSON",
            "injected": "kafka.malformed",
            "digest": "f" * 8,
        }
        return self.seen(read, "event", fields | changes)

    def overwrite(self, event: Record) -> Record:
        """A fault put other bytes in the place of a record as its service published it, and both consumers set them aside."""
        self.records.append(
            {**event, "op": "overwritten", "t": event["t"] - MS // 2, "read": None, "t_begin": None, "injected": None}
        )
        self.drop([event])
        named = f"{event['topic']}:{event['partition']}:{event['offset']}"
        fields = {
            "topic": event["topic"],
            "event_id": named,
            "malformed": "spoiled by tap.corrupt: bytes",
            "t": event["t"],
        }
        made = self.malformed(event["read"], event["partition"], event["offset"], injected="tap.corrupt", **fields)
        made["marked"] = None
        return made

    def tombstone(self, read: Record, partition: int, offset: int, topic: str = "orders") -> Record:
        """A record without a value."""
        return self.seen(read, "tombstone", {"topic": topic, "partition": partition, "offset": offset})

    def effect(self, read: Record, consumer: str, kind: str, n: int, **changes: Any) -> Record:
        """What a consumer made of the event ``<kind>-<n>``."""
        fields = {
            "consumer": consumer,
            "event_id": f"{kind}-{n}",
            "effect": f"{consumer}-entry-{n}",
            "digest": digest(kind, n),
        }
        return self.seen(read, "effect", fields | changes)

    def total(self, read: Record, key: str, hundredths: int, consumer: str = "purse") -> Record:
        """A sum that a consumer updates in place."""
        total = f"{hundredths // 100}.{hundredths % 100:02}"
        return self.seen(read, "total", {"consumer": consumer, "key": key, "total": total})

    def letter(
        self, read: Record, offset: int, consumer: str | None, kind: str, event: Record, **changes: Any
    ) -> Record:
        """A dead letter about a record."""
        fields = {
            "topic": "dead-letters",
            "partition": 0,
            "offset": offset,
            "consumer": consumer,
            "kind": kind,
            "event_id": event["event_id"],
            "digest": "e" * 8,
            "source_topic": event["topic"],
            "source_partition": event["partition"],
            "source_offset": event["offset"],
        }
        return self.seen(read, "dead_letter", fields | changes)

    def offset(
        self, read: Record, consumer: str, place: tuple[str, int], *, committed: int | None, end: int
    ) -> Record:
        """How far a group is on a partition."""
        fields = {"consumer": consumer, "topic": place[0], "partition": place[1]}
        return self.seen(read, "offset", fields | {"committed": committed, "visible_end": end})

    def blob(self, read: Record, n: int, phase: str = "present", *, why: str = "final", **changes: Any) -> Record:
        """A read of the raw blob ``b<n>``."""
        found = {"sha256": sha(n)} if phase == "present" else {}
        fields = {"op": "blob", "phase": phase, "raw_file_storage_id": f"b{n}", "why": why, **found}
        return self.seen(read, "blob", fields | changes)

    def seen(self, read: Record, op: str, fields: Mapping[str, Any]) -> Record:
        """A row of a pass; of an event that is ``injected`` a fault says that it published it."""
        fields = {"t_begin": read["t"], **fields}
        phase = fields.pop("phase", "seen")
        fields.pop("op", None)
        fault = fields.pop("injected", None)
        if fault is not None:
            self.publish(read["t"] / MS - 2, fault, fields, offset=fields["offset"])
            fields["marked"] = fault
        return self.add(read["t"] / MS + 1, op, phase, read=read, **fields)

    def publish(self, ms: float, fault: str, place: Mapping[str, Any], *, offset: int | None) -> Record:
        """What a fault published; the broker said where if there is an offset."""
        fields = {"injected": fault, "topic": place["topic"], "partition": place["partition"]}
        invoke = self.add(ms, "publish", "invoke", **fields)
        self.add(ms + 0.5, "publish", "unknown" if offset is None else "ok", of=invoke, offset=offset, **fields)
        return invoke

    def wire(
        self, ms: float, link: str, command: str, *, phase: str = "answered", took: float = 1, **seen: Any
    ) -> Record:
        """A request that a tap saw at ``ms``, and what became of it ``took`` later."""
        fields = {"link": link, "connection": 1, "command": command, **seen}
        return self.add(ms + took, "wire", phase, t_begin=int(ms * MS), **fields)

    def claim(self, ms: float, replica: str, *, denied: bool = False, n: int = 4, **changes: Any) -> Record:
        """A replica of the shop asks for the claim of ``placed-<n>``."""
        seen: dict[str, Any] = {"key": f"claim:placed-{n}", "options": "NX EX", "kind": "nil" if denied else "OK"}
        return self.wire(ms, f"{replica}->redis", "SET", **seen | changes)

    def release(self, ms: float, replica: str, *, changed: int = 1, **changes: Any) -> Record:
        """A replica of the shop gives the claim of ``placed-4`` back."""
        seen: dict[str, Any] = {"key": "claim:placed-4", "kind": "integer", "changed": changed}
        return self.wire(ms, f"{replica}->redis", "DEL", **seen | changes)

    def put(self, ms: float, event: Record, *, phase: str = "ok") -> Record:
        """The load published an event; the broker said where, if ``phase`` is ok."""
        fields = {name: event[name] for name in ("topic", "event_id")} | {"acceptable": True}
        invoke = self.add(ms, "publish", "invoke", **fields)
        place = {name: event[name] for name in ("partition", "offset")} if phase == "ok" else {}
        self.add(ms + 5, "publish", phase, of=invoke, **fields, **place)
        return invoke

    def injected(self, event: Record) -> list[Record]:
        """The records that say that a fault published an event."""
        place = {name: event[name] for name in ("topic", "partition", "offset")}
        ends = self.find("publish", "ok", **place)
        return [*ends, *(end["of"] for end in ends)]


def sha(n: int) -> str:
    """The hash of the n-th document."""
    return f"{n:08x}"


def batch_of(n: int) -> str:
    """The batch of upload ``u<n>``."""
    return f"g{n // 2}"


def digest(kind: str, n: int) -> str:
    """The digest of the data of the n-th event of a type."""
    return f"{kind}{n:04d}"


UPLOADS = 22
REJECTED = 7
"""This one is not acceptable, and rightly refused by an event."""


def good_run(change: Callable[[Tape], None] = lambda _: None) -> Tape:
    """A run of 22 uploads, one fault that heals, and all that must follow; ``change`` is applied at its end."""
    tape = Tape()
    tape.header["plan"]["faults"] = [{"id": "f1", "fault": "net.hang", "target": "shop#1->redis", "heals": True}]
    tape.add(1, "health", "good", name="kafka", when="start")
    for n in range(UPLOADS):
        tape.upload(10 + 10 * n, n, acceptable=n != REJECTED)
    fault = {"fault": "f1", "name": "net.hang", "target": "shop#1->redis", "heals": True}
    for ms, phase in ((50, "injected"), (52, "armed"), (70, "bit"), (140, "healed")):
        tape.add(ms, "fault", phase, **fault)
    tape.add(300, "run", "loaded")
    topics, blobs, offsets, effects = (
        tape.look(400, "topics"),
        tape.look(410, "blobs"),
        tape.look(420, "offsets"),
        tape.look(430, "effects"),
    )
    for n in range(UPLOADS):
        tape.event(topics, n, kind_of(n), n % 2, n // 2)
        tape.blob(blobs, n, why="event")
    _followed(tape, topics)
    _offsets(tape, offsets)
    for n in range(UPLOADS):
        tape.effect(effects, "shop", kind_of(n), n)
    for n in accepted():
        tape.effect(effects, "desk", "placed", n)
    tape.add(500, "health", "good", name="kafka", when="end")
    tape.add(500, "health", "good", name="shop#1", when="end")
    # So long after the last movement that what was missing would be missing for good.
    _offsets(tape, tape.look(11_000, "offsets", final=True))
    last = tape.look(14_400, "effects", final=True)
    for n in range(UPLOADS):
        tape.effect(last, "shop", kind_of(n), n)
    for n in accepted():
        tape.effect(last, "desk", "placed", n)
    tape.look(14_410, "dead_letters", final=True)
    tape.look(14_420, "topics", final=True)
    last = tape.look(14_430, "blobs", final=True)
    for n in range(UPLOADS):
        tape.blob(last, n)
    tape.add(14_500, "run", "finished")
    change(tape)
    return tape


def kind_of(n: int) -> str:
    """What upload ``u<n>`` leads to."""
    return "refused" if n == REJECTED else "placed"


def accepted() -> list[int]:
    """Uploads that lead to ``placed``."""
    return [n for n in range(UPLOADS) if n != REJECTED]


def final(tape: Tape, what: str) -> Record:
    """The invoke of the pass that judges."""
    return tape.one("read", "invoke", what=what, final=True)


def _followed(tape: Tape, read: Record) -> None:
    for n in accepted():
        tape.event(read, n, "shipped", 0, n)
    for n in range(UPLOADS // 2):
        tape.event(read, n, "closed", 1, n)


def _offsets(tape: Tape, read: Record) -> None:
    for consumer in ("shop", "desk"):
        for partition in (0, 1):
            tape.offset(read, consumer, ("orders", partition), committed=UPLOADS // 2, end=UPLOADS // 2)
