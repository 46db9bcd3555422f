"""Which deliveries the deaths of a run cut off, how far each had come, and where the event was handled next.

Only messages that taps saw count: a replica handles a delivery from its first message whose key names the event, its
upload or its raw blob, until it commits an offset past the event. The effect was there at the death if, before any replica
handled the event again, a read saw it that had begun by the death, or the first that began after it.

A delivery may be left out wrongly, or be ``unseen``, but is never counted at a point at which it was not: where taps could
not see whether it was over, it is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal

from harness.history.commits import Commits, Life, Place

if TYPE_CHECKING:
    from harness.history.reader import History

Stage = Literal["unclaimed", "claimed", "applied", "unseen"]
"""How far a delivery had come: unclaimed; claimed, but without its effect; applied, but its offset not committed.

``unseen``: it is unknown whether the effect, or the claim, was there, or whether a commit under way was executed. So it
is always of consumers that have totals alone, and of events whose effects have the key of another event.
"""

_Claim = Literal["granted", "refused", "released", "unclear"]

COLUMNS: Final = (
    "consumer VARCHAR, event_id VARCHAR, replica VARCHAR, t BIGINT, stage VARCHAR, again VARCHAR, redis VARCHAR"
)
"""The columns of a table of cuts."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One delivery that a death cut off."""

    consumer: str
    event_id: str
    replica: str
    t: int
    """When the replica died, in ns."""
    stage: Stage
    again: Literal["same", "other"] | None
    """Where the event was handled next: at the same replica, at another of its service, or nowhere (None)."""
    redis: Literal["kept", "away", "emptied"] | None
    """How that replica found Redis: unchanged, not answering, or emptied since; None if unknown or if ``again`` is."""


@dataclass(frozen=True, slots=True)
class _Message:
    t_begin: int
    t: int
    replica: str
    target: str
    store: bool
    """Whether it went to a Redis."""
    answered: bool | None
    """None if a tap answered in its target's place."""
    claim: _Claim | None
    """Its result, if it may have been a claim; ``unclear``: it is unknown whether it was one, or was executed."""
    certain: bool
    """Whether its key names this event alone, and not an upload or a blob that several events of the consumer carry."""


_LIVES: Final = """
SELECT name, phase, t FROM history WHERE op = 'service' AND phase IN ('started', 'stopped', 'killed', 'exited')
AND split_part(name, '#', 1) IN (SELECT consumer FROM applies) ORDER BY i
"""

_MESSAGES: Final = """
SELECT t_begin, t, split_part(link, '->', 1) AS replica, split_part(link, '->', 2) AS target, command, key, options,
       phase, kind, changed FROM history
WHERE op = 'wire' AND key IS NOT NULL AND t_begin IS NOT NULL AND places IS NULL
      AND split_part(link, '#', 1) IN (SELECT consumer FROM applies) ORDER BY i
"""

_EVENTS: Final = """
SELECT a.consumer, e.event_id, e.topic, e.partition, e."offset", e.upload_id, e.raw_file_storage_id
FROM events e JOIN applies a USING (event_type) WHERE e.event_id IS NOT NULL
"""

_SIGHTS: Final = """
SELECT x.consumer, x.event_id, min(r.began) AS began, min(x.t) AS seen FROM effects x JOIN reads r USING (read) GROUP BY ALL
"""

# An effect that several events could have does not tell which of them has been applied.
_SHARED: Final = """
SELECT DISTINCT k.consumer, e.event_id FROM known_keys k JOIN applies USING (consumer) JOIN events e USING (event_type)
WHERE k.events > 1 AND e.keys[k.consumer] = k.key
"""

_LOOKS: Final = "SELECT began, ended FROM reads WHERE what = 'effects' AND phase = 'ok' ORDER BY began"

_BLIND: Final = """
SELECT split_part(link, '#', 1) AS consumer, min(t) AS t FROM history
WHERE op = 'wire' AND phase IN ('plain', 'failed') GROUP BY ALL
"""

