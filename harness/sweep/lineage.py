"""Every message that one event causes at a service, and a scenario for each way to break off at it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, Literal

from harness.history.named import Named, pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.history.reader import History

NTH: Final = 2
"""Number of the event at which a fault acts: the first one meets a service that has only just started."""

LEAST: Final = 2
"""Events that a message must have belonged to: what happens only once is not what every event causes."""

_DOWN: Final = "500ms"

TELLING: Final = frozenset(
    """
    COMMIT INSERT UPDATE DELETE MERGE
    Produce OffsetCommit TxnOffsetCommit AddOffsetsToTxn EndTxn
    POST PUT PATCH
    APPEND DECR DECRBY DEL EVAL EVALSHA EXEC FCALL GETDEL GETSET HDEL HINCRBY HINCRBYFLOAT HMSET HSET HSETNX INCR INCRBY
    INCRBYFLOAT LPUSH LREM LSET MSET MSETNX PFADD PSETEX PUBLISH RENAME RPUSH SADD SET SETBIT SETEX SETNX SPUBLISH SREM
    UNLINK XACK XADD ZADD ZINCRBY ZREM
    """.split()  # noqa: SIM905 - so many words read best as a text
)
"""Commands of Postgres, Kafka, HTTP and Redis that change something: an event causes them even if their key names none."""

_OFTEN: Final = 0.5
"""Share of the events with which a message must have come to be one that each causes, as far as anybody can tell."""


@dataclass(frozen=True, slots=True)
class Action:
    """One way to break off at a message."""

    name: str
    fault: str
    side: Literal["request", "reply"]
    kills: bool


ACTIONS: Final = (
    Action("killed before", "service.kill", "request", kills=True),
    Action("killed after", "service.kill", "reply", kills=True),
    Action("request lost", "tap.lose_request", "request", kills=False),
    Action("reply lost", "tap.lose_reply", "reply", kills=False),
)
"""Before: the dependency has not got the request. After: it has answered, and the service has not heard it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A message that events cause, in the order in which they cause them.

    ``key`` has ``*`` for what names the event; ``turn`` tells it from earlier messages with the same command and key, and is
    None where the key names no event.
    """

    target: str
    command: str
    key: str
    turn: int | None
    events: int
    """How many events of the run without faults had it."""
    whole: bool = field(default=True, compare=False)
    """Whether ``{id}`` can stand for each name in its keys; else their patterns have ``*``, which matches more."""

    @property
    def message(self) -> str:
        """``SET claim:*``."""
        return f"{self.command} {self.key}".rstrip()

    @property
    def pattern(self) -> str:
        """``SET claim:{id}``: the pattern of a ``when``, which leaves out ``claim:17:done``."""
        return pattern(self.message, whole=self.whole)

    def __str__(self) -> str:
        again = f" (number {self.turn} with its key)" if self.turn is not None and self.turn > 1 else ""
        return f"{self.target}: {self.message}{again}"

    def fault(self, action: Action, replica: str) -> dict[str, Any]:
        """Return the row of a schedule that performs ``action`` at this message of a replica."""
        link = f"{replica}->{self.target}"
        when = {action.side: self.pattern, "nth": NTH}
        if self.turn is not None:
            when["per_key"] = self.turn
        if action.kills:
            return {"fault": action.fault, "on": replica, "when": {**when, "on": link}, "for": _DOWN}
        return {"fault": action.fault, "on": link, "when": when}


PASSED: Final = """
SELECT t_begin AS t, split_part(link, '->', 1) AS replica, split_part(link, '->', 2) AS target, command,
       coalesce(key, '') AS key, kind, places
FROM history
WHERE op = 'wire' AND phase = 'answered' AND split_part(split_part(link, '->', 1), '#', 1) = $service
ORDER BY t_begin, i
"""
"""Answered messages of a service, in the order in which they were sent; ``t`` is when."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Messages that came with about every event, and of which nothing tells that events caused them."""

    target: str
    command: str
    events: int
    """The events with which they came."""

    def __str__(self) -> str:
        return f"{self.target}: {self.command} (with {self.events} events)"


def lineage(history: History, service: str) -> tuple[list[Step], list[LeftOut]]:
    """Return what one event causes at a service, from a run without faults whose links had taps, and what was left out.

    A message belongs to an event if its key names the event, its upload or its raw blob. One that changes something and
    whose key names none, such as a commit or a record, counts for the event that the replica dealt with last. Everything
    else, such as a ping, belongs to no event.
    """
    named = Named(history)
    orders: defaultdict[tuple[str, str, str, int | None], list[tuple[int, str]]] = defaultdict(list)
    """Message -> for each time, how many of its event's came before it, and the event."""
    turns: Counter[tuple[str, str, str]] = Counter()
    positions: Counter[str] = Counter()
    latest: dict[str, str] = {}
    parted: set[tuple[str, str, str, int | None]] = set()
    """Messages that name an event in a way that ``{id}`` cannot stand for."""
    others: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    """Target and command of all other messages -> the events that their replicas had dealt with last."""
    for row in history.sql(PASSED, service=service):
        target, command, key = row["target"], row["command"], row["key"]
        last = latest.get(row["replica"])
        # Postgres' SET, which has no key, is about its connection.
        identity, turn = last if command in TELLING and (key or command != "SET") else None, None
        if (own := named.identity(key)) is not None:
            identity = latest[row["replica"]] = own
            turns[target, command, key] += 1
            turn = turns[target, command, key]
        if identity is not None:
            message = target, command, named.general(key), turn
            orders[message].append((positions[identity], identity))
            positions[identity] += 1
            if not named.whole(key):
                parted.add(message)
        elif last is not None:
            others[target, command].add(last)
    found = [
        (fmean(place for place, _ in order), Step(*message, len(order), message not in parted))
        for message, order in orders.items()
        if len(order) >= LEAST
    ]
    for message, order in orders.items():
        if len(order) < LEAST:  # as if each time its key names something else
            others[message[:2]] |= {identity for _, identity in order}
    often = max(LEAST, _OFTEN * len(positions))
    left = [LeftOut(*what, len(events)) for what, events in sorted(others.items()) if len(events) >= often]
    return [step for _, step in sorted(found, key=lambda one: (one[0], str(one[1])))], left


def scenario(
    base: Mapping[str, object], name: str, system: str, faults: Sequence[Mapping[str, Any]], *, taps: bool
) -> dict[str, object]:
    """Return a scenario file with the load of ``base`` and a schedule of its own."""
    kept = {key: base[key] for key in ("oneffect", "load", "drain") if key in base}
    return {
        **kept,
        "name": name,
        "system": system,
        **({"faults": [dict(row) for row in faults]} if faults else {}),
        **({"taps": "all"} if taps else {}),
    }
