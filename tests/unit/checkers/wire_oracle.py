"""What taps should be found to have seen, in plain loops: the oracle of *exactly one effect* for its hazards on the wire."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.unit.checkers.oracle import EffectOracle, Hit

Record = Mapping[str, Any]

EXECUTED = {"answered", "lost_reply", "refused_reply"}
LOOKS = {"GET", "EXISTS", "TTL", "PTTL", "STRLEN", "TYPE", "EXPIRETIME", "PEXPIRETIME"}
OPAQUE = {"EVAL", "EVALSHA", "FCALL", "EXEC", "RENAME", "COPY", "RESTORE", "MSET", "MSETNX"}


def end_of(record: Record, side: int) -> str:
    """The replica (0) or the store (1) of a record's link."""
    return record["link"].split("->")[side]


def did(record: Record) -> str:
    """What a command did to its key: granted, denied, released, nothing, looked, or wrote, as far as anybody knows."""
    options, command, changed = record.get("options") or "", record["command"], record.get("changed")
    kind = record.get("kind") or ""
    if record["phase"] in {"refused", "lost_request"} or kind.startswith("error"):
        return "nothing"
    if command in LOOKS:
        return "looked"
    if record["phase"] in EXECUTED:
        claims = "NX" in options.split() and not re.search("GET|IF|XX", options)
        if command == "SET" and claims:
            return {"OK": "granted", "nil": "denied"}.get(kind, "wrote")
        if command == "SETNX" and changed is not None:
            return {0: "denied", 1: "granted"}.get(changed, "wrote")
        if command in {"DEL", "UNLINK"} and changed is not None:
            return {0: "nothing", 1: "released"}.get(changed, "wrote")
    return "wrote"