# Faults on a store itself; what befalls its links leaves alone what it holds.
_UPSETS: Final = """
SELECT fault, target AS store, phase, t, (evidence->>'$.emptied') = 'true' AS emptied, i FROM history
WHERE op = 'fault' AND name LIKE 'redis.%' AND phase IN ('injected', 'healed')
UNION ALL
SELECT replace(actor, 'fault:', ''), name, phase, t, NULL, i FROM history WHERE op = 'service' AND phase = 'killed' ORDER BY i
"""

_OUTAGES: Final = """
SELECT target AS link, injected, healed FROM faults
WHERE name IN ('net.down', 'net.hang') AND injected IS NOT NULL AND contains(target, '->')
"""

_CLAIMS: Final = frozenset({"SET", "SETNX", "EVAL", "EVALSHA", "FCALL"})
"""Commands that can claim. A script's reply does not show a refusal, but only the first claim of an event counts."""

_NO_CLAIMS: Final = frozenset(
    """
    BITCOUNT BITFIELD_RO BITPOS DUMP EVALSHA_RO EVAL_RO EXISTS EXPIRE EXPIREAT EXPIRETIME FCALL_RO GET GETBIT GETRANGE HEXISTS
    HGET HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS LINDEX LLEN LPOS LRANGE MEMORY MGET OBJECT PERSIST PEXPIRE
    PEXPIREAT PEXPIRETIME PFCOUNT PSUBSCRIBE PTTL PUBLISH PUNSUBSCRIBE SCARD SISMEMBER SMEMBERS SMISMEMBER SPUBLISH
    SRANDMEMBER SSCAN SSUBSCRIBE STRLEN SUBSCRIBE SUBSTR SUNSUBSCRIBE TOUCH TTL TYPE UNSUBSCRIBE WATCH XINFO XLEN XPENDING
    XRANGE XREVRANGE ZCARD ZCOUNT ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE
    ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
    """.split()  # noqa: SIM905 - so many words read best as a text
)
"""Commands that leave nothing by which an event could be known again; of any other, nobody can tell."""

_REFUSED: Final = frozenset({"refused", "refused_reply"})
"""Phases in which a tap answered with an error of its own."""

_RELEASES: Final = frozenset({"DEL", "UNLINK", "GETDEL"})

# What these keep may be an event's id, which is no key and so is not in the history, and a key may be a digest of it.
_ASIDE: Final = """
SELECT DISTINCT split_part(link, '#', 1) AS consumer, split_part(link, '->', 2) AS target, coalesce(key, '') AS key
FROM history
WHERE op = 'wire' AND (command IN ('SADD', 'HSETNX', 'HSET', 'ZADD', 'SETBIT', 'PFADD', 'BF.ADD', 'CF.ADD', 'CF.ADDNX', 'SETNX',
                                   'MSETNX', 'GETSET', 'INCR', 'EVAL', 'EVALSHA', 'FCALL')
                       OR (command = 'SET' AND contains(options, 'NX')))
"""


