"""Histories made at random: a run as it should be, into which anomalies (and harmless oddities) are planted.

What is planted is a change of records, not a verdict: what it amounts to is for the oracle to say.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.histories.builder import MS, Record, Tape, good_run, sha
from tests.histories.cases import BAD

Plant = Callable[[Tape, Random], None]


class World:
    """A run in rounds: uploads are answered, events come, effects follow, offsets after them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.tape = Tape()
        self.uploads = random.choice([1, 2, 3, 4, 5, 21])
        self.rejected = {n for n in range(self.uploads) if random.random() < 0.2}
        self.rounds = random.choice([0, 1, 2, 3])
        self.seen: list[Record] = []
        self.ends = {("orders", 0): 0, ("orders", 1): 0, ("shipping", 0): 0, ("shipping", 1): 0}
        self.effects: list[Record] = []

    def make(self) -> Tape:
        self.tape.add(1, "health", "good", name="kafka", when="start")
        for n in range(self.uploads):
            self.tape.upload(10 + 4 * n, n, acceptable=n not in self.rejected)
        self._fault()
        share = -(-self.uploads // (self.rounds + 1))
        for round_ in range(self.rounds + 1):
            self._round(200 + 100 * round_, range(round_ * share, min(self.uploads, (round_ + 1) * share)))
        if self.random.random() < 0.85:
            self._rest()
        self.tape.add(900, "health", "good", name="kafka", when="end")
        self._judge()
        self.tape.add(20_000, "run", "finished")
        return self.tape

    def _fault(self) -> None:
        heals = self.random.random() < 0.7
        fault = {"fault": "f1", "name": "net.hang", "target": "shop#1->redis", "heals": heals}
        phases = ("injected", "armed", "bit", "healed") if heals else ("injected", "armed", "bit")
        for n, phase in enumerate(phases):
            self.tape.add(16 + 30 * n, "fault", phase, **fault)
        self.tape.header["plan"]["faults"] = [{"id": "f1", "fault": "net.hang", "target": "shop#1->redis"}]

    def _round(self, ms: float, uploads: range) -> None:
        topics = self.tape.look(ms, "topics")
        for n in uploads:
            kind = "refused" if n in self.rejected else "placed"
            self._event(topics, n, kind, n % 2)
            for consumer in ("shop", "desk") if kind == "placed" else ("shop",):
                self.effects.append({"consumer": consumer, "kind": kind, "n": n})
            if kind == "placed":
                self._event(topics, n, "shipped", 0)
            self._close(topics, n)
        blobs = self.tape.look(ms + 10, "blobs")
        for n in uploads:
            for why in self.random.sample(["answer", "event"], self.random.randint(0, 2)):
                self.tape.blob(blobs, n, why=why)
        # Offsets never run ahead of the effects of the round before: that would be a premature commit.
        if self.random.random() < 0.7:
            self._offsets(self.tape.look(ms + 20, "offsets"), behind=len(uploads))
        if self.random.random() < 0.8:
            effects = self.tape.look(ms + 30, "effects")
            for effect in self.effects:
                if "seen" not in effect:
                    self.tape.effect(effects, effect["consumer"], effect["kind"], effect["n"])
                    effect["seen"] = True

    def _rest(self) -> None:
        """A round of looks in which all has come: whatever the last ones see anew has moved since."""
        self._offsets(self.tape.look(700, "offsets"), behind=0)
        effects = self.tape.look(730, "effects")
        for effect in self.effects:
            if "seen" not in effect:
                self.tape.effect(effects, effect["consumer"], effect["kind"], effect["n"])
                effect["seen"] = True

    def _close(self, topics: Record, n: int) -> None:
        """The batch's outcome after its last upload; a batch without an accepted upload may have one."""
        last = n % 2 == 1 or n == self.uploads - 1
        if last and (not {n - n % 2, n} <= self.rejected or self.random.random() < 0.3):
            self._event(topics, n // 2, "closed", 1)

    def _event(self, read: Record, n: int, kind: str, partition: int) -> None:
        place = ("orders" if kind in {"placed", "refused"} else "shipping", partition)
        self.seen.append(self.tape.event(read, n, kind, partition, self.ends[place]))
        self.ends[place] += 1

    def _offsets(self, read: Record, *, behind: int) -> None:
        for consumer in ("shop", "desk"):
            for partition in (0, 1):
                end = self.ends["orders", partition]
                unseen = any(
                    "seen" not in e and e["consumer"] == consumer and e["n"] % 2 == partition for e in self.effects
                )
                committed = max(0, end - behind) if behind and unseen else end
                known = committed or None if behind else end
                self.tape.offset(read, consumer, ("orders", partition), committed=known, end=end)

    def _judge(self) -> None:
        self._offsets(self.tape.look(11_000, "offsets", final=True), behind=0)
        last = self.tape.look(14_100, "effects", final=True)
        for effect in self.effects:
            self.tape.effect(last, effect["consumer"], effect["kind"], effect["n"])
        self.tape.look(14_200, "dead_letters", final=True)
        self.tape.look(14_300, "topics", final=True)
        last = self.tape.look(14_400, "blobs", final=True)
        for n in range(self.uploads):
            self.tape.blob(last, n)


def final(tape: Tape, what: str) -> Record | None:
    found = tape.find("read", "invoke", what=what, final=True)
    return max(found, key=lambda read: read["t"], default=None)


def legible(tape: Tape, op: str, phase: str | None = None, **fields: object) -> list[Record]:
    """Records with these values, without events and effects that nobody could read."""
    return [one for one in tape.find(op, phase, **fields) if op not in {"event", "effect"} or "event_id" in one]


def some(tape: Tape, random: Random, op: str, phase: str | None = None, **fields: object) -> Record | None:
    found = legible(tape, op, phase, **fields)
    return random.choice(found) if found else None


def change(tape: Tape, random: Random, op: str, **choices: list[object]) -> None:
    """One field of one record becomes another."""
    if record := some(tape, random, op):
        name = random.choice(sorted(choices))
        record[name] = random.choice(choices[name])


def drop_one(tape: Tape, random: Random) -> None:
    """A record was never made."""
    op = random.choice(["event", "effect", "blob", "offset", "fault", "health", "run", "upload", "read"])
    if op in {"upload", "read"}:
        ends = [record for record in tape.find(op) if record["phase"] != "invoke"]
        tape.drop([random.choice(ends)] if ends else [])
    elif record := some(tape, random, op):
        tape.drop([record])


def drop_effects(tape: Tape, random: Random) -> None:
    """All effects of a pair, those of the final read, or those of the earlier ones."""
    if (effect := some(tape, random, "effect")) is None:
        return
    pair = tape.find("effect", consumer=effect["consumer"], event_id=effect["event_id"])
    last = final(tape, "effects")
    how = random.choice(["all", "all", "final", "earlier"])
    tape.drop(e for e in pair if how == "all" or (e["read"] is last) == (how == "final"))


def add_effect(tape: Tape, random: Random) -> None:
    """A second one, one of nothing, one with other data, one without identity."""
    effect = some(tape, random, "effect")
    reads = tape.find("read", "invoke", what="effects")
    if effect is None or not reads:
        return
    new = {name: effect[name] for name in ("consumer", "event_id", "effect", "digest")}
    what = random.choice(["again", "again", "same", "phantom", "nameless", "corrupt", "other consumer", "undigested"])
    changes: dict[str, dict[str, Any]] = {
        "again": {"effect": "again"},
        "same": {},
        "phantom": {"event_id": "placed-99"},
        "nameless": {"effect": None},
        "corrupt": {"digest": "other", "effect": random.choice(["again", effect["effect"]])},
        "other consumer": {"consumer": random.choice(["shop", "desk"])},
        "undigested": {"digest": None, "event_id": random.choice(["placed-98", effect["event_id"]])},
    }
    new |= changes[what]
    for read in random.sample(reads, random.randint(1, len(reads))):
        tape.seen(read, "effect", new)


def change_effects(tape: Tape, random: Random) -> None:
    """All effects of a pair, or of a consumer, are of another kind."""
    if (effect := some(tape, random, "effect")) is None:
        return
    name, value = random.choice([("effect", "id"), ("effect", None), ("digest", None), ("digest", "other")])
    pair = random.random() < 0.4
    for one in tape.find("effect", consumer=effect["consumer"]):
        if not pair or one["event_id"] == effect["event_id"]:
            one[name] = one["event_id"] if value == "id" else value


def add_event(tape: Tape, random: Random) -> None:
    """A record more: published twice, in conflict, malformed, of another type, about nothing."""
    event = some(tape, random, "event")
    reads = tape.find("read", "invoke", what="topics")
    if event is None or not reads:
        return
    what = random.choice(["twice", "conflict", "conflict", "malformed", "malformed", "new", "unasked", "retyped"])
    if event.get("malformed") and what != "malformed":
        return
    new = {
        name: value for name, value in event.items() if name not in {"t", "t_begin", "read", "actor", "op", "phase"}
    }
    partition = event["partition"] if random.random() < 0.7 else random.choice([0, 1])
    offset = 1 + max((e["offset"] for e in tape.find("event", topic=event["topic"], partition=partition)), default=-1)
    new |= {"partition": partition, "offset": offset, "injected": random.choice([None, "kafka.duplicate"])}
    if what == "malformed":
        read = random.choice(reads)
        event_id, fault = f"{event['topic']}:{partition}:{offset}", random.choice(["kafka.malformed"] * 3 + [None])
        tape.malformed(read, partition, offset, topic=event["topic"], event_id=event_id, injected=fault)
    else:
        new |= {
            "twice": {},
            "conflict": {"digest": random.choice(["other", "third"])},
            "new": {"event_id": event["event_id"] + "-new"},
            "unasked": {
                "event_id": event["event_id"] + "-x",
                "joins": {"0": "u77", "1": "order-77", "2": "g77"},
                "upload_id": "u77",
            },
            "retyped": {
                "event_type": random.choice(["placed", "refused", "shipped", "closed", "odd"]),
                "digest": "other",
            },
        }[what]
        tape.seen(random.choice(reads), "event", new)
    if random.random() < 0.8:
        _passed(tape, event["topic"], partition, offset)


def _passed(tape: Tape, topic: str, partition: int, offset: int) -> None:
    """The group's final offsets are beyond a record."""
    for row in tape.find("offset", topic=topic, partition=partition):
        if row["read"].get("final"):
            row["committed"] = row["visible_end"] = max(row["visible_end"], offset + 1)


def add_letter(tape: Tape, random: Random) -> None:
    """A dead letter about some record, or about none."""
    event = (
        some(tape, random, "event", malformed="not JSON") if random.random() < 0.5 else some(tape, random, "event")
    )
    read = final(tape, "dead_letters")
    if event is None or read is None:
        return
    nowhere: dict[str, Any] = {"source_topic": None, "source_partition": None, "source_offset": None}
    place: dict[str, Any] = random.choice([*[{}] * 7, nowhere, nowhere, {"source_topic": "elsewhere"}])
    named = {} if random.random() < 0.7 else {"event_id": random.choice([None, "placed-99", "placed-0"])}
    kind = random.choice(["poison", "conflict", "malformed"])
    whose: list[list[str | None]] = [["shop"], ["desk"], ["shop", "desk"], ["shop", "shop"], ["shop", None]]
    for consumer in random.choice(whose):
        tape.letter(read, len(tape.find("dead_letter")), consumer, kind, event, **place, **named)


def conflict_with_letters(tape: Tape, random: Random) -> None:
    """Two or three facts under one id, some of them reported, with or without an effect."""
    event = some(tape, random, "event", event_type="placed", malformed=None)
    read, letters = some(tape, random, "read", "invoke", what="topics"), final(tape, "dead_letters")
    if event is None or read is None:
        return
    facts = [event]
    for n in range(random.randint(1, 2)):
        offset = 1 + max(e["offset"] for e in tape.find("event", topic=event["topic"], partition=event["partition"]))
        same = {"event_id": event["event_id"], "joins": {}, "upload_id": None, "raw_file_storage_id": None}
        injected = random.choice(["kafka.conflict", "kafka.conflict", None])
        facts.append(
            tape.event(read, 0, "placed", event["partition"], offset, digest=f"other{n}", injected=injected, **same)
        )
        _passed(tape, event["topic"], event["partition"], offset)
    for consumer in ("shop", "desk"):
        for fact in facts:
            if letters is not None and random.random() < 0.5:
                kind = random.choice(["conflict", "conflict", "poison"])
                tape.letter(letters, len(tape.find("dead_letter")), consumer, kind, fact)
        if random.random() < 0.4:
            tape.drop(tape.find("effect", consumer=consumer, event_id=event["event_id"]))


def change_offset(tape: Tape, random: Random) -> None:
    """A group is further, less far, or nowhere; a partition is longer or shorter."""
    if row := some(tape, random, "offset"):
        name = random.choice(["committed", "committed", "visible_end"])
        row[name] = max(0, (row[name] or 0) + random.choice([-3, -2, -1, 1, 2]))
        if name == "committed" and random.random() < 0.2:
            row[name] = None


def ahead(tape: Tape, random: Random) -> None:
    """In some pass a group had passed all there was; an effect is first seen only later."""
    if row := some(tape, random, "offset"):
        row["committed"] = row["visible_end"]
    if effect := some(tape, random, "effect"):
        pair = sorted(
            tape.find("effect", consumer=effect["consumer"], event_id=effect["event_id"]), key=lambda e: e["t"]
        )
        tape.drop(pair[:-1])


def change_read(tape: Tape, random: Random) -> None:
    """A pass fails, never ends, judges nothing, or takes place at another time."""
    invoke = some(tape, random, "read", "invoke", final=random.choice([True, True, False]))
    if invoke is None:
        return
    ends = [record for record in tape.find("read") if record.get("of") is invoke]
    match random.choice(["fail", "unfinal", "move", "move", "slow"]):
        case "fail":
            for end in ends:
                end["phase"] = random.choice(["fail", "unknown"])
        case "unfinal":
            invoke["final"] = not invoke["final"]
        case "slow":
            for end in ends:
                end["t"] += random.choice([50, 500, 5000]) * MS
        case _:
            by = random.choice([-3500, -2000, -250, -120, -15, 15, 120, 3500]) * MS
            own = [r for r in tape.records if r is invoke or r.get("of") is invoke or r.get("read") is invoke]
            for record in own if invoke["t"] + by > 0 else ():
                record["t"] += by
                if "t_begin" in record:
                    record["t_begin"] += by


def change_answer(tape: Tape, random: Random) -> None:
    """Another answer, another try, another upload, or none."""
    if (invoke := some(tape, random, "upload", "invoke")) is None:
        return
    upload = invoke["upload_id"]
    phase = random.choice(["ok", "fail", "unknown", "none"])
    match random.choice(["answer", "again", "nowhere", "extra"]):
        case "answer":
            for end in tape.find("upload", "ok", upload_id=upload):
                end.update(phase=random.choice(["fail", "unknown"]), raw_file_storage_id=None)
        case "again":
            tape.upload(150, int(upload[1:]), phase=phase, acceptable=invoke["acceptable"])
        case "nowhere":
            tape.drop(tape.find("upload", upload_id=upload))
        case _:
            tape.upload(160, 50, phase=phase)


def change_upload(tape: Tape, random: Random) -> None:
    """Its blob has another name, or none; its bytes another hash, or none."""
    if (invoke := some(tape, random, "upload", "invoke")) is None:
        return
    upload = invoke["upload_id"]
    if random.random() < 0.6:
        for record in [*tape.find("upload", "ok", upload_id=upload), *tape.find("event", upload_id=upload)]:
            record["raw_file_storage_id"] = random.choice(["b0", "b99", None])
    else:
        for record in tape.find("upload", upload_id=upload):
            record["sha256"] = random.choice([sha(0), None])


def reprocess(tape: Tape, random: Random) -> None:
    """Something is asked to be done again, and may give an outcome more."""
    upload = f"u{random.randint(0, 2)}"
    invoke = tape.add(170, "reprocess", "invoke", upload_id=upload)
    phase = random.choice(["ok", "fail", "unknown", "none"])
    if phase != "none":
        tape.add(175, "reprocess", phase, upload_id=upload, of=invoke)
    event = some(tape, random, "event", upload_id=upload, malformed=None)
    if event is not None and random.random() < 0.7:
        where = {"event_id": f"{event['event_id']}-{phase}", "injected": None}
        tape.event(event["read"], int(upload[1:]), event["event_type"], 1, 60 + random.randint(0, 9), **where)
        for n in range(random.randint(0, 2)):
            again = {"event_id": f"closed-{upload}-{phase}-{n}"}
            tape.event(event["read"], int(upload[1:]) // 2, "closed", 1, 70 + random.randint(0, 9), **again)


def rules_about_uploads(tape: Tape, random: Random) -> None:
    """By a second rule uploads are stored, perhaps once more when they are done again, or not at all."""
    if not (events := tape.find("event")):
        return
    number = str(len(tape.checks["outcomes"]))
    tape.checks["outcomes"].append({"of": "upload", "then": ["stored"], "accepted": None, "rejected": None})
    for n in range(3):
        for again in range(random.choice([1, 1, 1, 2, 2, 0])):
            place = {"event_id": f"stored-{n}-{again}", "joins": {number: f"u{n}"}, "topic": "shipping"}
            tape.event(random.choice(events)["read"], n, "stored", 1, 30 + 3 * n + again, **place)
    for _ in range(random.randint(1, 2)):
        reprocess(tape, random)


def wanted_again(tape: Tape, random: Random) -> None:
    """The scenario wants some done again."""
    rows = [{"reprocess": random.randint(1, 2)}, {"replay": random.choice(["all", 1, 2])}]
    tape.header["plan"].setdefault("scenario", {})["again"] = random.sample(rows, random.randint(1, 2))


def change_batch(tape: Tape, random: Random) -> None:
    """An upload belongs to another batch, or to none."""
    if invoke := some(tape, random, "upload", "invoke"):
        batch = random.choice(["g0", "g1", "g70", None])
        for record in tape.find("upload", upload_id=invoke["upload_id"]):
            record["batch"] = batch


def load_of_its_own(tape: Tape, random: Random) -> None:
    """The load had processes of its own; perhaps one was lost, or was on another machine, and with it its uploads."""
    for worker in ("w1", "w2"):
        for phase in random.choice(
            [
                ["began", "ended"],
                ["joined"],
                ["began"],
                ["began", "lost"],
                ["joined", "ended"],
                ["joined", "lost", "ended"],
                ["began", "raised", "ended"],
            ]
        ):
            error = "it was killed" if phase == "lost" else None
            tape.add(random.randint(0, 300), "load", phase, worker=worker, error=error)
    for upload in {record["upload_id"] for record in tape.find("upload") if random.random() < 0.3}:
        records = tape.find("upload", upload_id=upload)
        if random.random() < 0.2:
            tape.drop(records)
        by = random.choice(["w1", "w2", "w3", None])
        for record in records:
            record["placed"] = True
            if by is not None:
                record["worker"] = by


def acknowledged_late(tape: Tape, random: Random) -> None:
    """Answered when all is being read, or was; what came of it, nobody saw."""
    if ok := some(tape, random, "upload", "ok"):
        for record in tape.find("upload", upload_id=ok["upload_id"]):
            record["t"] += int(random.choice([20, 60, 3_000, 14_350]) * MS)


def batches_of_several(tape: Tape, random: Random) -> None:
    """The scenario says how many uploads make a batch, and not all have so many."""
    tape.header["plan"].setdefault("scenario", {})["load"] = {"batch": random.randint(1, 3)}


def change_outcomes(tape: Tape, random: Random) -> None:
    """What must follow came twice, under two ids, or never came."""
    if (event := some(tape, random, "event", malformed=None)) is None:
        return
    if random.random() < 0.5:
        tape.drop(tape.find("event", event_id=event["event_id"]))
    else:
        new = {
            name: value
            for name, value in event.items()
            if name not in {"t", "t_begin", "read", "actor", "op", "phase"}
        }
        again = {"event_id": event["event_id"] + "-again", "partition": 1, "offset": 80 + random.randint(0, 9)}
        tape.seen(event["read"], "event", new | again)


def causes(tape: Tape, random: Random) -> None:
    """Orders share a number; what follows names its cause, a wrong one, or none."""
    for event in (e for kind in ("placed", "shipped") for e in tape.find("event", event_type=kind, malformed=None)):
        n = event["event_id"].split("-")[1]
        event["joins"] = {**(event.get("joins") or {}), "1": f"order-{int(n) // 2 if n.isdigit() else n}"}
        if event["event_type"] == "shipped":
            other = f"placed-{int(n) ^ 1}" if n.isdigit() else "placed-0"
            event["causation_id"] = random.choice([f"placed-{n}"] * 4 + [other, None])
        elif random.random() < 0.05:
            event["joins"] = None


def rules_in_common(tape: Tape, random: Random) -> None:
    """What follows from orders and from shipments has one type; it names its cause, a wrong one, or none."""
    first = len(tape.checks["outcomes"])
    rules = {
        "placed": (str(first), ["mailed"]),
        "shipped": (str(first + 1), random.choice([["mailed"], ["mailed", "faxed"]])),
    }
    by = random.choice([["/order"] * 2, ["/order"] * 2, ["/order", "/shipment"]])
    tape.checks["outcomes"] += [
        {"of": of, "by": by[n], "then": then, "accepted": None, "rejected": None}
        for n, (of, (_, then)) in enumerate(rules.items())
    ]
    causing, careless = random.choice([0, 0.9, 1]), random.choice([0, 0, 0.1])
    alone, apart = random.random() < 0.2, by[0] != by[1] and random.random() < 0.5
    for event in [e for of in rules for e in tape.find("event", event_type=of, malformed=None)]:
        number, then = rules[event["event_type"]]
        key = f"order-{event['event_id'].split('-')[1]}"
        event["joins"] = {**(event.get("joins") or {}), number: key}
        several = random.random() < careless
        for again in range(
            0 if random.random() < careless or (alone and event["event_type"] == "placed") else 1 + several
        ):
            new = {
                "topic": "shipping",
                "partition": 1,
                "offset": random.randint(100, 999),
                "event_id": f"mail-{again}-{event['event_id']}",
                "event_type": random.choice(then),
                "causation_id": event["event_id"] if random.random() < causing else random.choice([None, "placed-0"]),
                "digest": "mail",
                "joins": {n: key for n, _ in rules.values() if n == number or not apart},
            }
            tape.seen(event["read"], "event", new)


def change_blob(tape: Tape, random: Random) -> None:
    """A read finds nothing, other bytes, or nobody."""
    if (blob := some(tape, random, "blob")) is None:
        return
    own = tape.find("blob", raw_file_storage_id=blob["raw_file_storage_id"])
    phase = random.choice(["missing", "missing", "different", "unreachable", "present"])
    found = {"missing": None, "unreachable": None, "different": "other", "present": random.choice([None, sha(0)])}
    for one in random.choice([own, [blob], [b for b in own if b["why"] == "final"]]):
        one.update(phase=phase, sha256=found[phase], t_begin=one["t_begin"] + random.choice([0, 0, -400, 50]) * MS)


def overwrite(tape: Tape, random: Random) -> None:
    """Two uploads are answered with one blob; it is the one's or the other's."""
    one, other = some(tape, random, "upload", "ok"), some(tape, random, "upload", "ok")
    if one is None or other is None:
        return
    for record in [other, *tape.find("event", upload_id=other["upload_id"])]:
        record["raw_file_storage_id"] = one["raw_file_storage_id"]
    if random.random() < 0.5:
        for blob in tape.find("blob", raw_file_storage_id=one["raw_file_storage_id"]):
            blob["sha256"] = other["sha256"] if blob["sha256"] else None


def rejection(tape: Tape, random: Random) -> None:
    """An upload was not acceptable, or was: its outcome says so or not, its blob is kept or not."""
    if (invoke := some(tape, random, "upload", "invoke")) is None:
        return
    acceptable = random.choice([False, False, True, None])
    for record in tape.find("upload", upload_id=invoke["upload_id"]):
        record["acceptable"] = acceptable
    if random.random() < 0.5:
        for blob in tape.find("blob", raw_file_storage_id=f"b{invoke['upload_id'][1:]}"):
            if random.random() < 0.8:
                blob.update(phase="missing", sha256=None)


def named_by_an_event(tape: Tape, random: Random) -> None:
    """An event names a blob that no answer did."""
    event = some(tape, random, "event", malformed=None)
    if event is None:
        return
    event["raw_file_storage_id"] = random.choice(["b90", "b90", "b0", "b1"])
    for read in tape.find("read", "invoke", what="blobs"):
        if random.random() < 0.7:
            why = "final" if read["final"] else "event"
            phase = random.choice(["missing", "missing", "present", "present", "unreachable"])
            found = {"sha256": random.choice([sha(0), sha(0), sha(1), "other", None])} if phase == "present" else {}
            tape.blob(read, 90, phase, why=why, **found)


def change_faults(tape: Tape, random: Random) -> None:
    """It did not bite, was not healed, never came, or there were two."""
    match random.choice(["planned", "second", "drop", "time", "publish", "counted"]):
        case "counted":
            for record in tape.find("fault", "healed"):
                record["given"] = random.choice([None, 0, 4, 5, 40])
                record["begun"] = random.choice([None, 0, 4, 5, 40])
        case "planned":
            tape.header["plan"]["faults"].append({"id": "f9", "fault": "net.down", "target": "shop#2->redis"})
        case "second":
            for n, phase in enumerate(random.sample(["injected", "bit", "healed"], random.randint(1, 3))):
                fault = {"fault": "f2", "name": "net.down", "target": "x", "heals": random.random() < 0.7}
                tape.add(random.choice([5, 30, 60]) + 50 * n, "fault", phase, **fault)
        case "drop":
            tape.drop(tape.find("fault", random.choice(["injected", "bit", "healed"])))
        case "time":
            for record in tape.find("fault", random.choice(["injected", "healed"])):
                record["t"] = random.choice([2, 20, 60, 900]) * MS
        case _:
            publish = {"injected": random.choice([None, "kafka.duplicate"]), "topic": "orders"}
            invoke = tape.add(40, "publish", "invoke", **publish)
            tape.add(41, "publish", random.choice(["ok", "unknown"]), of=invoke, **publish)


def change_health(tape: Tape, random: Random) -> None:
    """Something was not well, or nobody looked."""
    if random.random() < 0.5:
        change(tape, random, "health", phase=["bad"], when=["start", "end"])
    else:
        tape.drop(tape.find("health", when=random.choice(["start", "end"])))


def change_checks(tape: Tape, random: Random) -> None:
    """Another system."""
    name, value = random.choice(
        [
            ("settle_ns", 0),
            ("settle_ns", 3000 * MS),
            ("dead_letters", False),
            ("dead_letters", False),
            ("blobs", False),
            ("consumers", {"shop": ["placed", "shipped"]}),
            ("consumers", {"shop": ["placed"], "desk": ["mistyped"]}),
            ("consumers", {}),
            ("deferred", ["shop"]),
            ("deferred", ["shop", "purse"]),
            ("outcomes", [{"of": "upload", "then": ["placed", "refused"], "accepted": None, "rejected": None}]),
            ("outcomes", []),
        ]
    )
    tape.checks[name] = value


def come_to_rest(tape: Tape, random: Random) -> None:
    """The run took the system for at rest, or gave up waiting for it."""
    tape.add(random.choice([200, 11_500]), "run", random.choice(["drained", "deadline"]))


def respell(tape: Tape, random: Random) -> None:
    """A store gives an id back in other letters; in the final look, or in all."""
    if effect := some(tape, random, "effect"):
        last = final(tape, "effects")
        for one in tape.find("effect", consumer=effect["consumer"], event_id=effect["event_id"]):
            if one["read"] is last or random.random() < 0.7:
                one["event_id"] = one["event_id"].upper()


def cannot_be_read(tape: Tape, random: Random) -> None:
    """Nobody can tell what a record or a dead letter says."""
    if record := some(tape, random, random.choice(["event", "event", "dead_letter", "effect"])):
        record["error"] = "JSONEncodeError: Recursion limit reached"
        if record["op"] == "effect":
            record.update(topic="billed", partition=0, offset=random.randint(0, 99))


def overwrite_event(tape: Tape, random: Random) -> None:
    """A fault put other bytes in the place of an event; what had come of it may be gone with it."""
    event = some(tape, random, "event", malformed=None)
    if event is not None and event.get("read") is not None and event.get("error") is None:
        if random.random() < 0.7:
            tape.drop(tape.find("effect", event_id=event["event_id"]))
        tape.overwrite(event)


def headers(tape: Tape, random: Random) -> None:
    """A system passes a fault's header on; what a fault published may be anywhere, for the broker did not answer."""
    for event in tape.find("event"):
        if random.random() < 0.3:
            event["marked"] = random.choice(["kafka.duplicate", "kafka.conflict"])
    if random.random() < 0.5:
        place = {"topic": random.choice(["orders", "shipping"]), "partition": random.choice([0, 1])}
        tape.publish(35, "kafka.duplicate", place, offset=None)


def groups(tape: Tape, random: Random) -> None:
    """A consumer keeps its offsets elsewhere, has committed none, or reads some of the topics."""
    consumer = random.choice(["shop", "desk"])
    rows = tape.find("offset", consumer=consumer)
    match random.choice(["unseen", "none", "some", "more"]):
        case "unseen":
            tape.drop(rows)
        case "none":
            for row in rows:
                row["committed"] = None
        case "some":
            for row in rows:
                row["topic"] = "shipping"
        case _:
            for event in tape.find("event", event_type="placed"):
                if random.random() < 0.3:
                    event["topic"] = "audit"
    if random.random() < 0.3:
        tape.drop(e for e in tape.find("effect", consumer=consumer) if random.random() < 0.5)


def tombstones(tape: Tape, random: Random) -> None:
    """A record without a value, passed or not, which a consumer may set aside under the id of an event, and early or late."""
    event, read = some(tape, random, "event"), some(tape, random, "read", "invoke", what="topics")
    if event is None or read is None:
        return
    offset = 1 + max(e["offset"] for e in tape.find("event", topic=event["topic"], partition=event["partition"]))
    place = {"topic": event["topic"], "partition": event["partition"], "offset": offset}
    made = tape.tombstone(
        random.choice([read, tape.look(random.choice([690, 8000]), "topics")]),
        event["partition"],
        offset,
        event["topic"],
    )
    if random.random() < 0.8:
        _passed(tape, *place.values())
    if (last := final(tape, "dead_letters")) is not None and random.random() < 0.5:
        kind = random.choice(["poison", "conflict", "malformed"])
        tape.letter(last, 60, random.choice(["shop", "desk"]), kind, {**made, "event_id": event["event_id"]})
        if random.random() < 0.5:
            tape.drop(tape.find("effect", event_id=event["event_id"]))


def rounded_integers(tape: Tape, random: Random) -> None:
    """Events have integers that a double cannot hold, and effects carry the digest of either form, or another event's."""
    for event in legible(tape, "event", malformed=None):
        if random.random() < 0.5:
            event["digest_rounded"] = f"r-{random.choice([event['event_id'], 'other'])}"
    for effect in legible(tape, "effect"):
        if random.random() < 0.2:
            effect["digest"] = f"r-{random.choice([effect['event_id'], 'other'])}"


def claims(tape: Tape, random: Random) -> None:
    """A malformed record claims a type, or the id of an event."""
    for record in tape.find("event", malformed="not JSON"):
        record["event_type"] = random.choice([None, "placed", "refused", "odd"])
        record["claims"] = random.choice([None, "placed-0", "placed-1"])


def read_again(tape: Tape, random: Random) -> None:
    """The final pass over the effects was made before, and found less, or failed."""
    if (last := final(tape, "effects")) is None:
        return
    before = tape.look(random.choice([600, 3000]), "effects", final=True, phase=random.choice(["ok", "fail"]))
    for effect in tape.find("effect", read=last):
        if random.random() < 0.9:
            tape.records.append({**effect, "t": before["t"] + MS, "t_begin": before["t"], "read": before})


def names(tape: Tape, random: Random) -> None:
    """Effects are named by what their events carry, or by that and something of their own."""
    own = random.choice([False, False, True])
    for effect in tape.find("effect", consumer=random.choice(["shop", "desk"])):
        if random.random() < 0.9:
            rest = f"-{sum(effect['event_id'].encode()) * 31}" if own else ""
            effect["template"] = random.choice(["{/n}", "order-{/n}"]) + rest


def keyed(tape: Tape, random: Random) -> None:
    """Effects name a business key, which events may lack, or share, or have in another spelling."""
    consumer, share = random.choice(["shop", "desk"]), random.choice([1, 1, 2])
    tape.checks["keyed"] = {consumer: "/data/order"}

    def key(event_id: str) -> str:
        return f"A-{sum(event_id.encode()) // share}"

    for event in legible(tape, "event", malformed=None):
        event["keys"] = {consumer: key(event["event_id"])} if random.random() < 0.9 else None
    how = random.choice(["alike", "alike", "alike", "alike", "otherwise", "lower"])
    for effect in legible(tape, "effect", consumer=consumer):
        if random.random() < 0.95:
            own = effect["event_id"] if how == "otherwise" else key(effect["event_id"])
            effect["key"] = own.lower() if how == "lower" else own


def replay(tape: Tape, random: Random) -> None:
    """A dead letter is taken back."""
    event = some(tape, random, "event", malformed=None)
    last = final(tape, "dead_letters")
    if event is None or last is None:
        return
    place = {f"source_{name}": event[name] for name in ("topic", "partition", "offset")}
    letter = {"consumer": random.choice(["shop", "desk"]), "event_id": event["event_id"]}
    for read in (tape.look(440, "dead_letters"), last):
        tape.letter(read, 40, letter["consumer"], random.choice(["poison", "conflict"]), event)
    invoke = tape.add(random.choice([430, 450]), "replay", "invoke", **letter, **place)
    phase = random.choice(["ok", "ok", "fail", "unknown", "none"])
    if phase != "none":
        tape.add(460, "replay", phase, of=invoke, **letter, **place)
    if random.random() < 0.5:
        tape.drop(tape.find("effect", **letter))


def still_moving(tape: Tape, random: Random) -> None:
    """Something moved late, or came back late, or a group stands where it stood."""
    match random.choice(["service", "offset", "stands", "stands"]):
        case "service":
            tape.add(random.choice([900, 8000]), "service", "ready", name="shop#1")
        case "offset":
            row = some(tape, random, "offset")
            if row is not None and row["committed"]:
                fields = {name: row[name] for name in ("consumer", "topic", "partition", "visible_end")}
                for back, ms in ((1, 690), (0, random.choice([2000, 8000]))):
                    tape.seen(tape.look(ms, "offsets"), "offset", {**fields, "committed": row["committed"] - back})
        case _:
            if row := some(tape, random, "offset"):
                ends = tape.find("offset", consumer=row["consumer"], topic=row["topic"], partition=row["partition"])
                stands = max(0, row["visible_end"] - random.choice([1, 2, 3]))
                for one in ends:
                    one["committed"] = stands
                for event in legible(tape, "event", topic=row["topic"], partition=row["partition"]):
                    if event["offset"] >= stands and random.random() < 0.5:
                        tape.drop(tape.find("effect", consumer=row["consumer"], event_id=event["event_id"]))


def interrupt(tape: Tape, random: Random) -> None:
    """The harness was killed at some moment."""
    ordered = sorted(tape.records, key=lambda record: record["t"])
    keep = random.randint(0, len(ordered))
    tape.drop(ordered[keep:])


PLANTS: tuple[Plant, ...] = (
    drop_one,
    drop_effects,
    drop_effects,
    add_effect,
    add_effect,
    change_effects,
    add_event,
    add_event,
    add_letter,
    add_letter,
    conflict_with_letters,
    change_offset,
    ahead,
    ahead,
    change_read,
    change_read,
    change_answer,
    change_upload,
    reprocess,
    rules_about_uploads,
    rules_about_uploads,
    change_batch,
    batches_of_several,
    load_of_its_own,
    acknowledged_late,
    change_outcomes,
    causes,
    causes,
    rules_in_common,
    rules_in_common,
    change_blob,
    change_blob,
    overwrite,
    overwrite,
    rejection,
    rejection,
    named_by_an_event,
    named_by_an_event,
    change_faults,
    change_faults,
    change_health,
    change_checks,
    come_to_rest,
    respell,
    cannot_be_read,
    overwrite_event,
    headers,
    groups,
    groups,
    rounded_integers,
    tombstones,
    claims,
    names,
    keyed,
    keyed,
    replay,
    read_again,
    wanted_again,
    still_moving,
    still_moving,
    interrupt,
)


BY_HAND = "by hand: "

Recipe = tuple[int, list[str]]
"""A seed, and the names of what is planted: the same recipe makes the same history.

The first may name a bad history from cases.py, ``by hand: lost``; the others are then planted into that history.
"""


def make(recipe: Recipe) -> Tape:
    """The history of a recipe."""
    seed, plants = recipe
    random = Random(seed)
    if plants and plants[0].startswith(BY_HAND):
        tape, plants = good_run(BAD[plants[0].removeprefix(BY_HAND)]), plants[1:]
    else:
        tape = World(random).make()
    for name in plants:
        BY_NAME[name](tape, random)
    return tape


BY_NAME = {plant.__name__: plant for plant in PLANTS}

recipes: st.SearchStrategy[Recipe] = st.tuples(
    st.integers(0, 2**32), st.lists(st.sampled_from([plant.__name__ for plant in PLANTS]), max_size=5)
)
"""Up to five things planted; shrinks to fewer."""
