"""What the checkers should find, in plain loops over the records: written from the definitions, not from the SQL.

``judge(header, records)`` gives (checker, anomaly) -> the set of what it is found for, for each checker that applies.
Definitions stand in the docstrings. A *final* pass is the last one of its kind marked final, and counts if it was ok.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from typing import Any

from tests.unit.checkers.wire_oracle import WireOracle

Record = Mapping[str, Any]
Hit = tuple[str, tuple[Any, ...]]
Found = dict[tuple[str, str], set[tuple[Any, ...]]]


class Run:
    """A history as lists."""

    def __init__(self, header: Mapping[str, Any], records: Sequence[Record]) -> None:
        self.plan = header["plan"]
        self._finals: dict[str, dict[str, Any] | None] = {}
        self.checks = self.plan["checks"]
        self.settle = self.checks["settle_ns"]
        self.records = records
        self.reads = [self._read(record) for record in self.of("read", "invoke")]
        self.read_by = {read["read"]: read for read in self.reads}
        published = {place(r) for r in self.of("publish", "ok") if r.get("injected") and r.get("offset") is not None}
        self.unreadable = {
            place(r)
            for r in (*self.of("event"), *self.of("dead_letter"), *self.of("effect"))
            if r.get("error") is not None and not (r["op"] != "event" and place(r) in published)
        }
        self.unread = {place(r) for r in self.of("event") if r.get("error") is not None} | self.unreadable
        self._published = [r for r in self.of("publish") if r.get("injected") is not None]
        self.injections = {place(r) for r in self._published if r["phase"] == "ok" and r.get("offset") is not None}
        self._moved: dict[str, int] = {}
        readable = [record for record in self.of("event") if record.get("error") is None]
        self.events = [self.with_publisher(record) for record in readable if record.get("malformed") is None]
        self.malformed = [self.with_publisher(record) for record in readable if record.get("malformed") is not None]
        self.tombstones = self.of("tombstone")
        self.offsets = self.of("offset")
        self.keys = self._keys()
        self.effects = [
            self._joined(record)
            for record in self.of("effect")
            if record.get("error") is None and not ("topic" in record and self.with_publisher(record)["injected"])
        ]
        self.blobs = self.of("blob")
        self.faults = self._faults()

    def with_publisher(self, event: Record) -> Record:
        """A fault published it if a publish says that it went there, or it is marked and some publish there has no answer."""
        published = self._published
        for one in published:
            if one["phase"] == "ok" and one.get("offset") is not None and place(one) == place(event):
                return {**event, "injected": one["injected"]}
        answered = {r.get("of") for r in published if r["phase"] in {"ok", "fail"}}
        for one in published:
            where = (one["topic"], one.get("partition"), one["injected"])
            here = (event["topic"], event["partition"], event.get("marked"))
            if one["phase"] == "invoke" and one["i"] not in answered and where == here:
                return {**event, "injected": one["injected"]}
        return {**event, "injected": None}

    def reads_topics(self, consumer: str) -> set[str]:
        """Topics of its offsets; empty: there are none."""
        return {o["topic"] for o in self.offsets if o["consumer"] == consumer}

    def _keys(self) -> dict[tuple[str, str], set[str]]:
        """Consumer and business key -> the events that have it, of those that the consumer reads and must apply."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for consumer in self.checks.get("keyed", {}):
            types, topics = self.checks["consumers"].get(consumer, []), self.reads_topics(consumer)
            for event in self.events:
                key = (event.get("keys") or {}).get(consumer)
                if key is not None and event["event_type"] in types and (not topics or event["topic"] in topics):
                    found[consumer, key].add(event["event_id"])
        return found

    def _joined(self, effect: Record) -> Record:
        """An effect under its event's id: the one that has its business key, if just one has."""
        if effect.get("key") is None:
            return effect
        of = self.keys.get((effect["consumer"], effect["key"]), set())
        event_id = min(of) if len(of) == 1 else f"with key {effect['key']}"
        return {**effect, "event_id": event_id, "sharing": len(of)}

    @cached_property
    def mended(self) -> int:
        """When the last fault was healed, a service came back, or the load had its last answer (by the run's own clock)."""
        healed = [r["t"] for r in self.of("fault", "healed")]
        services = [r["t"] for r in self.of("service")]
        done = [
            r["t"]
            for r in self.records
            if r["op"] in {"upload", "publish", "reprocess", "replay"} and r.get("injected") is None
            if r["phase"] == "ok" and not r.get("placed")
        ]
        return max([*healed, *services, *done, 0])

    def moved(self, consumer: str) -> int:
        """When a new effect of it was last seen, or an offset that it had passed; 0: never.

        Interim passes give what is new, and each final pass gives everything: a row is as old as the first pass with that many
        of its kind.
        """
        if consumer not in self._moved:
            self._moved[consumer] = self._last_moved(consumer)
        return self._moved[consumer]

    def _last_moved(self, consumer: str) -> int:
        counted: dict[tuple[Any, ...], int] = defaultdict(int)
        first: dict[tuple[Any, ...], int] = {}
        for effect in self.effects:
            if effect["consumer"] == consumer:
                read = effect["read"] if self.read_by.get(effect["read"], {}).get("final") else None
                alike = (effect["event_id"], effect.get("effect"), effect.get("digest"))
                counted[alike, read] += 1
                key = (*alike, counted[alike, read])
                first[key] = min(effect["t"], first.get(key, effect["t"]))
        times = list(first.values())
        passed: dict[tuple[Any, ...], int] = {}
        for row in self.offsets:
            if row["consumer"] == consumer:
                where, now = (row["topic"], row["partition"]), row.get("committed")
                if now is not None and now > passed.get(where, 0):
                    times.append(row["t"])
                passed[where] = now or 0
        last_total: dict[str, str] = {}
        for total in self.of("total"):
            if total["consumer"] == consumer:
                if last_total.get(total["key"]) != total["total"]:
                    times.append(total["t"])
                last_total[total["key"]] = total["total"]
        return max(times, default=0)

    @cached_property
    def still(self) -> bool:
        """Nothing had moved for three settling times, with all mended, when effects and topics were read at the end."""
        effects, topics = self.final("effects"), self.final("topics")
        if effects is None or topics is None:
            return False
        consumers = {r["consumer"] for r in (*self.effects, *self.offsets, *self.of("total"))}
        times = [self.moved(one) for one in consumers] + [
            e["t"] for e in (*self.events, *self.malformed, *self.tombstones)
        ]
        return min(effects["began"], topics["began"]) - max([*times, self.mended]) >= 3 * self.settle

    @cached_property
    def overwritten(self) -> list[Record]:
        """Events that the system published, and in whose place a fault put other bytes."""
        every = self.of("overwritten")
        return [r for r in every if r.get("event_id") is not None and r.get("malformed") is None]

    @cached_property
    def legible(self) -> bool:
        """Each record that no fault published could be read as an event."""
        published = {place(r) for r in self._published if r["phase"] == "ok" and r.get("offset") is not None}
        own = [
            r for r in self.malformed if place(r) not in published and not r["malformed"].startswith("spoiled by ")
        ]
        return not own and not self.unreadable and not self.missing

    @cached_property
    def put(self) -> set[str]:
        """Ids of events that the load published, as far as anybody knows: not each attempt was refused."""
        own = [r for r in self.of("publish") if r.get("injected") is None and r.get("event_id") is not None]
        refused = {r.get("of") for r in own if r["phase"] == "fail"}
        return {r["event_id"] for r in own if r["phase"] == "invoke" and r["i"] not in refused}

    @cached_property
    def missing(self) -> list[Record]:
        """What the broker acknowledged to the load, and no read of the topics saw there; some are not readable."""
        own = [r for r in self.of("publish", "ok") if r.get("injected") is None and r.get("event_id") is not None]
        return [r for r in own if not any(self._there(r, event) for event in self.of("event"))]

    @staticmethod
    def _there(put: Record, event: Record) -> bool:
        """At the place that the broker named, if it named one, is the event, or something that nobody could read."""
        named = [part for part in ("partition", "offset") if put.get(part) is not None]
        same = event["topic"] == put["topic"] and all(event[part] == put[part] for part in named)
        unreadable = event.get("error") is not None and len(named) == 2
        return same and (unreadable or event.get("event_id") == put["event_id"])

    def stuck(self, consumer: str, since: int, what: str) -> bool:
        """This consumer had not moved for so long, and had had something to do, when its offsets and ``what`` were read."""
        offsets, other = self.final("offsets"), self.final(what)
        if offsets is None or other is None:
            return False
        idle_from = max(self.moved(consumer), self.mended, since)
        return min(offsets["began"], other["began"]) - idle_from >= 3 * self.settle

    @property
    def drained(self) -> bool:
        """The run last said that all was at rest."""
        said = [r["phase"] for r in self.of("run") if r["phase"] in {"drained", "deadline"}]
        return bool(said) and said[-1] == "drained"

    def replays(self, consumer: str | None, event_id: str | None) -> list[tuple[int, int | None, str]]:
        """When replays of its dead letter were asked for and answered, and how they ended.

        A replay of a letter about a malformed record or a tombstone is none of the event whose id it names.
        """
        replays = self.of("replay")
        if not replays:
            return []
        ends = {r["of"]: r for r in replays if r["phase"] != "invoke" and "of" in r}
        about: dict[tuple[Any, ...], str | None] = {place(r): None for r in (*self.malformed, *self.tombstones)}
        about |= {place(event): event["event_id"] for event in self.events}
        return [
            (
                r["t"],
                ends[r["i"]]["t"] if r["i"] in ends else None,
                ends[r["i"]]["phase"] if r["i"] in ends else "unknown",
            )
            for r in self.of("replay", "invoke")
            if r.get("consumer") == consumer and about.get(source(r), r.get("event_id")) == event_id
        ]

    def of(self, op: str, phase: str | None = None) -> list[Record]:
        return [r for r in self.records if r["op"] == op and (phase is None or r["phase"] == phase)]

    def _read(self, invoke: Record) -> dict[str, Any]:
        read = {"read": invoke["i"], "what": invoke["what"], "final": bool(invoke.get("final")), "began": invoke["t"]}
        ends = [r for r in self.of("read") if r["phase"] != "invoke" and r.get("of") == invoke["i"]]
        return read | {"ended": ends[0]["t"] if ends else None, "phase": ends[0]["phase"] if ends else None}

    def final(self, what: str) -> dict[str, Any] | None:
        """The pass that judges."""
        if what not in self._finals:
            self._finals[what] = self._final(what)
        return self._finals[what]

    def _final(self, what: str) -> dict[str, Any] | None:
        passes = [read for read in self.reads if read["what"] == what and read["final"]]
        if not passes or passes[-1]["phase"] != "ok":
            return None
        return passes[-1]

    def _faults(self) -> dict[str, dict[str, Any]]:
        faults: dict[str, dict[str, Any]] = {}
        for record in self.of("fault"):
            fault = faults.setdefault(record["fault"], {"heals": False})
            fault["heals"] = fault["heals"] or bool(record.get("heals"))
            if record["phase"] not in fault or record["phase"] == "healed":
                fault[record["phase"]] = record["t"]
            # Each injection must be followed by its own heal, before the next, and none may fail.
            if record["phase"] == "injected":
                fault["in_place"] = True
            elif record["phase"] == "healed":
                fault["in_place"] = False
            elif record["phase"] == "failed" and "injected" in fault:
                fault["broken"] = True
            for count in ("given", "begun"):
                if record.get(count) is not None:
                    fault[f"n_{count}"] = max(record[count], fault.get(f"n_{count}", 0))
        for fault in faults.values():
            if fault.get("in_place") or fault.get("broken"):
                fault.pop("healed", None)
        return faults

    def absent(self) -> set[str]:
        """Workers of the load whose whole part is not here."""
        told: dict[str, set[str]] = defaultdict(set)
        for record in self.of("load"):
            if record.get("worker") is not None:
                told[record["worker"]].add(record["phase"])
        return {worker for worker, phases in told.items() if "ended" not in phases}

    @cached_property
    def well(self) -> bool:
        """All that was injected and heals is healed; the harness looked at the end, and all was good."""
        unhealed = [f for f in self.faults.values() if f["heals"] and "injected" in f and "healed" not in f]
        looks = {record["name"]: record["phase"] for record in self.of("health") if record.get("when") == "end"}
        return not unhealed and bool(looks) and set(looks.values()) == {"good"}

    def settled(self, what: str) -> bool:
        """The final pass began a settling time after the final pass of the offsets ended."""
        own, offsets = self.final(what), self.final("offsets")
        return own is not None and offsets is not None and own["began"] >= offsets["ended"] + self.settle

    def topics_after(self, what: str) -> bool:
        """The final pass of the topics began after the final pass of this kind ended."""
        topics, other = self.final("topics"), self.final(what)
        return topics is not None and other is not None and topics["began"] >= other["ended"]

    @cached_property
    def letters(self) -> list[Record]:
        """Dead letters of the system, each once."""
        seen: dict[tuple[Any, ...], Record] = {}
        for letter in self.of("dead_letter"):
            if letter.get("error") is None and self.with_publisher(letter)["injected"] is None:
                seen.setdefault(place(letter), letter)
        return list(seen.values())

    def anyones(self, letter: Record) -> bool:
        """It names no consumer, or none of the system file's services."""
        services = (self.plan.get("system") or {}).get("services") or {}
        named = letter.get("consumer")
        return named is None or (bool(services) and named not in services)

    @cached_property
    def located(self) -> set[tuple[Any, ...]]:
        """Places of events, malformed records and tombstones."""
        return {place(record) for record in (*self.events, *self.malformed, *self.tombstones)}

    @cached_property
    def strays(self) -> list[Record]:
        """Dead letters that name neither the place nor the id of anything on the topics."""
        known = {e["event_id"] for e in (*self.events, *self.malformed)} | {m.get("claims") for m in self.malformed}
        return [
            letter
            for letter in self.letters
            if source(letter) not in self.located and letter.get("event_id") not in known - {None}
        ]

    @cached_property
    def _digests(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for event in self.events:
            found[event["event_id"]].add(event["digest"])
        return found

    @cached_property
    def conflicting(self) -> set[str]:
        """Ids that several facts share."""
        of: dict[str, list[Record]] = defaultdict(list)
        for event in self.events:
            of[event["event_id"]].append(event)
        return {event_id for event_id, records in of.items() if several(records)}

    def digests(self, event_id: str | None) -> set[str]:
        return self._digests.get(event_id, set()) if event_id is not None else set()

    @cached_property
    def _rounded(self) -> set[tuple[str, str]]:
        return {(e["event_id"], e["digest_rounded"]) for e in self.events if e.get("digest_rounded") is not None}

    def carried(self, effect: Record) -> bool:
        """Whether an event of its id has the digest that an effect carries, or has it with rounded integers."""
        own = effect["event_id"], effect["digest"]
        return effect["digest"] in self.digests(effect["event_id"]) or own in self._rounded


def several(records: Sequence[Record]) -> bool:
    """These tell of several things: their data, types or uploads differ. A record without an upload says nothing of it."""
    return any(
        len({record[name] for record in records if record.get(name) is not None}) > 1
        for name in ("digest", "event_type", "upload_id")
    )


def place(record: Record) -> tuple[Any, ...]:
    return record["topic"], record["partition"], record["offset"]


def source(letter: Record) -> tuple[Any, ...]:
    return letter.get("source_topic"), letter.get("source_partition"), letter.get("source_offset")


def whole_place(letter: Record) -> bool:
    """It names topic, partition and offset of what it is about."""
    return None not in source(letter)


def may_lie_at(letter: Record, record: Record) -> bool:
    """As much of a place as the letter names is the record's."""
    return all(said in {None, is_} for said, is_ in zip(source(letter), place(record), strict=True))


class EffectOracle:
    """Exactly one effect."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.read = run.final("effects")
        self.at_end = [e for e in run.effects if self.read and e.get("read") == self.read["read"]]
        self.final = [e for e in self.at_end if e.get("sharing", 0) < 2]
        self.letters = list(self._event_letters())
        self._rows: dict[tuple[str, str, int], Record] | None = None
        self._silent: dict[str, bool] = {}
        self._spelled: dict[str, dict[str, str]] = {}
        self._applied = {(e["consumer"], e["event_id"]) for e in self.final}
        self.due = list(self._due())
        self.pairs: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for consumer, event in self.due:
            if event.get("malformed") is None:
                self.pairs[consumer, event["event_id"]].append(event)

    def _types(self, consumer: str) -> list[str]:
        """The types that it applies, and those that it adds up."""
        total = self.run.checks.get("totals", {}).get(consumer, {})
        return [*self.run.checks["consumers"].get(consumer, []), *total.get("types", [])]

    def _reads(self, consumer: str) -> set[str]:
        """Topics of its offsets; of a consumer without any, those on which its types occur."""
        topics = {o["topic"] for o in self.run.offsets if o["consumer"] == consumer}
        types = self._types(consumer)
        return topics or {event["topic"] for event in self.run.events if event["event_type"] in types}

    def silent(self, consumer: str) -> bool:
        """It has never committed an offset."""
        if consumer not in self._silent:
            own = [o for o in self.run.offsets if o["consumer"] == consumer]
            self._silent[consumer] = all(o.get("committed") is None for o in own)
        return self._silent[consumer]

    def _due(self) -> Iterator[tuple[str, Record]]:
        """A consumer has to do with events of its types, and with malformed records, on topics that it reads.

        What claims a type that it neither applies nor adds up is none of its business.
        """
        consumers, totals = self.run.checks["consumers"], self.run.checks.get("totals", {})
        for consumer in sorted({*consumers, *totals, *(o["consumer"] for o in self.run.offsets)}):
            types, reads = consumers.get(consumer, []), self._reads(consumer)
            for event in self.run.events:
                if event["event_type"] in types and event["topic"] in reads:
                    yield consumer, event
            for record in self.run.malformed:
                claimed = record.get("event_type")
                if record["topic"] in reads and (claimed is None or claimed in self._types(consumer)):
                    yield consumer, record

    def _event_letters(self) -> Iterator[dict[str, Any]]:
        """Dead letters that are not about a malformed record or a tombstone, with the digest of what they were made from.

        The place that a letter names decides which event it is about, whatever id it names.
        """
        others = {place(record) for record in (*self.run.malformed, *self.run.tombstones)}
        events = {place(event): event for event in self.run.events}
        for letter in self.run.letters:
            origin = events.get(source(letter))
            event_id = origin["event_id"] if origin else letter.get("event_id")
            reason = letter.get("kind") == "malformed"
            if source(letter) in others or (reason and not whole_place(letter) and not self.run.digests(event_id)):
                continue
            replays = [one for one in self.run.replays(letter.get("consumer"), event_id) if one[0] > letter["t"]]
            granted = [t for t, _, end in replays if end != "fail"]
            absent = self._absent_since(letter)
            yield {
                "consumer": letter.get("consumer"),
                "event_id": event_id,
                "kind": letter.get("kind"),
                "digest": origin["digest"] if origin else None,
                "taken": any(end == "ok" for _, _, end in replays),
                "asked": bool(granted) and not self._applied_before(letter.get("consumer"), event_id, min(granted)),
                "early": any(
                    t <= letter["t"] and end != "fail" and (ended is None or absent is None or absent <= ended)
                    for t, ended, end in self.run.replays(letter.get("consumer"), event_id)
                ),
                "anyones": self.run.anyones(letter),
                "unsure": origin is None
                and (
                    reason
                    or any(
                        record.get("claims") is not None
                        and record["claims"] == letter.get("event_id")
                        and (whole_place(letter) or may_lie_at(letter, record))
                        for record in self.run.malformed
                    )
                ),
            }

    def _applied_before(self, consumer: str | None, event_id: str | None, t: int) -> bool:
        """Its effect is there, and was before that time: no replay that was asked for then led to it."""
        own = [e for e in self.run.effects if (e["consumer"], e["event_id"]) == (consumer, event_id)]
        return any(e in self.at_end for e in own) and any(e["t"] < t for e in own)

    def _absent_since(self, letter: Record) -> int | None:
        """When the last look at the letters began that did not find it yet."""
        first = self.run.read_by.get(letter.get("read"))
        if first is None:
            return None
        looks = [r for r in self.run.reads if r["what"] == "dead_letters" and r["phase"] == "ok"]
        return max((look["began"] for look in looks if look["ended"] < first["began"]), default=None)

    def about(self, consumer: str, event_id: str) -> list[dict[str, Any]]:
        return [x for x in self.letters if x["consumer"] == consumer and x["event_id"] == event_id]

    def applied(self, consumer: str, event_id: str) -> bool:
        return (consumer, event_id) in self._applied

    def standing(self, consumer: str, record: Record) -> str:
        """Passed: committed > offset. Late: visible only after the final offsets. Silent: none is committed. Else waiting."""
        read = self.run.final("offsets")
        if read is None:
            return "unread"
        if self._types(consumer) and self.silent(consumer):
            return "silent"
        if self._rows is None:
            self._rows = {}
            for one in self.run.offsets:
                if one["read"] == read["read"]:
                    self._rows.setdefault((one["consumer"], one["topic"], one["partition"]), one)
        row = self._rows.get((consumer, record["topic"], record["partition"]))
        if row is not None:
            if row.get("committed") is not None and row["committed"] > record["offset"]:
                return "passed"
            return "late" if record["offset"] >= row["visible_end"] else "waiting"
        return "late" if record["t"] >= read["began"] else "waiting"

    def done(self, consumer: str, record: Record) -> bool:
        """It has had its time with a record: passed it, or, if it commits nothing, nothing moves any more."""
        standing = self.standing(consumer, record)
        if standing == "passed" and consumer not in self.run.checks.get("deferred", []):
            return True
        return standing in {"passed", "silent"} and self.run.still and self.run.well

    def _to_come(self, consumer: str, record: Record) -> bool:
        """It is still before the consumer's offset, or nobody knows."""
        return self.standing(consumer, record) not in {"passed", "silent"}

    def passed(self, consumer: str, event_id: str) -> bool:
        return all(self.done(consumer, event) for event in self.pairs[consumer, event_id])

    def excused(self, consumer: str, event_id: str) -> bool:
        """A dead letter that was not taken back stands for the effect; of an id with several facts, each needs its own."""
        letters = [letter for letter in self.about(consumer, event_id) if not letter["taken"]]
        letters = [letter for letter in letters if not (letter["unsure"] and letter["kind"] == "malformed")]
        facts = {event["digest"] for event in self.pairs[consumer, event_id]}
        if not letters or len(facts) == 1:
            return bool(letters)
        if any(letter["digest"] is None for letter in letters):
            return True
        return len({letter["digest"] for letter in letters}) >= len(facts)

    def respelled(self, consumer: str) -> dict[str, str]:
        """Id that an effect names and nobody published -> the published one that differs in case only."""
        if consumer not in self._spelled:
            self._spelled[consumer] = self._respelled(consumer)
        return self._spelled[consumer]

    def _respelled(self, consumer: str) -> dict[str, str]:
        published = {event["event_id"] for event in self.run.events}
        lower = {event_id.lower(): event_id for event_id in sorted(published, reverse=True)}
        for (of, key), events in sorted(self.run.keys.items(), reverse=True):
            if of == consumer:
                lower[f"with key {key}".lower()] = min(events)
        return {
            e["event_id"]: lower[e["event_id"].lower()]
            for e in self.final
            if e["consumer"] == consumer and e["event_id"] not in published and e["event_id"].lower() in lower
        }

    @property
    def letters_settled(self) -> bool:
        return self.run.checks["dead_letters"] and self.run.settled("dead_letters")

    def judge(self) -> Iterator[Hit]:
        yield from self._unexercised()
        yield from self._by_key()
        yield from self._lost()
        yield from self._duplicates()
        yield from self._unpublished()
        yield from self._of_other_types()
        yield from self._vanished()
        yield from self._conflicts()
        yield from self._event_dead_letters()
        yield from self._malformed()
        yield from self._letters_doubled()
        yield from self._unmatched()
        yield from self._contradictions()
        yield from self._offsets()
        yield from self._premature()
        yield from WireOracle(self).judge()

    def stranger(self, consumer: str) -> bool:
        """Its effects name business keys, and none of them is the key of an event."""
        own = [e["sharing"] for e in self.at_end if e["consumer"] == consumer and e.get("key") is not None]
        return bool(own) and not any(own)

    def unjoined(self, consumer: str, event_id: str) -> bool:
        """Its effect may be there, and nobody could tell: it has no key, or shares it with another that has effects."""
        if consumer not in self.run.checks.get("keyed", {}):
            return False
        if self.stranger(consumer):
            return True
        named = {e["key"].lower() for e in self.at_end if e["consumer"] == consumer and e.get("key") is not None}
        for event in self.pairs[consumer, event_id]:
            key = (event.get("keys") or {}).get(consumer)
            if key is None or (len(self.run.keys[consumer, key]) > 1 and key.lower() in named):
                return True
        return False

    def _by_key(self) -> Iterator[Hit]:
        yield from (("key_shared", of) for of, events in self.run.keys.items() if len(events) > 1)
        keyed = self.run.checks.get("keyed", {})
        yield from (("keys_differ", (consumer,)) for consumer in keyed if self.stranger(consumer))
        for (consumer, event_id), events in self.pairs.items():
            if consumer in keyed and any((event.get("keys") or {}).get(consumer) is None for event in events):
                yield "key_missing", (consumer, event_id)

    def _unexercised(self) -> Iterator[Hit]:
        for consumer, types in self.run.checks["consumers"].items():
            reads = self._reads(consumer)
            read = {event["event_type"] for event in self.run.events if event["topic"] in reads}
            elsewhere = {event["event_type"] for event in self.run.events} - read
            if types and (not read & set(types) or elsewhere & set(types)):
                yield "unexercised", (consumer,)

    def _veiled(self, consumer: str, event_id: str) -> bool:
        """Something that could not be read may hold what is missing, or the broker lost records of its partition."""
        mute = [r for r in self.run.of("effect") if r.get("error") is not None and r["consumer"] == consumer]
        unread = any("topic" not in r or place(r) not in self.run.injections for r in mute)
        letters = self.run.checks["dead_letters"] and self._letters_unread
        facts = {event["digest"] for event in self.pairs[consumer, event_id]}
        letters = letters or (len(facts) > 1 and bool(self._strays_of(consumer)))
        letters = letters or any(x["anyones"] and x["event_id"] == event_id for x in self.letters)
        letters = letters or any(one["event_id"] == event_id for one in self.run.overwritten)
        return unread or letters or any(self._refilled(event) for event in self.pairs[consumer, event_id])

    def _strays_of(self, consumer: str) -> list[Record]:
        """Letters about nothing that is known, which are its own or may be."""
        return [x for x in self.run.strays if x.get("consumer") == consumer or self.run.anyones(x)]

    @cached_property
    def _letters_unread(self) -> bool:
        mute = [r for r in self.run.of("dead_letter") if r.get("error") is not None]
        return any(place(r) not in self.run.injections for r in mute)

    def _refilled(self, record: Record) -> bool:
        """The broker lost what it had acknowledged on this partition."""
        topics = self.run.final("topics")
        return any(
            one["topic"] == record["topic"] and one.get("partition", record["partition"]) == record["partition"]
            for one in self.run.missing
            if topics is not None and one["t"] < topics["began"]
        )

    def _lost(self) -> Iterator[Hit]:
        letters_known = self.run.settled("dead_letters") or not self.run.checks["dead_letters"]
        for consumer, event_id in self.pairs:
            if self.applied(consumer, event_id) or event_id in self.respelled(consumer).values():
                continue
            if self.excused(consumer, event_id) or self.read is None or self.unjoined(consumer, event_id):
                continue
            standings = {self.standing(consumer, event) for event in self.pairs[consumer, event_id]}
            if self.passed(consumer, event_id):
                argued = self.run.settled("effects") and letters_known and not self._veiled(consumer, event_id)
                yield "lost" if argued else "undecided", (consumer, event_id)
            elif standings <= {"passed", "silent"}:
                yield "undecided", (consumer, event_id)
        if self.read is None or self.run.final("offsets") is None:
            yield from (("undecided", (consumer, None)) for consumer, _ in self.due)
        for consumer in self.run.checks["consumers"]:
            judged = any(c == consumer and event.get("malformed") is None for c, event in self.due)
            if judged and self.silent(consumer) and self.run.final("offsets") is not None:
                yield "offsets_unseen", (consumer,)

    def _duplicates(self) -> Iterator[Hit]:
        of: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for effect in self.final:
            of[effect["consumer"], effect["event_id"]].append(effect)
        argued = self.run.topics_after("effects") and self.run.legible
        for (consumer, event_id), effects in of.items():
            joined = [e for e in effects if e.get("key") is None or (e["sharing"] == 1 and argued)]
            if len(joined) > 1:
                yield "duplicate", (consumer, event_id)
            if not argued and sum(e.get("sharing") == 1 for e in effects) > 1:
                yield "undecided", (consumer, event_id)
        for consumer in {e["consumer"] for e in self.final}:
            own = [e for e in self.final if e["consumer"] == consumer]
            kinds: dict[str | None, list[bool | None]] = defaultdict(list)
            for effect in own:
                kinds[self._kind(effect["event_id"])].append(self._computed(effect, own))
            known = {kind: [one for one in told if one is not None] for kind, told in kinds.items()}
            alike = [told for told in known.values() if told and all(told)]
            whole = all(all(told) for told in known.values())
            if any(whole or len(told) >= 3 for told in alike):
                yield "multiplicity_unseen", (consumer,)

    def _of_other_types(self) -> Iterator[Hit]:
        """Effects of events that were published, and never as a type that the consumer applies."""
        for effect in self.final:
            kinds = {e["event_type"] for e in self.run.events if e["event_id"] == effect["event_id"]}
            if kinds and not kinds & set(self.run.checks["consumers"].get(effect["consumer"], [])):
                yield "type_not_applied", (effect["consumer"], min(kinds))

    def _kind(self, event_id: str) -> str | None:
        return min((e["event_type"] for e in self.run.events if e["event_id"] == event_id), default=None)

    @staticmethod
    def _computed(effect: Record, own: Sequence[Record]) -> bool | None:
        """Whether a name could be made of what the event carries; None if nobody knows."""
        if effect.get("effect") in {None, effect["event_id"], effect.get("key")}:
            return True
        template = effect.get("template")
        if template is None:
            return None
        alike = {e["event_id"] for e in own if e.get("template") == template}
        return len(alike) > 1 or (template[0] == "{" and template.find("}") == len(template) - 1)

    def _unpublished(self) -> Iterator[Hit]:
        argued = self.run.topics_after("effects")
        for effect in self.final:
            digests = self.run.digests(effect["event_id"])
            if not digests:
                differs = effect["event_id"] in self.respelled(effect["consumer"])
                found = "id_differs" if differs else "phantom"
            elif effect.get("digest") is not None and not self.run.carried(effect):
                found = "corrupt"
            else:
                continue
            if found == "phantom" and argued and self.run.legible and self.stranger(effect["consumer"]):
                continue
            doubtful = not self.run.legible or effect["event_id"] in self.run.put
            if argued and not (found == "phantom" and doubtful):
                yield found, (effect["consumer"], effect["event_id"], effect.get("effect"))
            else:
                yield "undecided", (effect["consumer"], effect["event_id"])

    def _vanished(self) -> Iterator[Hit]:
        there = {(e["consumer"], e["event_id"], e.get("effect")) for e in self.at_end}
        for effect in self.run.effects:
            identity = effect["consumer"], effect["event_id"], effect.get("effect")
            if self.read and effect["read"] < self.read["read"] and identity not in there:
                yield "effect_vanished", identity

    def _conflicts(self) -> Iterator[Hit]:
        for event_id in {event["event_id"] for event in self.run.events}:
            own = [e for e in self.run.events if e["event_id"] == event_id and e.get("injected") is None]
            if several(own):
                yield "conflated", (event_id,)
        for (consumer, event_id), events in self.pairs.items():
            facts = {event["digest"] for event in events}
            published = {event["digest"] for event in events if event.get("injected") is None}
            if len(facts) < 2 or facts == published or any(self._to_come(consumer, event) for event in events):
                continue
            if any(letter["kind"] in {"conflict", "unsaid"} for letter in self.about(consumer, event_id)):
                continue
            known = self.passed(consumer, event_id) and self.letters_settled and not self._letters_unread
            known = known and not any(self._refilled(event) for event in events)
            maybe = [
                *self._strays_of(consumer),
                *(x for x in self.letters if x["anyones"] and x["event_id"] == event_id),
            ]
            known = known and not any(x.get("kind") in {"conflict", "unsaid"} for x in maybe)
            yield "conflict_unreported" if known else "undecided", (consumer, event_id)

    def _event_dead_letters(self) -> Iterator[Hit]:
        for letter in self.letters:
            consumer, event_id = letter["consumer"], letter["event_id"]
            conflict = event_id in self.run.conflicting
            if letter["asked"]:
                unsure = not letter["taken"] and not conflict and self.run.digests(event_id)
                if unsure and not self.applied(consumer, event_id):
                    yield "undecided", (consumer, event_id)
                continue
            applied = self.applied(consumer, event_id)
            if conflict and not (applied and letter["kind"] == "poison"):
                continue
            if applied or self.run.digests(event_id):
                yield from self._set_aside(letter, applied=applied)

    def _set_aside(self, letter: Mapping[str, Any], *, applied: bool) -> Iterator[Hit]:
        """An event was set aside, although it is in order; nobody took that back."""
        pair = letter["consumer"], letter["event_id"]
        in_time = not letter["early"] or (not applied and self.run.settled("effects"))
        if letter["unsure"] or not in_time or not self.run.topics_after("dead_letters"):
            yield "undecided", pair
        else:
            yield "effect_and_dead_letter" if applied else "dead_lettered_wrongly", (*pair, letter["kind"])

    def _malformed(self) -> Iterator[Hit]:
        """Passed without a letter of its own."""
        for consumer, record in self.due:
            if record.get("malformed") is None or self._to_come(consumer, record) or self._answered(consumer, record):
                continue
            told = (
                self.done(consumer, record)
                and self.letters_settled
                and not self._letters_unread
                and not self._refilled(record)
            )
            if told and not self._maybe_answered(consumer, record):
                yield "neither", (consumer, *place(record))
            else:
                yield "undecided", (consumer, record["event_id"])

    def _answered(self, consumer: str, record: Record) -> bool:
        """It has a letter of its own or of a copy, or it is the only one without, and one names nothing."""
        broken = [r for of, r in self.due if of == consumer and r.get("malformed") is not None]
        without = [r for r in broken if not self._letters_of(consumer, r) and self._copied(consumer, r) != "surely"]
        own = [x for x in self.run.letters if x.get("consumer") == consumer and x.get("kind") == "malformed"]
        mute = [x for x in own if {x.get("event_id"), *source(x)} == {None}]
        return record not in without or (bool(mute) and len(without) == 1)

    def _maybe_answered(self, consumer: str, record: Record) -> bool:
        own = [x for x in self.run.letters if x.get("consumer") == consumer or self.run.anyones(x)]
        return bool(self._copied(consumer, record)) or any(self._may_be_about(letter, record) for letter in own)

    def _letters_of(self, consumer: str, record: Record) -> list[Record]:
        """Letters that name its place, or no whole place and its id."""
        own = [letter for letter in self.run.letters if letter.get("consumer") == consumer]
        return [
            letter
            for letter in own
            if source(letter) == place(record)
            or (not whole_place(letter) and letter.get("event_id") == record["event_id"])
        ]

    def _copied(self, consumer: str, record: Record) -> str:
        """Whether a record with its bytes has a letter that was not replayed, and one of the two is the system's own copy.

        If faults published several such records, nobody knows of which.
        """
        alike = [
            r
            for of, r in self.due
            if of == consumer
            and r.get("malformed") is not None
            and r.get("digest") == record.get("digest") is not None
        ]
        for other in alike:
            kept = [letter for letter in self._letters_of(consumer, other) if not self._taken_back(letter)]
            if kept and None in {record["injected"], other["injected"]}:
                return "surely" if sum(r["injected"] is not None for r in alike) == 1 else "maybe"
        return ""

    def _taken_back(self, letter: Record) -> bool:
        """Its replay was asked for, by its place, and not refused."""
        ends = {r["of"]: r["phase"] for r in self.run.of("replay") if r["phase"] != "invoke" and "of" in r}
        return any(
            r.get("consumer") == letter.get("consumer")
            and r["t"] > letter["t"]
            and source(r) == source(letter)
            and whole_place(r)
            and ends.get(r["i"]) != "fail"
            for r in self.run.of("replay", "invoke")
        )

    def _may_be_about(self, letter: Record, record: Record) -> bool:
        """Nobody can tell which record it is about, or whose it is, and it may be about this malformed one.

        Where nothing was read may be a copy of it.
        """
        if source(letter) in self.run.located:
            return source(letter) == place(record)
        if not whole_place(letter) and not may_lie_at(letter, record):
            return False
        named = letter.get("event_id")
        if named in {None, record.get("claims"), record["event_id"]}:
            return True
        if any(other["event_id"] == named for other in self.run.malformed):
            return False
        return letter.get("kind") == "malformed" or not self.run.digests(named)

    def _unmatched(self) -> Iterator[Hit]:
        """About nothing that is known, by a consumer that answers for what it sets aside, or may be by one."""
        for letter in self.run.strays:
            named, kind = letter.get("consumer"), letter.get("kind")
            answers = self.run.anyones(letter) or (named is not None and self._types(named))
            if not answers or (whole_place(letter) and source(letter) in self.run.unread):
                continue
            if letter.get("event_id") is None and not whole_place(letter):
                own = [(c, r) for c, r in self.due if self.run.anyones(letter) or c == named]
                broken = [r for _, r in own if r.get("malformed") is not None and may_lie_at(letter, r)]
                facts = [self.pairs[c, r["event_id"]] for c, r in own if r.get("malformed") is None]
                torn = any(len({event["digest"] for event in events}) > 1 for events in facts)
                if (kind in {"malformed", "unsaid"} and broken) or (kind in {"conflict", "unsaid"} and torn):
                    continue
            yield "dead_letter_unmatched", place(letter)

    def _contradictions(self) -> Iterator[Hit]:
        """A letter names an id and a place, and at the place lies another event, or a record that claims another's id."""
        events = {place(event): event["event_id"] for event in self.run.events}
        malformed = {place(record): record for record in self.run.malformed}
        for letter in self.run.letters:
            named, where = letter.get("event_id"), source(letter)
            if named is None:
                continue
            other = where in malformed and named != malformed[where].get("claims") and named in set(events.values())
            if named != events.get(where, named) or (where not in events and other):
                yield "dead_letter_contradicts", (letter.get("consumer"), *where)

    def _letters_doubled(self) -> Iterator[Hit]:
        times: dict[tuple[Any, ...], int] = defaultdict(int)
        for letter in self.run.letters:
            if whole_place(letter):
                times[letter.get("consumer"), *source(letter)] += 1
        yield from (("dead_letter_doubled", key) for key, n in times.items() if n > 1)

    def _offsets(self) -> Iterator[Hit]:
        """What is not passed at the end; of a stuck partition the first record stands for those behind it.

        Where nothing is left to do, a consumer that commits seldom, or elsewhere, cannot be told from one that is stuck.
        """
        waiting: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
        for consumer, record in self.due:
            standing = self.standing(consumer, record)
            if standing == "late":
                yield "arrived_late", (consumer, *place(record))
            elif standing == "waiting":
                waiting[consumer, record["topic"], record["partition"]].append(record)
        for where, records in waiting.items():
            owed = [record for record in records if not self._may_be_done(where[0], record)]
            since = min((record["t"] for record in owed), default=0)
            over = self.run.well and not self.run.drained and self.run.stuck(where[0], since, "effects")
            if owed and over:
                yield "stalled", (*where, min(record["offset"] for record in owed))
            else:
                yield from (("undecided", (where[0], record["event_id"])) for record in records)

    def _may_be_done(self, consumer: str, record: Record) -> bool:
        """Its effect or a dead letter is there, or may be; of two facts with one id, its own."""
        if record.get("malformed") is not None:
            return self._answered(consumer, record) or self._maybe_answered(consumer, record)
        event_id = record["event_id"]
        if event_id in self.respelled(consumer).values() or self.unjoined(consumer, event_id):
            return True
        others = self.run.digests(event_id) - {record["digest"]} if event_id in self.run.conflicting else set()
        effects = [e for e in self.final if (e["consumer"], e["event_id"]) == (consumer, event_id)]
        letters = [letter for letter in self.about(consumer, event_id) if not letter["taken"]]
        return any(e.get("digest") not in others for e in effects) or any(
            letter["digest"] in {None, record["digest"]} for letter in letters
        )

    def _premature(self) -> Iterator[Hit]:
        """Passed in R1; R1 ended before the ok pass R2 of effects began; first seen in a pass begun after R2 ended.

        On a topic, effects that are committed already may be hidden by a transaction that is still open.
        """
        reads = self.run.reads
        on_topics = {r["consumer"] for r in self.run.of("effect") if r.get("topic") is not None}
        for (consumer, event_id), events in self.pairs.items():
            if consumer in on_topics or consumer in self.run.checks.get("deferred", []):
                continue
            sights = [
                e["read"]
                for e in self.run.effects
                if (e["consumer"], e["event_id"]) == (consumer, event_id)
                and (self.read is None or e["read"] <= self.read["read"])
            ]
            first = self.run.read_by.get(min(sights)) if sights else None
            sound = [event for event in events if not self._refilled(event)]
            if not sound or first is None or self.about(consumer, event_id) or event_id in self.run.conflicting:
                continue
            found = any(
                self._all_visible_passed(consumer, sound, r1)
                for r2 in reads
                if r2["what"] == "effects" and r2["phase"] == "ok" and r2["ended"] <= first["began"]
                for r1 in reads
                if r1["what"] == "offsets" and r1["phase"] == "ok" and r1["ended"] < r2["began"]
            )
            if found:
                yield "premature_commit", (consumer, event_id)

    def _all_visible_passed(self, consumer: str, events: Sequence[Record], read: Mapping[str, Any]) -> bool:
        """It had passed the event wherever that was; what a fault published may not have been there yet."""
        rows = {
            (row["topic"], row["partition"]): row
            for row in self.run.offsets
            if row["read"] == read["read"] and row["consumer"] == consumer
        }
        passed = 0
        for event in events:
            row = rows.get((event["topic"], event["partition"]))
            if row is None:
                return False
            if row.get("committed") is not None and row["committed"] > event["offset"]:
                passed += 1
            elif event["offset"] < row["visible_end"] or event["injected"] is None:
                return False
        return passed > 0


class OutcomeOracle:
    """Outcomes: what the system itself published, by its join value."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.decided = run.still and run.well and run.legible and not run.of("overwritten")
        self.respelled: set[str] = set()
        self.strays: list[tuple[str, Record]] = []
        self.there: set[Any] = set()
        self.fits = self.misread = False
        self.renewed: set[tuple[str, str]] = set()
        phases: dict[str, list[str]] = defaultdict(list)
        self.acceptable: dict[str, Any] = {}
        for record in run.of("upload"):
            phases[record["upload_id"]].append(record["phase"])
            self.acceptable.setdefault(record["upload_id"], record.get("acceptable"))
        self.state = {upload: self._state(found) for upload, found in phases.items()}
        batches: dict[str, set[str]] = defaultdict(set)
        for upload in self.state:
            told = [r["batch"] for r in run.of("upload") if r["upload_id"] == upload and r.get("batch") is not None]
            if told:
                batches[min(told)].add(upload)
        self.batches = dict(batches)

    @cached_property
    def taken(self) -> set[str]:
        """Uploads that were acknowledged, or of which nobody knows, and which have an outcome by some rule."""
        known = {
            key
            for number, one in enumerate(self.run.checks["outcomes"])
            if one["of"] == "upload"
            for key in self._ids(str(number), one["then"])
        }
        return {u for u, state in self.state.items() if state == "ok" or (state == "unknown" and u in known)}

    @staticmethod
    def _state(phases: Sequence[str]) -> str:
        if "ok" in phases:
            return "ok"
        unanswered = phases.count("invoke") > phases.count("fail")
        return "unknown" if "unknown" in phases or unanswered else "fail"

    def _must(self, upload: str, rule: Mapping[str, Any]) -> bool | None:
        """An upload must have an outcome by a rule if it is of a kind that has one; None: nobody knows its kind."""
        kinds = {name: set(rule.get(name) or ()) for name in ("accepted", "rejected")}
        if (sum(map(bool, kinds.values()))) != 1:
            return True
        good = self.acceptable[upload]
        return None if good is None else bool(kinds["accepted"]) == good

    def _late(self, upload: str) -> bool:
        """Acknowledged when the topics were read for the last time, or by a worker elsewhere that may have been then."""
        oks = [r for r in self.run.of("upload") if r["upload_id"] == upload and r["phase"] == "ok"]
        if any(r.get("placed") for r in oks):
            worker = next((r["worker"] for r in oks if r.get("worker") is not None), None)
            told = {r["phase"] for r in self.run.of("load") if r.get("worker") == worker}
            return worker is not None and ("joined" not in told or "lost" in told)
        topics = self.run.final("topics")
        return bool(oks) and topics is not None and min(r["t"] for r in oks) >= topics["began"]

    def judge(self) -> Iterator[Hit]:
        for upload in self.state:
            phases = {record["phase"] for record in self.run.of("upload") if record["upload_id"] == upload}
            good = any(r.get("acceptable") for r in self.run.of("upload") if r["upload_id"] == upload)
            if "fail" in phases and "ok" not in phases and good:
                yield "refused_wrongly", (upload,)
        for number, rule in enumerate(self.run.checks["outcomes"]):
            self._open(str(number), rule)
            if rule["of"] == "upload":
                self.renewed |= {
                    (upload, str(number)) for upload in self.taken if self._renews(str(number), rule, upload)
                }
        for number, rule in enumerate(self.run.checks["outcomes"]):
            n = str(number)
            answers = self._open(n, rule)
            sent = rule["of"] in {"upload", "batch"}
            yield from (("undecided", (key, n)) for key in self.respelled)
            if self.misread and not (sent and self.run.absent()):
                yield from (("undecided", (key, n)) for key, _ in self.strays)
            elif not sent:
                yield from self._unasked(
                    n, rule, [(key, event) for key, event in self.strays if key not in self.there]
                )
            if rule["of"] == "upload":
                yield from self._uploads(n, rule, answers)
            elif rule["of"] == "batch":
                yield from self._batches(n, rule, answers)
            else:
                yield from self._followups(n, self._ids(n, [rule["of"]]), answers)
                yield from self._favoured(n, self._ids(n, [rule["of"]]), answers)
        yield from self._idle()

    def _open(self, n: str, rule: Mapping[str, Any]) -> dict[str, set[str]]:
        """Turn to a rule; its outcomes."""
        answers = self._ids(n, rule["then"])
        wanted = {"upload": set(self.state), "batch": set(self.batches)}.get(rule["of"])
        wanted = set(self._ids(n, [rule["of"]])) if wanted is None else wanted
        lower = {key.lower() for key in wanted}
        self.respelled = {key for key in answers if key not in wanted and key.lower() in lower}
        self.there = {
            (e.get("joins") or {}).get(n) for e in self.run.events if e["event_type"] == rule["of"]
        } | wanted
        self.strays = self._uncaused(n, rule, wanted)
        self.fits = any(key in self.there for key, _ in self._own(n, rule["then"]))
        self.misread = bool(self.strays) and not self.fits
        return answers

    def _renews(self, n: str, rule: Mapping[str, Any], upload: str) -> bool:
        """It was done again, and has, or may have, the new outcomes by this rule."""
        again = [r for r in self.run.of("reprocess", "ok") if r.get("upload_id") == upload]
        times = sorted(self._first_seen(n, rule, upload).values())
        if not again or self._must(upload, rule) is False:
            return False
        few = len(times) < 1 + len(again)
        return (not few or not self._spelled(upload) or self.misread) and (few or not self._unpaid(upload, times))

    def _idle(self) -> Iterator[Hit]:
        """Rules that judged nothing, and events that hold nothing at a rule's ``by``."""
        idle: dict[str, bool] = {}
        for number, rule in enumerate(self.run.checks["outcomes"]):
            n, own = str(number), [e for e in self.run.events if e.get("injected") is None]
            keyless = [e for e in own if (e.get("joins") or {}).get(n) is None]
            of = {e["event_id"] for e in keyless if e["event_type"] == rule["of"]}
            if not rule["then"]:
                continue
            then = {
                e["event_id"]
                for e in keyless
                if e["event_type"] in rule["then"] and e["event_type"] != rule["of"] and not self._explained(e)
            }
            yield from (("outcome_key_missing", (n, event_id)) for event_id in then)
            sent = {"upload": set(self.state), "batch": set(self.batches)}.get(rule["of"], set())
            must = {
                "upload": {one for one in self.taken if self._must(one, rule)},
                "batch": {one for one in sent if self._closes(one)},
            }.get(rule["of"], set())
            if must or sent & set(self._ids(n, rule["then"])) or self._ids(n, [rule["of"]]):
                yield from (("outcome_not_asked", (n, event_id)) for event_id in of)
            else:
                may = {one for one in sent if rule["of"] != "upload" or self._must(one, rule) is not False}
                idle[n] = bool(of or may)
        some = len(idle) < sum(bool(rule["then"]) for rule in self.run.checks["outcomes"])
        for n, decides in idle.items():
            yield "outcome_unexercised" if decides or not some else "outcome_unseen", (n,)

    def _uncaused(self, n: str, rule: Mapping[str, Any], wanted: set[str]) -> list[tuple[str, Record]]:
        """Outcomes, published by the system, which nothing that it published, and nothing in the load, explains."""
        published = {r.get("event_id") for r in self.run.of("publish") if r.get("injected") is None}
        return [
            (key, event)
            for key, event in self._own(n, rule["then"])
            if key not in wanted | self.respelled
            and event["event_id"] not in published
            and not self._explained(event)
        ]

    def _unasked(self, n: str, rule: Mapping[str, Any], strays: Sequence[tuple[str, Record]]) -> Iterator[Hit]:
        """Something else may cause a follow-up, unless it names what has another key, or another one names the same."""
        calling = {
            e["event_id"]
            for e in self.run.events
            if e["event_type"] == rule["of"] and (e.get("joins") or {}).get(n) is not None
        }
        naming = {(key, event["event_id"]) for key, event in strays if event.get("causation_id") in calling}
        yield from (("undecided", (key, n)) for key, _ in naming)
        named: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key, event in strays:
            if event.get("causation_id") is not None:
                named[key, event["event_id"]].append(event["causation_id"])
        causes = [(key, min(ids)) for (key, _), ids in named.items()]
        kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
        for key, event in strays:
            one = key, event["event_id"]
            if one in naming:
                continue
            if one in named and causes.count((key, min(named[one]))) > 1:
                yield "undecided", (key, n)
            else:
                kinds[one].add(event["event_type"])
        yield from (("followup_unasked", (n, min(one))) for one in kinds.values())

    def _explained(self, event: Record) -> bool:
        """By some rule it is the outcome of something that is there."""
        for number, other in enumerate(self.run.checks["outcomes"]):
            of, key = other["of"], (event.get("joins") or {}).get(str(number))
            if key is None or event["event_type"] not in other["then"]:
                continue
            asked = {"upload": set(self.state), "batch": set(self.batches)}.get(of, set())
            if key in asked or (of not in {"upload", "batch"} and key in self._ids(str(number), [of])):
                return True
        return False

    def _spelled(self, key: str) -> bool:
        """No outcome names it in other letters."""
        return key.lower() not in {one.lower() for one in self.respelled}

    def _favoured(self, n: str, causes: Mapping[str, set[str]], answers: Mapping[str, set[str]]) -> Iterator[Hit]:
        """Events share a key and have as many outcomes; one of them is the cause of several."""
        for key, asked in causes.items():
            answered = answers.get(key, set())
            if len(asked) < 2 or len(answered) != len(asked):
                continue
            of: dict[str, list[str]] = defaultdict(list)
            for k, e in self._own(n, self.run.checks["outcomes"][int(n)]["then"]):
                if k == key and e.get("causation_id") is not None:
                    of[e["event_id"]].append(e["causation_id"])
            causing = [min(of[event_id]) for event_id in answered if event_id in of]
            yield from (("followup_unclear", (key, n, one)) for one in asked if causing.count(one) > 1)

    def _own(self, n: str, types: Sequence[str]) -> Iterator[tuple[str, Record]]:
        """As an outcome, what a fault made unreadable was published; as a cause, nobody had it."""
        outcomes = list(types) == list(self.run.checks["outcomes"][int(n)]["then"])
        for event in (*self.run.events, *(self.run.overwritten if outcomes else ())):
            key = (event.get("joins") or {}).get(n)
            if key is not None and event.get("injected") is None and event["event_type"] in types:
                yield key, event

    def _ids(self, n: str, types: Sequence[str]) -> dict[str, set[str]]:
        ids: dict[str, set[str]] = defaultdict(set)
        for key, event in self._own(n, types):
            ids[key].add(event["event_id"])
        return ids

    def _uploads(self, n: str, rule: Mapping[str, Any], answers: Mapping[str, set[str]]) -> Iterator[Hit]:
        for upload, state in self.state.items():
            ids = answers.get(upload, set())
            again = [r for r in self.run.of("reprocess", "ok") if r.get("upload_id") == upload]
            times = sorted(self._first_seen(n, rule, upload).values())
            few = len(ids) < 1 + len(again)
            unpaid = not few and self._unpaid(upload, times)
            must = self._must(upload, rule)
            # None has come by this rule, or none by any rule since it was done again.
            owed = not ids or upload not in {one for one, _ in self.renewed}
            wanting = upload in self.taken and must is not False and (few or unpaid) and self._spelled(upload)
            if wanting and (owed or n in {one for _, one in self.renewed}):
                sure = owed and must and self.decided and not self._late(upload) and not self.misread
                yield "outcome_missing" if sure else "undecided", (upload, n)
            if state != "fail" and (len(ids) > 1 + self._again({upload}) or self._too_early({upload}, times)):
                yield "outcome_doubled", (upload, n)
        for upload, event in self._own(n, rule["then"]):
            key = (upload, n, event["event_id"])
            if self.state.get(upload, "fail") == "fail":
                if upload in self.state or (not self.run.absent() and self.fits and (upload, event) in self.strays):
                    yield "outcome_unasked", key
                continue
            good = event["event_type"] in (rule["accepted"] or ())
            bad = event["event_type"] in (rule["rejected"] or ())
            if good != bad and self.acceptable[upload] is not None and self.acceptable[upload] != good:
                yield "outcome_wrong", key

    def _closes(self, batch: str) -> bool:
        """It must have its outcome: it is whole, each of its uploads was taken, and one of them should pass validation."""
        uploads = self.batches.get(batch, set())
        size = self.run.plan.get("scenario", {}).get("load", {}).get("batch", 1)
        whole = len(uploads) >= size and uploads <= self.taken
        return whole and any(self.acceptable[upload] is True for upload in uploads)

    def _batches(self, n: str, rule: Mapping[str, Any], answers: Mapping[str, set[str]]) -> Iterator[Hit]:
        for batch, uploads in self.batches.items():
            ids = answers.get(batch, set())
            if self._closes(batch) and not ids and self._spelled(batch):
                late = any(self._late(upload) for upload in uploads)
                sure = self.decided and not late and not self.misread
                yield "outcome_missing" if sure else "undecided", (batch, n)
            times = sorted(self._first_seen(n, rule, batch).values())
            if len(ids) > 1 + self._again(uploads) or self._too_early(uploads, times):
                yield "outcome_doubled", (batch, n)
        for batch, event in self._own(n, rule["then"]):
            if not self.run.absent() and self.fits and (batch, event) in self.strays:
                yield "outcome_unasked", (batch, n, event["event_id"])

    def _cause_late(self, n: str, key: str, ids: set[str] | None = None) -> bool:
        """A cause, or one of these, was seen only when the topics were read for the last time."""
        topics, of = self.run.final("topics"), self.run.checks["outcomes"][int(n)]["of"]
        own = [event for one, event in self._own(n, [of]) if one == key]
        times = [event["t"] for event in own if ids is None or event["event_id"] in ids]
        return topics is not None and bool(times) and max(times) >= topics["began"]

    def _again(self, uploads: set[str]) -> int:
        """How often one of these was, or may have been, done again."""
        again = [r["phase"] for r in self.run.of("reprocess") if r.get("upload_id") in uploads]
        return again.count("invoke") - again.count("fail")

    def _first_seen(self, n: str, rule: Mapping[str, Any], key: str) -> dict[str, int]:
        """Outcome -> when it was seen for the first time."""
        first: dict[str, int] = {}
        for one, event in self._own(n, rule["then"]):
            if one == key:
                first[event["event_id"]] = min(event["t"], first.get(event["event_id"], event["t"]))
        return first

    def _requests(self, uploads: set[str]) -> list[tuple[int, str]]:
        """When each of these was asked to be done again, and how that ended."""
        ends = {r["of"]: r["phase"] for r in self.run.of("reprocess") if r["phase"] != "invoke"}
        asked = [r for r in self.run.of("reprocess", "invoke") if r.get("upload_id") in uploads]
        return [(r["t"], ends.get(r["i"], "unknown")) for r in asked]

    def _too_early(self, uploads: set[str], times: Sequence[int]) -> bool:
        """More outcomes were there when it was asked for again than could be by then."""
        requests = self._requests(uploads)
        for n, (asked, _) in enumerate(requests):
            others = [end for k, (t, end) in enumerate(requests) if k != n and t <= asked]
            if sum(t < asked for t in times) > 1 + sum(end != "fail" for end in others):
                return True
        return False

    def _unpaid(self, upload: str, times: Sequence[int]) -> bool:
        """Fewer outcomes came after a request that was granted than were granted from then on."""
        granted = [t for t, end in self._requests({upload}) if end == "ok"]
        return any(sum(t >= asked for t in times) < sum(t >= asked for t in granted) for asked in granted)

    def _followups(self, n: str, causes: Mapping[str, set[str]], answers: Mapping[str, set[str]]) -> Iterator[Hit]:
        read = self.run.final("topics") is not None and self.run.legible
        for key in causes.keys() | answers.keys():
            asked, answered = len(causes.get(key, ())), len(answers.get(key, ()))
            joint = self._joint.get((n, key)) if asked else None
            if answered < asked:
                if self._spelled(key):
                    sure = self.decided and not self._cause_late(n, key) and not self.misread
                    yield "followup_missing" if sure else "undecided", (key, n)
            elif joint is not None and self._spelled(key):
                yield from self._of_several(n, key, joint)
            if not asked:
                loose = {event["event_id"] for one, event in self.strays if one == key}
                too_many = len(loose) > 1 and self.fits and key in self.there
            elif joint is not None:
                too_many = answered > 1 and len(joint["outcomes"]) > len(joint["callers"])
            else:
                too_many = answered > asked
            if too_many:
                yield "followup_doubled" if read else "undecided", (key, n)

    def _of_several(self, n: str, key: str, joint: Mapping[str, Any]) -> Iterator[Hit]:
        """Rules share follow-ups. Each event has its own if each is named as a cause, at this key or at another."""
        named = [cause for cause in joint["outcomes"].values() if cause in joint["callers"]]
        short = len(joint["callers"]) - len(joint["outcomes"])
        own = self._ids(n, [self.run.checks["outcomes"][int(n)]["of"]])[key]
        if short > 0 and (unnamed := own - set(named)):
            sure = joint["apart"] and self.decided and not self._cause_late(n, key, unnamed)
            yield "followup_missing" if sure else "undecided", (key, n)
        if short == 0 and (not joint["apart"] or len(named) > len(set(named))):
            yield "undecided", (key, n)

    @cached_property
    def _joint(self) -> dict[tuple[str, str], dict[str, Any]]:
        """(rule, key) -> the outcomes that several rules count there, with what each names as its cause, and their causes."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for pool in self._pools():
            of = {n: self._ids(n, [self.run.checks["outcomes"][int(n)]["of"]]) for n in pool}
            then = {n: list(self._own(n, self.run.checks["outcomes"][int(n)]["then"])) for n in pool}
            joints: list[dict[str, Any]] = []
            for key in {key for ids in of.values() for key in ids}:
                rules = [n for n in pool if of[n].get(key)]
                counted = [{event["event_id"] for one, event in then[n] if one == key} for n in rules]
                if not any(one & other for one, other in combinations(counted, 2)):
                    continue
                outcomes = {
                    event_id: min(
                        (
                            event["causation_id"]
                            for n in rules
                            for one, event in then[n]
                            if (one, event["event_id"]) == (key, event_id) and event.get("causation_id") is not None
                        ),
                        default=None,
                    )
                    for event_id in set().union(*counted)
                }
                callers = set().union(*(of[n][key] for n in rules))
                joint: dict[str, Any] = {"outcomes": outcomes, "callers": callers}
                joints.append(joint)
                found |= {(n, key): joint for n in rules}
            apart = any(
                len(j["outcomes"]) == len(j["callers"]) and {*j["outcomes"].values()} == j["callers"] for j in joints
            )
            for joint in joints:
                joint["apart"] = apart
        return found

    def _pools(self) -> list[set[str]]:
        """Rules about events that one outcome may meet, as their outcomes have a type in common and the key at one place."""
        pools: list[set[str]] = []
        rules = self.run.checks["outcomes"]
        for number, rule in enumerate(rules):
            if rule["of"] in {"upload", "batch"}:
                continue
            near = [
                pool
                for pool in pools
                if any(
                    set(rules[int(n)]["then"]) & set(rule["then"]) and rules[int(n)].get("by") == rule.get("by")
                    for n in pool
                )
            ]
            pools = [pool for pool in pools if pool not in near] + [set().union({str(number)}, *near)]
        return pools


class RawOracle:
    """Raw retained."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.named: dict[str, Record] = {}
        for event in run.events:
            if event.get("raw_file_storage_id") is not None and event.get("injected") is None:
                self.named.setdefault(event["raw_file_storage_id"], event)
        self.kept = [*self._kept(), *self._unanswered()]
        self.strange: set[str] = set()
        finals = [read["read"] for read in run.reads if read["what"] == "blobs" and read["final"]]
        self.last = {
            blob["raw_file_storage_id"]: blob for blob in run.blobs if finals and blob.get("read") == finals[-1]
        }

    def _kept(self) -> Iterator[dict[str, Any]]:
        """Acknowledged uploads with the blob that the answer names, or else the event about the upload."""
        for record in self.run.of("upload", "ok"):
            raw = record.get("raw_file_storage_id")
            if raw is None:
                raw = min(self._named_for(record["upload_id"]), default=None)
            yield {
                "upload": record["upload_id"],
                "raw": raw,
                "sha": record.get("sha256"),
                "acceptable": record.get("acceptable"),
                "t": None if record.get("placed") else record["t"],
            }

    def _unanswered(self) -> Iterator[dict[str, Any]]:
        """Uploads of which nobody knows whether they were taken, with each blob that an event about them names."""
        states: dict[str, list[str]] = defaultdict(list)
        for record in self.run.of("upload"):
            states[record["upload_id"]].append(record["phase"])
        for upload, phases in states.items():
            if OutcomeOracle._state(phases) != "unknown":
                continue
            invokes = [r for r in self.run.of("upload", "invoke") if r["upload_id"] == upload]
            answers = [r for r in self.run.of("upload") if r["upload_id"] == upload and r["phase"] != "invoke"]
            about = [e for e in self.run.events if e.get("injected") is None and e.get("upload_id") == upload]
            named: set[str | None] = {*self._named_for(upload)}
            if about and not named:
                named = {None}
            for raw in named if invokes else ():
                times = [e["t"] for e in about if e.get("raw_file_storage_id") == raw]
                yield {
                    "upload": upload,
                    "raw": raw,
                    # What the answer says of the bytes goes before what was meant to be sent.
                    "sha": next((r["sha256"] for r in [*answers, *invokes] if r.get("sha256") is not None), None),
                    "acceptable": next((r["acceptable"] for r in invokes if r.get("acceptable") is not None), None),
                    "t": min(times),
                }

    def _named_for(self, upload_id: str) -> list[str]:
        own = [
            event
            for event in self.run.events
            if event.get("injected") is None and event.get("upload_id") == upload_id
        ]
        return [event["raw_file_storage_id"] for event in own if event.get("raw_file_storage_id") is not None]

    def judge(self) -> Iterator[Hit]:
        for upload in self.kept:
            yield from self._upload(upload)
        shas: dict[str, set[str]] = defaultdict(set)
        for upload in self.kept:
            if upload["raw"] is not None and upload["sha"] is not None:
                shas[upload["raw"]].add(upload["sha"])
        yield from (("raw_overwritten", (raw,)) for raw, found in shas.items() if len(found) > 1)
        for blob in self.run.blobs:
            raw = blob["raw_file_storage_id"]
            names = [u["t"] for u in self.kept if u["raw"] == raw and u["t"] is not None]
            names += [self.named[raw]["t"]] if raw in self.named else []
            gone = raw in self.last and self.last[raw]["phase"] == "missing"
            if blob["phase"] == "missing" and names and blob["t_begin"] > min(names) and not gone:
                yield "raw_late", (raw,)
        self.strange = {raw for name, (_, raw) in self._crossed() if name == "raw_unread"}
        yield from (hit for hit in self._crossed() if hit[0] == "raw_different")
        for raw in self.named:
            yield from self._named(raw)
        if not self.kept and not self.named:
            yield "raw_unexercised", ()

    def _crossed(self) -> Iterator[Hit]:
        """An event about an upload names a blob that no answer to it did, and that does not hold its bytes at the end."""
        pairs = {
            (e.get("upload_id"), e.get("raw_file_storage_id")) for e in self.run.events if e.get("injected") is None
        }
        for upload, raw in pairs - {(one["upload"], one["raw"]) for one in self.kept}:
            sent = {
                r["sha256"] for r in self.run.of("upload") if r["upload_id"] == upload and r.get("sha256") is not None
            }
            every = {r["sha256"] for r in self.run.of("upload") if r.get("sha256") is not None}
            sha = self._last_sha([blob for blob in self.run.blobs if blob["raw_file_storage_id"] == raw])
            if sha is not None and sent and sha not in sent:
                yield "raw_different" if sha in every else "raw_unread", (upload, raw)

    def _named(self, raw: str) -> Iterator[Hit]:
        if any(upload["raw"] == raw for upload in self.kept):
            return
        looks = [blob for blob in self.run.blobs if blob["raw_file_storage_id"] == raw]
        if len({blob["sha256"] for blob in looks if blob.get("sha256") is not None}) > 1:
            yield "raw_changed", (raw,)
        last = self.last[raw]["phase"] if raw in self.last else None
        if last == "missing":
            found = {blob["phase"] for blob in looks} & {"present", "different"}
            yield "raw_vanished" if found else "raw_dangling", (raw,)
        elif last in {None, "unreachable"} or raw in self.strange or not self._some_uploads(self._last_sha(looks)):
            naming = [e for e in self.run.events if e.get("raw_file_storage_id") == raw and e.get("injected") is None]
            uploads = [e["upload_id"] for e in naming if e.get("upload_id") is not None]
            yield "raw_unread", (uploads[0] if uploads else None, raw)

    def _last_sha(self, looks: Sequence[Record]) -> str | None:
        finals = [read["read"] for read in self.run.reads if read["what"] == "blobs" and read["final"]]
        shas = [b["sha256"] for b in looks if b.get("read") in finals[-1:] and b.get("sha256") is not None]
        return shas[-1] if shas else None

    def _some_uploads(self, sha: str | None) -> bool:
        """These may be the bytes of some upload: one has them, one has none that are known, or there is none at all."""
        uploads = self.run.of("upload")
        shas = {r["sha256"] for r in uploads if r.get("sha256") is not None}
        mute = any(r.get("sha256") is None for r in uploads if r["phase"] == "invoke")
        return sha is not None and (not uploads or mute or sha in shas or bool(self.run.absent()))

    def _upload(self, upload: Mapping[str, Any]) -> Iterator[Hit]:
        key = (upload["upload"], upload["raw"])
        last = self.last.get(upload["raw"])
        if last is not None and last["phase"] == "missing":
            yield "raw_dropped_on_rejection" if upload["acceptable"] is False else "raw_missing", key
        unhashed = last is not None and last["phase"] != "missing" and last.get("sha256") is None
        if last is None or last["phase"] == "unreachable" or upload["sha"] is None or unhashed:
            yield "raw_unread", key
        for blob in self.run.blobs:
            if blob["raw_file_storage_id"] != upload["raw"] or blob["phase"] not in {"present", "different"}:
                continue
            if blob.get("sha256") is not None and upload["sha"] is not None and blob["sha256"] != upload["sha"]:
                yield "raw_different", key


class TotalOracle:
    """Totals: what a sum was before the load, plus what each event adds once, is what it is at the end."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.closing = run.final("totals")
        looks = [read for read in run.reads if read["what"] == "totals"]
        self.opening = looks[0] if looks and looks[0]["phase"] == "ok" and not looks[0]["final"] else None

    def judge(self) -> Iterator[Hit]:
        for consumer, total in self.run.checks["totals"].items():
            events = self._events(consumer, total["types"])
            yield from self._alike(consumer, events)
            if not events:
                yield "total_undecided", (consumer, None, None)
            unclear = [event_id for event_id, one in events.items() if self._unclear(consumer, one)]
            for event_id in unclear:
                keys = [
                    k for r in events[event_id] if (k := (r.get("keys") or {}).get(f"{consumer}.total")) is not None
                ]
                yield "total_undecided", (consumer, min(keys, default=None), event_id)
            if self.opening is None or self.closing is None:
                yield "total_undecided", (consumer, None, None)
            ends = self._sums(consumer, self.closing)
            keyed = [(r.get("keys") or {}).get(f"{consumer}.total") for one in events.values() for r in one]
            named = {key for key in keyed if key is not None}
            strange = bool(ends) and bool(events) and not named & ends.keys()
            if strange and not unclear:
                yield "total_undecided", (consumer, None, None)
            if unclear or strange or self.opening is None or self.closing is None:
                continue
            starts = self._sums(consumer, self.opening)
            every = {r["key"] for r in self.run.of("total") if r["consumer"] == consumer}
            for key in starts.keys() | ends.keys() | named:
                grown = ends.get(key, Fraction()) - starts.get(key, Fraction())
                alike = {one for one in starts.keys() | ends.keys() | named if one.lower() == key.lower()} - {key}
                odd = bool(alike) and (key not in every or key not in named)
                yield from self._sum(consumer, key, grown, events, odd=odd)

    def _sum(
        self, consumer: str, key: str, grown: Fraction, events: Mapping[str, list[Record]], *, odd: bool
    ) -> Iterator[Hit]:
        """``odd``: events and totals seem to spell the key differently."""
        certain, free, waiting = Fraction(), [], []
        for event_id, records in events.items():
            if self._key(consumer, records) != key:
                continue
            worth = Fraction(records[0]["amounts"][consumer])
            must = all(self._done(consumer, record, events) for record in records)
            unsure = any(end == "unknown" for _, _, end in self.run.replays(consumer, event_id))
            unsure = unsure or any(one["event_id"] == event_id for one in self.run.overwritten)
            if must and not unsure:
                certain += worth
            else:
                free.append(worth)
            if not must and not unsure:
                waiting.append(min(records, key=lambda r: r["i"]))
        not_must = [
            (min(r["i"] for r in records), event_id)
            for event_id, records in events.items()
            if self._key(consumer, records) == key and not all(self._done(consumer, r, events) for r in records)
        ]
        if self._within(grown - certain, free):
            if waiting:
                yield "total_undecided", (consumer, key, min(not_must)[1])
            elif not self._only_all(grown - certain, free):
                yield "total_undecided", (consumer, key, None)
        elif not odd and self._settled() and self.run.topics_after("totals") and self.run.legible:
            yield "total_wrong", (consumer, key)
        else:
            yield "total_undecided", (consumer, key, None)

    @staticmethod
    def _within(wanted: Fraction, free: Sequence[Fraction]) -> bool:
        if len(free) > 10:
            lowest, highest = (sum((pick(x, Fraction()) for x in free), Fraction()) for pick in (min, max))
            return bool(lowest <= wanted <= highest)
        choices = (some for n in range(len(free) + 1) for some in combinations(free, n))
        return any(sum(some, Fraction()) == wanted for some in choices)

    @staticmethod
    def _only_all(wanted: Fraction, free: Sequence[Fraction]) -> bool:
        """No choice but all of them makes up the difference; of more than ten, nobody tries."""
        choices = [some for n in range(len(free) + 1) for some in combinations(free, n)] if len(free) <= 10 else []
        fit = [some for some in choices if sum(some, Fraction()) == wanted]
        return len(fit) == 1 and len(fit[0]) == len(free)

    def _settled(self) -> bool:
        return self.run.settled("totals")

    def _alike(self, consumer: str, events: Mapping[str, list[Record]]) -> Iterator[Hit]:
        """Not seen: that an event which adds nothing is lost, or one of two that add the same to one sum, the other doubled.

        Nor that two are both lost, or doubled, of which one takes away what the other adds.

        Unless effects are counted as well, in the same store.
        """
        if consumer in self.run.checks["consumers"] and not self.run.checks["totals"][consumer].get("apart"):
            return
        seen: set[tuple[Any, Fraction]] = set()
        for records in events.values():
            amounts = [a for r in records if (a := (r.get("amounts") or {}).get(consumer)) is not None]
            keys = [k for r in records if (k := (r.get("keys") or {}).get(f"{consumer}.total")) is not None]
            if not amounts:
                continue
            one = min(keys, default=None), abs(Fraction(min(amounts)))
            if one in seen or not one[1]:
                yield "total_cancels", (consumer,)
                return
            seen.add(one)

    def _key(self, consumer: str, records: Sequence[Record]) -> Any:
        return (records[0].get("keys") or {}).get(f"{consumer}.total")

    def _unclear(self, consumer: str, records: Sequence[Record]) -> bool:
        """Nobody can say what it adds, or where."""
        keys = [(r.get("keys") or {}).get(f"{consumer}.total") for r in records]
        amounts = [(r.get("amounts") or {}).get(consumer) for r in records]
        return several(records) or not any(keys) or not any(amounts)

    def _events(self, consumer: str, types: Sequence[str]) -> dict[str, list[Record]]:
        topics = self.run.reads_topics(consumer)
        found: dict[str, list[Record]] = defaultdict(list)
        for event in self.run.events:
            if event["event_type"] in types and (not topics or event["topic"] in topics):
                found[event["event_id"]].append(event)
        return found

    def _sums(self, consumer: str, read: Mapping[str, Any] | None) -> dict[str, Fraction]:
        own = [r for r in self.run.of("total") if read is not None and r["read"] == read["read"]]
        return {r["key"]: Fraction(r["total"]) for r in own if r["consumer"] == consumer}

    def _done(self, consumer: str, record: Record, events: Mapping[str, list[Record]]) -> bool:
        """It has had its time: its offset is passed, or nothing moves any more and it has waited for long."""
        run = self.run
        if all(o.get("committed") is None for o in run.offsets if o["consumer"] == consumer):
            return run.well and run.still
        if self._standing(consumer, record) == "passed":
            return consumer not in run.checks.get("deferred", []) or (run.well and run.still)
        if self._standing(consumer, record) == "late":
            return False
        where = record["topic"], record["partition"]
        there = [r for own in events.values() for r in own if (r["topic"], r["partition"]) == where]
        since = min(r["t"] for r in there if self._standing(consumer, r) == "waiting")
        return run.well and not run.drained and run.stuck(consumer, since, "totals")

    def _standing(self, consumer: str, record: Record) -> str:
        last, where = self.run.final("offsets"), (record["topic"], record["partition"])
        rows = [o for o in self.run.offsets if last and o["read"] == last["read"] and o["consumer"] == consumer]
        for row in rows:
            if (row["topic"], row["partition"]) == where:
                if row.get("committed") is not None and row["committed"] > record["offset"]:
                    return "passed"
                return "late" if record["offset"] >= row["visible_end"] else "waiting"
        return "late"


class EvidenceOracle:
    """Evidence: whether the run was fit to judge by."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.load = [r for r in run.records if r["op"] in {"upload", "publish"} and r.get("injected") is None]
        self.acknowledged = [r["t"] for r in self.load if r["phase"] == "ok"]

    def judge(self) -> Iterator[Hit]:
        yield from self._faults()
        yield from self._start()
        if len(self.acknowledged) < 20:
            yield "too_few_operations", ()
        wanted = ["offsets", "effects", "topics"]
        wanted += [what for what in ("dead_letters", "blobs") if self.run.checks[what]]
        wanted += ["totals"] if self.run.checks.get("totals") else []
        yield from (("read_failed", (what,)) for what in wanted if self.run.final(what) is None)
        if not self.run.records or (self.run.records[-1]["op"], self.run.records[-1]["phase"]) != ("run", "finished"):
            yield "history_incomplete", ()
        if [record["i"] for record in self.run.records] != list(range(1, len(self.run.records) + 1)):
            yield "history_incomplete", ()
        raised = {r["worker"] for r in self.run.of("load", "raised")}
        yield from (("load_incomplete", (worker,)) for worker in self.run.absent() | raised)
        said = [r["phase"] for r in self.run.of("run") if r["phase"] in {"drained", "deadline"}]
        if said[-1:] == ["deadline"]:
            yield "not_at_rest", ()
        for op in ("reprocess", "replay"):
            rows = [row[op] for row in self.run.plan.get("scenario", {}).get("again", []) if row.get(op) is not None]
            least = sum(n if isinstance(n, int) else 1 for n in rows)
            if rows and (len(self.run.of(op, "invoke")) < least or not self.run.of(op, "ok")):
                yield "asked_too_little", (op,)
        yield from (
            ("record_malformed", (record["topic"],))
            for record in self.run.malformed
            if self.run.with_publisher(record)["injected"] is None
            and not record["malformed"].startswith("spoiled by ")
        )
        yield from (("record_unreadable", where) for where in self.run.unreadable)
        yield from self._covers()
        yield from self._calibrated()
        yield from self._put()
        for phase in ("failed", "plain"):
            yield from ((f"tap_{phase}", (record["link"],)) for record in self.run.of("wire", phase))
        yield from (("link_unused", (record["link"],)) for record in self.run.of("link", "unused"))

    def _covers(self) -> Iterator[Hit]:
        """What the scenario wants tried came up too seldom at a consumer."""
        cuts = list(Cuts(self.run).found())
        for number, cover in enumerate(self.run.plan.get("scenario", {}).get("covers", [])):
            for consumer in [cover["consumer"]] if cover.get("consumer") else self.run.checks["consumers"]:
                if cover.get("lost"):
                    lost = [r for r in self.run.of("wire", "lost_reply") if not self._died_at(r)]
                    n = sum(r["command"] == cover["lost"] and r["link"].split("#")[0] == consumer for r in lost)
                else:
                    wanted = {"stage": cover["cut"], "again": cover.get("again"), "redis": cover.get("redis")}
                    n = sum(
                        cut["consumer"] == consumer and all(v is None or cut[k] == v for k, v in wanted.items())
                        for cut in cuts
                    )
                if n < cover["least"]:
                    yield "not_covered", (number, consumer)

    def _died_at(self, answer: Record) -> bool:
        """Whether the replica that an answer never reached was killed on purpose when that answer was held."""
        what = f"the reply to {answer['command']} {answer.get('key') or ''}".rstrip()
        return any(
            fault["target"] == answer["link"].split("->")[0]
            and answer["t_begin"] <= fault["t"] <= answer["t"]
            and (fault.get("evidence") or {}).get("message") == f"{what} on {answer['link']}"
            for fault in self.run.of("fault", "injected")
            if fault["name"] == "service.kill"
        )

    def _calibrated(self) -> Iterator[Hit]:
        """The system's calibration planted something and did not see it, or is of another system file."""
        calibration = self.run.plan.get("calibration", {})
        yield from (("cannot_be_seen", (one["of"], one["control"])) for one in calibration.get("unseen", []))
        if calibration.get("stale"):
            yield "calibration_stale", ()

    def _put(self) -> Iterator[Hit]:
        """What the load published is where the broker said, and nowhere else as well."""
        topics = self.run.final("topics")
        for lost in self.run.missing:
            if topics is not None and lost["t"] < topics["began"]:
                yield "record_lost", (lost["event_id"],)
        published = [r for r in self.load if r["op"] == "publish" and r["phase"] == "invoke"]
        for event_id in {r["event_id"] for r in published if r.get("event_id") is not None}:
            times = sum(r.get("event_id") == event_id for r in self.load if r["phase"] == "invoke")
            if sum(e["event_id"] == event_id and e["injected"] is None for e in self.run.events) > times:
                yield "published_twice", (event_id,)

    def _faults(self) -> Iterator[Hit]:
        planned = {fault["id"] for fault in self.run.plan.get("faults", ())}
        yield from (("fault_never_bit", (name,)) for name in planned - self.run.faults.keys())
        for name, fault in self.run.faults.items():
            if "bit" not in fault:
                yield "fault_never_bit", (name,)
            if not fault["heals"] or "injected" not in fault:
                continue
            if "healed" not in fault:
                yield "fault_not_healed", (name,)
                continue
            window = range(fault["injected"], fault["healed"] + 1)
            counts = [fault[name] for name in ("n_given", "n_begun") if name in fault]
            if counts and max(counts) < 5:
                yield "window_too_quiet", (name,)
            if counts:
                continue
            if sum(r["phase"] == "invoke" and r["t"] in window and not r.get("placed") for r in self.load) < 5:
                yield "window_too_quiet", (name,)

    def _start(self) -> Iterator[Hit]:
        looks = [record for record in self.run.of("health") if record.get("when") == "start"]
        yield from (("unhealthy_start", (look["name"],)) for look in looks if look["phase"] == "bad")
        ends = {record["name"]: record["phase"] for record in self.run.of("health") if record.get("when") == "end"}
        yield from (("unhealthy_end", (name,)) for name, phase in ends.items() if phase == "bad")
        plan = self.run.plan
        firsts: dict[Any, int] = {}
        for record in self.load:
            if record["phase"] == "invoke" and not record.get("placed"):
                firsts.setdefault(record.get("upload_id") or record.get("event_id") or record["i"], record["t"])
        rate = (plan.get("scenario") or {}).get("load", {}).get("rate")
        if rate and not plan.get("users") and len(firsts) >= 20:
            lasted = max(firsts.values()) - min(firsts.values())
            if lasted and (len(firsts) - 1) / lasted * 1e9 < rate / 2:
                yield "load_fell_behind", ()
        injected = [fault["injected"] for fault in self.run.faults.values() if "injected" in fault]
        argued = [r["t"] for r in self.load if r["phase"] == "ok" and not r.get("placed")]
        if not looks or (injected and not any(t < min(injected) for t in argued)):
            yield "unhealthy_start", (None,)


NAMES = ("event_id", "upload_id", "raw_file_storage_id")


class Cuts:
    """Deliveries that a death cut off: a replica had sent a message that names the event, and had not passed its offset.

    Not counted: an event that was applied before the replica began with it, or that another replica had in hand as well; one
    of which the replica may have sent nothing, as each message names another event, too; all
    of a consumer that was never seen to commit an offset of the event's topic; and what came again, or had not by the end,
    after a tap of the consumer's had failed. ``unseen`` as well: a commit past the event may have been executed.
    ``applied``: the first look at the effects after the death and before any replica began again, or one that had begun by the
    death and got that far before any did, has the effect. ``claimed``: such a look has none, Redis had granted what the replica
    asked, and never before to anyone.
    ``unclaimed``: the same without such a grant. ``unseen``: there was no such look, it may have seen the work of an earlier
    delivery, or nobody knows whether anything was granted, or still was. Nobody knows of a command that is neither a claim nor
    reads; nor, without a grant, of a consumer that was granted nothing in the whole run, or claims, counts, or adds to sets, to
    fields or by scripts under keys that name no event.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        wire = [r for r in run.of("wire") if r.get("key") and "t_begin" in r and "places" not in r]
        self.aside = [
            r
            for r in run.of("wire")
            if r["link"].endswith("->redis")
            and (
                r.get("command") in {"SADD", "HSETNX", "HSET", "ZADD", "EVAL", "SETNX", "INCR"}
                or (r.get("command") == "SET" and "NX" in r.get("options", "").split())
            )
        ]
        self.messages = [r for r in wire if r["link"].split("#")[0] in run.checks["consumers"]]
        self.looks = [read for read in run.reads if read["what"] == "effects" and read.get("phase") == "ok"]

    def found(self) -> Iterator[dict[str, Any]]:
        for replica, began, died in self._deaths():
            for event_id, event in self._applied(replica.partition("#")[0]).items():
                if (cut := self._cut(replica, began, died, event_id, event)) is not None:
                    yield cut

    def _applied(self, consumer: str) -> dict[str, Record]:
        """The events that a consumer applies, by id."""
        types = self.run.checks["consumers"].get(consumer, [])
        return {event["event_id"]: event for event in self.run.events if event.get("event_type") in types}

    def _names(self, consumer: str, key: str) -> set[str]:
        """The events of a consumer that a key names, by their ids, uploads or blobs."""
        return {
            event["event_id"]
            for event in self.run.events
            if event["event_id"] in self._applied(consumer)
            and any(whole(str(event[name]), key) for name in NAMES if event.get(name))
        }

    def _sure(self, message: Record) -> bool:
        """Its key names one event alone."""
        return len(self._names(message["link"].split("#")[0], message["key"])) == 1

    def _shared(self, consumer: str, event_id: str) -> bool:
        """Another event has its business key, so that nobody knows whose an effect is."""
        keys: defaultdict[str, set[str]] = defaultdict(set)
        for event in self.run.events:
            key = (event.get("keys") or {}).get(consumer)
            if key is not None and event["event_id"] in self._applied(consumer):
                keys[key].add(event["event_id"])
        return any(event_id in some and len(some) > 1 for some in keys.values())

    def _deaths(self) -> Iterator[tuple[str, int, int]]:
        alive: dict[str, int | None] = defaultdict(int)
        for record in self.run.of("service"):
            name = record["name"]
            if name.split("#")[0] not in self.run.checks["consumers"]:
                continue
            if record["phase"] == "started":
                alive[name] = record["t"]
            elif record["phase"] in {"killed", "exited", "stopped"}:
                since = alive[name]
                if since is not None and record["phase"] != "stopped":
                    yield name, since, record["t"]
                alive[name] = None

    def _cut(self, replica: str, began: int, died: int, event_id: str, event: Record) -> dict[str, Any] | None:
        consumer = replica.partition("#")[0]
        about = [
            r
            for r in self.messages
            if r["link"].split("#")[0] == consumer and event_id in self._names(consumer, r["key"])
        ]
        mine = [r for r in about if r["link"].split("->")[0] == replica and began <= r["t_begin"] <= died]
        passed = self._passed(replica, began, died, event_id)
        if not mine or passed or not self._tells(consumer, event_id) or not all(map(self._sure, mine)):
            return None
        first = mine[0]["t_begin"]
        of = [e for e in self.run.effects if e["consumer"] == consumer and e["event_id"] == event_id]
        seen = min((self.run.read_by[e["read"]]["began"] for e in of), default=None)
        if any(r["link"].split("->")[0] != replica and first <= r["t_begin"] <= died for r in about):
            return None
        if seen is not None and any(seen <= look["began"] and look["ended"] < first for look in self.looks):
            return None
        after = [r for r in about if r["t_begin"] > died]
        before = [r for r in about if r["t_begin"] < first]
        next_ = min(after, key=lambda r: r["t_begin"]) if after else None
        end = next_["t_begin"] if next_ else float("inf")
        failed = [
            r["t"]
            for r in self.run.of("wire")
            if r["phase"] in {"plain", "failed"} and r["link"].split("#")[0] == consumer
        ]
        if failed and min(failed) < end:
            return None
        there = seen is not None and seen <= died and min(e["t"] for e in of) < end
        stage = self._stage(mine, before, seen, there=there, died=died, end=end) if passed is not None else "unseen"
        if self._shared(consumer, event_id) or not any(e["consumer"] == consumer for e in self.run.effects):
            stage = "unseen"
        if next_ is None or not self._sure(next_):
            return {"consumer": consumer, "stage": stage, "again": None, "redis": None}
        who = next_["link"].split("->")[0]
        redis = None
        if any(r["link"].endswith("->redis") for r in about) and not failed:
            asked = [r for r in after if r["link"] == f"{who}->redis"]
            if asked:
                redis = {"answered": "kept", "refused": None, "refused_reply": None}.get(asked[0]["phase"], "away")
            else:
                redis = "away" if self._unreachable(f"{who}->redis", next_["t_begin"]) else None
            upsets = [one for one in self._upsets() if one["began"] <= end and one["ended"] >= first]
            wrote = max((r["t_begin"] for r in mine if r["link"].endswith("->redis")), default=0)
            if upsets:
                lost = [one for one in upsets if one["emptied"] and wrote <= one["down"] <= end]
                redis = "emptied" if lost else None
        return {"consumer": consumer, "stage": stage, "again": "same" if who == replica else "other", "redis": redis}

    def _unreachable(self, link: str, t: int) -> bool:
        """A fault let nothing through there then."""
        records = [
            r for r in self.run.of("fault") if r.get("target") == link and r["name"] in {"net.down", "net.hang"}
        ]
        for fault in {r["fault"] for r in records}:
            began = [r["t"] for r in records if (r["fault"], r["phase"]) == (fault, "injected")]
            ended = [r["t"] for r in records if (r["fault"], r["phase"]) == (fault, "healed")]
            if began and began[0] <= t < (ended[-1] if ended else float("inf")):
                return True
        return False

    def _upsets(self) -> Iterator[dict[str, Any]]:
        """Each injection of a fault on Redis: when it began and ended, when Redis was dead, and whether it came back empty."""
        records = [r for r in self.run.of("fault") if r.get("target") == "redis" and r["name"].startswith("redis.")]
        for at, record in enumerate(records):
            if record["phase"] == "injected":
                own = [r for r in records[at + 1 :] if r["fault"] == record["fault"]]
                end = next((r for r in own if r["phase"] in {"injected", "healed"}), None)
                healed = end if end is not None and end["phase"] == "healed" else {}
                ended = healed.get("t", float("inf"))
                deaths = [
                    r["t"]
                    for r in self.run.of("service", "killed")
                    if (r["name"], r["actor"]) == ("redis", f"fault:{record['fault']}")
                    and record["i"] < r["i"] < healed.get("i", float("inf"))
                ]
                emptied = bool((healed.get("evidence") or {}).get("emptied")) and bool(deaths)
                yield {"began": record["t"], "ended": ended, "emptied": emptied, "down": max(deaths, default=0)}

    def _stage(
        self,
        mine: Sequence[Record],
        before: Sequence[Record],
        seen: int | None,
        *,
        there: bool,
        died: int,
        end: float,
    ) -> str:
        first = mine[0]["t_begin"]
        between = [look["began"] for look in self.looks if look["began"] > died and look["ended"] < end]
        if there or (between and seen is not None and seen <= min(between)):
            last = max((r["t"] for r in before), default=None)
            told = last is None or any(look["began"] > last and look["ended"] < first for look in self.looks)
            return "applied" if told else "unseen"
        if not between:
            return "unseen"
        then, since = (
            [self._claim(r) for r in records if r["link"].endswith("->redis")] for records in (before, mine)
        )
        if "granted" in then or "unclear" in then or "released" in since:
            return "unseen"
        hidden = any(
            r["link"].split("#")[0] == mine[0]["link"].split("#")[0] and not self._named(r) for r in self.aside
        ) or not any(
            r["link"].split("#")[0] == mine[0]["link"].split("#")[0]
            and r["link"].endswith("->redis")
            and self._named(r)
            and self._claim(r) == "granted"
            for r in self.messages
        )
        return "claimed" if "granted" in since else "unseen" if "unclear" in since or hidden else "unclaimed"

    def _named(self, message: Record) -> bool:
        return bool(self._names(message["link"].split("#")[0], message.get("key") or ""))

    @staticmethod
    def _claim(message: Record) -> str:
        command = message.get("command")
        if command in {"GET", "HGET", "EXISTS", "TTL", "EXPIRE", "STRLEN", "SMEMBERS", "PUBLISH"}:
            return ""
        said = str(message.get("kind"))
        if message["phase"] in {"refused", "lost_request"} or said.startswith("error"):
            return ""
        if message["phase"] not in {"answered", "lost_reply"} or said == "QUEUED":
            return "unclear"
        if command in {"DEL", "UNLINK", "GETDEL"}:
            return "" if message.get("changed") == 0 or said in {"nil", "null"} else "released"
        claims = command in {"SET", "SETNX", "EVAL", "EVALSHA", "FCALL"}
        return Cuts._taken(message, nothing=said in {"nil", "null"}) if claims else "unclear"

    @staticmethod
    def _taken(message: Record, *, nothing: bool) -> str:
        options = message.get("options", "").split()
        if {"IFEQ", "IFNE", "IFDEQ", "IFDNE"} & set(options):
            return "unclear"
        if "GET" in options:
            did = not nothing if "XX" in options else nothing or "NX" not in options
        else:
            did = not nothing and message.get("changed") != 0
        return "granted" if did else ""

    def _passed(self, replica: str, began: int, died: int, event_id: str) -> bool | None:
        """Whether the replica passed a record of the event in this life; None if it may have."""
        starts = [r["t"] for r in self.run.of("service", "started") if r["name"] == replica and r["t"] > died]
        answer: bool | None = False
        for r in self._commits(replica.partition("#")[0]):
            if r["link"].split("->")[0] != replica or not began <= r["t_begin"] < min([*starts, float("inf")]):
                continue
            past = [
                event
                for event in self.run.events
                if event["event_id"] == event_id
                for topic, partition, offset in r.get("places") or ()
                if (event["topic"], event["partition"]) == (topic, partition) and offset > event["offset"]
            ]
            answered = r["phase"] in {"answered", "lost_reply", "refused_reply", "cut_reply"}
            if past and answered and r["t_begin"] <= died:
                return True
            if past or "places" not in r:
                answer = None
        return answer

    def _tells(self, consumer: str, event_id: str) -> bool:
        topics = {place[0] for r in self._commits(consumer) for place in r.get("places") or ()}
        return {event["topic"] for event in self.run.events if event["event_id"] == event_id} <= topics

    def _commits(self, consumer: str) -> Iterator[Record]:
        for r in self.run.of("wire"):
            commits = r.get("command") in {"OffsetCommit", "TxnOffsetCommit"}
            came = r["phase"] not in {"refused", "lost_request", "repeated"}
            if commits and came and r["link"].split("#")[0] == consumer:
                yield r


def whole(name: str, key: str) -> bool:
    """Whether a key has a name in it that no letter or digit lengthens."""
    at = key.find(name)
    while at >= 0:
        left, right = key[:at], key[at + len(name) :]
        longer_left = left and left[-1].isalnum() and name[0].isalnum()
        longer_right = right and right[0].isalnum() and name[-1].isalnum()
        if not longer_left and not longer_right:
            return True
        at = key.find(name, at + 1)
    return False


def judge(header: Mapping[str, Any], records: Sequence[Record]) -> Found:
    """What each checker should find."""
    run = Run(header, records)
    parts: dict[str, Iterator[Hit]] = {"evidence": EvidenceOracle(run).judge()}
    if run.checks["consumers"] or run.checks.get("totals"):
        parts["exactly one effect"] = EffectOracle(run).judge()
    if run.checks.get("totals"):
        parts["totals"] = TotalOracle(run).judge()
    if run.checks["outcomes"]:
        parts["outcomes"] = OutcomeOracle(run).judge()
    if run.checks["blobs"]:
        parts["raw retained"] = RawOracle(run).judge()
    found: Found = {}
    for checker, hits in parts.items():
        for anomaly, key in hits:
            found.setdefault((checker, anomaly), set()).add(key)
    return found