def cuts(history: History) -> list[Cut]:
    """Return every delivery at a consumer that the death of a replica cut off, in the order of the deaths.

    Left out: a delivery of an event that was applied before, one whose event another replica handled meanwhile, one with a
    message whose key names another event as well, such as a second one of the same upload, and whatever no tap saw. The
    last includes every delivery of a consumer that commits its offsets past the taps, and those that came again, or had
    not by the end, after one of the consumer's taps had failed.
    """
    lives = list(_lives(history.sql(_LIVES)))
    rows = history.sql(_MESSAGES) if lives else []
    if not rows:
        return []
    places: defaultdict[tuple[str, str], set[Place]] = defaultdict(set)
    named: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for event in history.sql(_EVENTS):
        consumer, event_id = event["consumer"], event["event_id"]
        places[consumer, event_id].add((event["topic"], event["partition"], event["offset"]))
        for name in filter(None, (event_id, event["upload_id"], event["raw_file_storage_id"])):
            named[consumer][name].add(event_id)
    spoken = _spoken(history.header)
    dealt: defaultdict[tuple[str, str], list[_Message]] = defaultdict(list)
    for row in rows:
        consumer = row["replica"].partition("#")[0]
        store = spoken.get(row["target"], row["target"]) == "redis"
        meant = _named(row["key"], named[consumer])
        message = _Message(
            t_begin=row["t_begin"],
            t=row["t"],
            replica=row["replica"],
            target=row["target"],
            store=store,
            answered=None if row["phase"] in _REFUSED else row["phase"] == "answered",
            claim=_claim(row) if store else None,
            certain=len(meant) == 1,
        )
        for event_id in meant:
            dealt[consumer, event_id].append(message)
    claims = {consumer for (consumer, _), some in dealt.items() if any(one.claim == "granted" for one in some)}
    context = _Context(
        commits=Commits(history),
        blind={row["consumer"]: row["t"] for row in history.sql(_BLIND)},
        sights={(row["consumer"], row["event_id"]): (row["began"], row["seen"]) for row in history.sql(_SIGHTS)},
        shared={(row["consumer"], row["event_id"]) for row in history.sql(_SHARED)},
        looks=[(row["began"], row["ended"]) for row in history.sql(_LOOKS)],
        upsets=list(_upsets(history.sql(_UPSETS))),
        outages=_outages(history.sql(_OUTAGES), spoken),
        aside={
            row["consumer"]
            for row in history.sql(_ASIDE)
            if spoken.get(row["target"], row["target"]) == "redis" and not _named(row["key"], named[row["consumer"]])
        }
        | {consumer for consumer, _ in dealt if consumer not in claims},
    )
    made = [
        cut
        for life in lives
        for delivered, messages in dealt.items()
        if delivered[0] == life.replica.partition("#")[0]
        for cut in _cut(life, delivered, messages, places[delivered], context)
    ]
    return sorted(made, key=lambda cut: (cut.t, cut.consumer, cut.event_id))


def as_rows(found: Iterable[Cut]) -> list[tuple[object, ...]]:
    """Return the rows of a table with COLUMNS."""
    return [astuple(cut) for cut in found]


def _claim(row: Mapping[str, Any]) -> _Claim | None:
    """Return what a command to Redis did, if it may have claimed its key, or given it back."""
    if row["command"] in _NO_CLAIMS:
        return None
    if row["phase"] in {"refused", "lost_request"} or str(row["kind"]).startswith("error"):
        return "refused"
    if row["phase"] not in {"answered", "lost_reply"} or row["kind"] == "QUEUED":
        return "unclear"
    if row["command"] in _RELEASES:
        return None if row["changed"] == 0 or row["kind"] in {"nil", "null"} else "released"
    return _taken(row) if row["command"] in _CLAIMS else "unclear"


def _taken(row: Mapping[str, Any]) -> _Claim:
    """Return what an answered command of _CLAIMS did."""
    options = set((row["options"] or "").split())
    if any(option.startswith("IF") for option in options):
        return "unclear"
    nil = row["kind"] in {"nil", "null"}
    if "GET" in options and "XX" not in options:
        # Answered with what the key held before: with NX, nothing means that it was free; without, it is set in any case.
        return "granted" if nil or "NX" not in options else "refused"
    # A SET NX that found the key is answered with nil, as is a SET XX that found none; a SETNX changed nothing then.
    return "refused" if nil or row["changed"] == 0 else "granted"


@dataclass(slots=True)
class _Upset:
    """One injection of a fault on a store."""

    store: str
    began: int
    ended: float = float("inf")
    down: float = float("inf")
    """When the store was dead; it came back after that and before ``ended``."""
    emptied: bool = False