class WireOracle:
    """Hazards: each is a fact about messages."""

    def __init__(self, effects: EffectOracle) -> None:
        self.effects, self.run = effects, effects.run
        self.wire = [r for r in self.run.of("wire") if r["phase"] not in {"plain", "failed"}]
        stores = {
            end_of(r, 1) for r in self.wire if r["command"] == "SETNX" or "NX" in (r.get("options") or "").split()
        }
        self.at_stores = [r for r in self.wire if end_of(r, 1) in stores]
        self.keys: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
        databases: dict[tuple[str, int], str] = {}
        for record in self.at_stores:
            where = record["link"], record["connection"]
            if record["command"] in {"SELECT", "RESET", "SWAPDB", "MOVE"}:
                known = record["command"] == "SELECT" and record["phase"] in EXECUTED and record.get("kind") == "OK"
                databases[where] = (record.get("key") or databases.get(where, "0")) if known else "?"
            if record.get("key") is not None and record["command"] != "SELECT":
                self.keys[end_of(record, 1), databases.get(where, "0"), record["key"]].append(record)

    def judge(self) -> Iterator[Hit]:
        for (store, database, key), records in self.keys.items():
            if database != "?":
                unclear = [*records, *self.keys.get((store, "?", key), [])]
                yield from self._released(store, records, unclear)
                yield from self._asked_again(store, records, unclear)
        yield from self._offsets()
        yield from self._published()

    def _seen(self, store: str, until: int) -> bool:
        """Every tap at the store understood everything so far."""
        blind = [r for phase in ("plain", "failed") for r in self.run.of("wire", phase) if end_of(r, 1) == store]
        return all(r["t"] >= until for r in blind)

    def _opaque(self, store: str) -> list[Record]:
        return [
            r
            for r in self.at_stores
            if end_of(r, 1) == store and (r["command"] in OPAQUE or r.get("kind") == "QUEUED")
        ]

    def _released(self, store: str, records: Sequence[Record], unclear: Sequence[Record]) -> Iterator[Hit]:
        """A replica that had asked for a claim deleted it, when another of its service had it and nothing came between."""
        for freed in records:
            who = end_of(freed, 0)
            claims = [
                r
                for r in records
                if did(r) == "granted"
                and end_of(r, 0) != who
                and end_of(r, 0).split("#")[0] == who.split("#")[0]
                and r["t"] <= freed["t_begin"]
            ]
            if did(freed) != "released" or not claims:
                continue
            claim = max(claims, key=lambda r: (r["t"], r["i"]))
            asked = [r for r in records if end_of(r, 0) == who and did(r) in {"granted", "denied"}]
            between = [
                r
                for r in unclear
                if r["i"] not in {freed["i"], claim["i"]}
                and r["t"] > claim["t_begin"]
                and r["t_begin"] < freed["t"]
                and did(r) not in {"denied", "nothing", "looked"}
            ]
            hidden = [
                r
                for r in self._opaque(store)
                if end_of(r, 0) == who and r["t"] > claim["t_begin"] and r["t_begin"] < freed["t"]
            ]
            before = any(r["t_begin"] < freed["t_begin"] for r in asked)
            if before and not between and not hidden and self._seen(store, freed["t"]):
                yield "claim_released_by_another", (freed["i"],)

    def _asked_again(self, store: str, records: Sequence[Record], unclear: Sequence[Record]) -> Iterator[Hit]:
        """A claim was granted unheard, the replica asked again and was denied, and nobody ever did more about the key."""
        for granted in records:
            who = end_of(granted, 0)
            denials = [
                r
                for r in records
                if end_of(r, 0) == who
                and did(r) == "denied"
                and r["phase"] == "answered"
                and r["t_begin"] >= granted["t"]
            ]
            if did(granted) != "granted" or granted["phase"] == "answered" or not denials:
                continue
            others = [
                r
                for r in unclear
                if r["i"] != granted["i"] and r["t"] > granted["t_begin"] and did(r) not in {"denied", "nothing"}
            ]
            hidden = [
                r
                for r in self._opaque(store)
                if end_of(r, 0).split("#")[0] == who.split("#")[0] and r["t"] > granted["t_begin"]
            ]
            if not others and not hidden and self._seen(store, denials[0]["t"]):
                yield "claim_asked_again", (granted["i"],)

    def _absent(self, consumer: str, event_id: str) -> int:
        """When the last pass began that had ended before the one that first saw the effect; -1: none."""
        final = self.run.final("effects")
        reads = [
            e["read"]
            for e in self.run.effects
            if e["consumer"] == consumer
            and e["event_id"] == event_id
            and (final is None or e["read"] <= final["read"])
        ]
        if not reads:
            return -1
        began = self.run.read_by[min(reads)]["began"]
        passes = [r for r in self.run.reads if r["what"] == "effects" and r["phase"] == "ok" and r["ended"] <= began]
        return max((r["began"] for r in passes), default=-1)

    def _simple(self, event_id: str) -> bool:
        """It has one record on the topics, and no dead letter."""
        records = [event for event in self.run.events if event["event_id"] == event_id]
        return len(records) == 1 and all(letter["event_id"] != event_id for letter in self.effects.letters)

    def _offsets(self) -> Iterator[Hit]:
        """The first commit past an event was sent before a look that did not find its effect."""
        for consumer, types in self.run.checks["consumers"].items():
            if consumer in self.run.checks.get("deferred", []):
                continue
            commits = [
                (r["t_begin"], r["i"], place)
                for r in self.wire
                if r["command"] == "OffsetCommit"
                and r["phase"] in EXECUTED
                and r.get("kind") == "ok"
                and r["key"] == consumer == end_of(r, 0).split("#")[0]
                for place in r.get("places") or ()
            ]
            for event in self.run.events:
                past = [
                    (t, i)
                    for t, i, (topic, partition, to) in commits
                    if (topic, partition) == (event["topic"], event["partition"]) and to > event["offset"]
                ]
                if event["event_type"] in types and past and self._simple(event["event_id"]):
                    t, i = min(past)
                    if t < self._absent(consumer, event["event_id"]):
                        yield "offset_sent_before_effect", (consumer, event["event_id"], i)

    def _published(self) -> Iterator[Hit]:
        """The record of a follow-up was sent before a look that did not find its service's effect of the cause."""
        bound = {r["link"] for r in self.wire if r["command"] in {"EndTxn", "AddPartitionsToTxn"}}
        for record in self.wire:
            sent = record["command"] == "Produce" and record["phase"] in EXECUTED and record.get("kind") == "ok"
            service = end_of(record, 0).split("#")[0]
            for place in record.get("places") or () if sent and record["link"] not in bound else ():
                for told in self.run.events:
                    if [told["topic"], told["partition"], told["offset"]] == list(place):
                        causes = self._causes(service, told)
                        once = sum(event["event_id"] == told["event_id"] for event in self.run.events) == 1
                        simple = once and len(causes) == 1 and self._simple(*causes)
                        if simple and record["t_begin"] < self._absent(service, *causes):
                            yield "published_before_effect", (service, *causes, told["event_id"])

    def _causes(self, service: str, told: Record) -> set[str]:
        """The events that the service applies, and from which a rule says that this one follows."""
        found: set[str] = set()
        for number, rule in enumerate(self.run.checks["outcomes"]):
            key = (told.get("joins") or {}).get(str(number))
            if told["event_type"] in rule["then"] and rule["of"] in self.run.checks["consumers"].get(service, ()):
                found |= {
                    event["event_id"]
                    for event in self.run.events
                    if event["event_type"] == rule["of"]
                    and key is not None
                    and (event.get("joins") or {}).get(str(number)) == key
                }
        return found