@dataclass(frozen=True, slots=True)
class _Context:
    commits: Commits
    blind: Mapping[str, int]
    """Consumer -> when one of its taps failed or could no longer parse, for the first time."""
    sights: Mapping[tuple[str, str], tuple[int, int]]
    """(consumer, event id) -> when the read began that first saw the effect, and when it had seen it."""
    looks: Sequence[tuple[int, int]]
    shared: Collection[tuple[str, str]]
    """(consumer, event id) of the events whose effects other events may have had."""
    upsets: Sequence[_Upset]
    outages: Mapping[str, Sequence[tuple[int, float]]]
    """Replica -> from when to when none of its requests got through to a Redis."""
    aside: Collection[str]
    """Consumers that may keep what they have claimed where a key does not tell, such as in a database."""


def _cut(
    life: Life,
    delivered: tuple[str, str],
    messages: Sequence[_Message],
    places: set[Place],
    context: _Context,
) -> Iterator[Cut]:
    mine = [one for one in messages if one.replica == life.replica and life.began <= one.t_begin <= life.died]
    if (
        not mine
        or not all(one.certain for one in mine)
        or not context.commits.tell(delivered[0], places)
        or (over := context.commits.over(life, places))
    ):
        return
    first = mine[0].t_begin
    sight = context.sights.get(delivered)
    later = [one for one in messages if one.t_begin > life.died]
    others = [one for one in messages if one.replica != life.replica and first <= one.t_begin <= life.died]
    applied_before = sight is not None and any(began >= sight[0] and ended < first for began, ended in context.looks)
    next_ = min(later, key=lambda one: one.t_begin, default=None)
    until = next_.t_begin if next_ is not None else float("inf")
    if others or applied_before or context.blind.get(delivered[0], until) < until:
        return
    earlier = [one for one in messages if one.t_begin < first]
    stage = _stage(life.died, until, sight, context.looks)
    if stage == "applied" and not _told_apart(earlier, first, context.looks):
        stage = "unseen"
    if stage == "claimed":
        stage = _claimed(mine, earlier, aside=delivered[0] in context.aside)
    if over is None or delivered in context.shared or all(consumer != delivered[0] for consumer, _ in context.sights):
        stage = "unseen"
    again: Literal["same", "other"] | None = None
    redis: Literal["kept", "away", "emptied"] | None = None
    if next_ is not None and next_.certain:
        again = "same" if next_.replica == life.replica else "other"
        stores = {one.target for one in messages if one.store}
        if stores and delivered[0] not in context.blind:
            redis = _redis(mine, next_, later, stores, context)
    yield Cut(*delivered, life.replica, life.died, stage, again, redis)


def _stage(died: int, until: float, sight: tuple[int, int] | None, looks: Sequence[tuple[int, int]]) -> Stage:
    """Return whether the effect was there at a death, from the looks between it and ``until``."""
    between = [began for began, ended in looks if began > died and ended < until]
    # Only until the first of them: what a later one finds may have been done since, unseen by any tap. One that had begun by
    # the death may have got to the effect only when the event had come again, and one that failed may have seen it before.
    if sight is not None and ((sight[0] <= died and sight[1] < until) or (between and sight[0] <= between[0])):
        return "applied"
    return "claimed" if between else "unseen"


def _told_apart(earlier: Sequence[_Message], first: int, looks: Sequence[tuple[int, int]]) -> bool:
    """Whether the effect must be this delivery's: there was no earlier one, or a read of the effects came between."""
    last = max((one.t for one in earlier), default=None)
    return last is None or any(began > last and ended < first for began, ended in looks)


def _claimed(mine: Sequence[_Message], earlier: Sequence[_Message], *, aside: bool) -> Stage:
    """Return the stage of a delivery without its effect: whether Redis had granted it a claim.

    ``unseen`` if an earlier delivery may have left its claim behind, if this one may have given its claim back, or if it is
    unknown whether a command was executed or was a claim; ``aside``: whether there may be claims that no key shows.
    """
    claims = {one.claim for one in mine}
    if "released" in claims or any(one.claim in {"granted", "unclear"} for one in earlier):
        return "unseen"
    return "claimed" if "granted" in claims else "unseen" if "unclear" in claims or aside else "unclaimed"


def _redis(
    mine: Sequence[_Message], next_: _Message, later: Sequence[_Message], stores: set[str], context: _Context
) -> Literal["kept", "away", "emptied"] | None:
    upsets = [
        one
        for one in context.upsets
        if one.store in stores and one.began <= next_.t_begin and one.ended >= mine[0].t_begin
    ]
    if any(one.emptied and one.down <= next_.t_begin and not _wrote(mine, one) for one in upsets):
        return "emptied"
    if upsets:
        # Whether a restart lost something is not known, nor what came first if they were so close.
        return None
    asked = next((one for one in later if one.replica == next_.replica and one.store), None)
    if asked is None:
        # It may not have come so far, or did not get through to any tap.
        cut_off = context.outages.get(next_.replica, ())
        return "away" if any(began <= next_.t_begin < ended for began, ended in cut_off) else None
    return "kept" if asked.answered else "away" if asked.answered is False else None


def _wrote(mine: Sequence[_Message], upset: _Upset) -> bool:
    """Whether a delivery may have left something in a store after a fault had emptied it."""
    return any(one.target == upset.store and one.t_begin > upset.down for one in mine)


def _upsets(rows: Iterable[Mapping[str, Any]]) -> Iterator[_Upset]:
    """Yield each injection; a fault with ``every`` has several."""
    latest: dict[tuple[str, str], _Upset] = {}
    for row in rows:
        which = row["fault"], row["store"]
        if row["phase"] == "injected":
            latest[which] = _Upset(row["store"], row["t"])
            yield latest[which]
        elif row["phase"] == "killed" and which in latest:
            latest[which].down = row["t"]
        elif which in latest:
            upset = latest.pop(which)
            upset.ended, upset.emptied = row["t"], bool(row["emptied"])


def _outages(
    rows: Iterable[Mapping[str, Any]], spoken: Mapping[str, str]
) -> defaultdict[str, list[tuple[int, float]]]:
    outages: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        replica, _, target = row["link"].partition("->")
        if spoken.get(target, target) == "redis":
            outages[replica].append((row["injected"], float("inf") if row["healed"] is None else row["healed"]))
    return outages


def _lives(rows: Iterable[Mapping[str, Any]]) -> Iterator[Life]:
    """Yield each lifetime of a process that a death ended, when it is known whether the process was started again.

    The first lifetime began before the run.
    """
    began: dict[str, int] = {}
    gone: set[str] = set()
    dead: dict[str, Life] = {}
    for row in rows:
        name = row["name"]
        if row["phase"] == "started":
            began[name] = row["t"]
            gone.discard(name)
            if (last := dead.pop(name, None)) is not None:
                last.again = row["t"]
                yield last
            continue
        if row["phase"] != "stopped" and name not in gone:
            dead[name] = Life(name, began.get(name, 0), row["t"])
        gone.add(name)
    yield from dead.values()


def _spoken(header: Mapping[str, Any]) -> dict[str, str]:
    """Return the protocol of each dependency, from the plan."""
    dependencies = ((header.get("plan") or {}).get("system") or {}).get("dependencies") or {}
    return {
        name: (each or {}).get("speaks") or (each or {}).get("kind") or name for name, each in dependencies.items()
    }


def _named(key: str, named: Mapping[str, set[str]]) -> set[str]:
    """Return the events that a key names, each name whole: 17 does not name 7.

    A key has few places at which a name can begin or end, however many names there are.
    """
    edges = [n for n in range(len(key) + 1) if n in {0, len(key)} or not (key[n - 1].isalnum() and key[n].isalnum())]
    return {
        event for begin, end in combinations(edges, 2) if key[begin:end] in named for event in named[key[begin:end]]
    }
