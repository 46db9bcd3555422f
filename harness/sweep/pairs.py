"""Two faults for one event: the second acts at a message that the event was seen to cause after the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.history.named import Named
from harness.observers.known import Known
from harness.sweep.lineage import ACTIONS, PASSED, Action, Step
from harness.sweep.struck import LATEST
from harness.taps.event import Event, passes

if TYPE_CHECKING:
    from harness.history.reader import History
    from harness.taps.message import Place

ALONE: Final = "have a first fault that alone is not valid"
UNNAMED: Final = "are at messages that name no event"
EQUAL: Final = "are equal to another up to the event"
NOTHING: Final = "support no effect"
"""Why a pair is left out."""

COMMITS: Final = frozenset({"OffsetCommit", "TxnOffsetCommit"})
"""Commands whose offsets tell which events they pass."""

ENDS: Final = COMMITS - {"TxnOffsetCommit"}
"""Of these, commands that commit once they are answered; a transaction's offsets are committed only at its EndTxn."""

READS: Final = frozenset({"GET", "HEAD", "MGET", "EXISTS", "TTL", "PTTL"})
"""HTTP and Redis commands that change nothing, so that executing one leaves no trace."""


@dataclass(frozen=True, slots=True)
class Met:
    """A message that an event caused after the first fault."""

    step: Step
    kind: str
    """The kind of its reply."""
    passes: bool
    """Whether it commits the offset after the event."""


@dataclass(frozen=True, slots=True)
class First:
    """A first fault that was tried, and what its event caused from then on."""

    step: Step
    action: Action
    valid: bool
    """Whether its run was valid, and it acted."""
    named: bool = True
    """Whether the message at which it acted belongs to a known event."""
    after: tuple[Met, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two faults; the second one is at a message of the first one's event."""

    first: Step
    first_action: Action
    second: Step
    action: Action

    def faults(self, service: str) -> list[dict[str, Any]]:
        """Return the rows of a schedule: the second acts at whichever replica gets the event."""
        when = {self.action.side: self.second.pattern, "follows": 1}
        if self.second.turn is not None:
            when["per_key"] = self.second.turn
        link = f"{service}->{self.second.target}"
        row: dict[str, Any] = {"fault": self.action.fault, "on": link, "when": when}
        if self.action.kills:
            row |= {"on": service, "when": {**when, "on": link}, "for": "500ms"}
        return [self.first.fault(self.first_action, f"{service}#1"), row]


@dataclass(slots=True)
class Pairs:
    """Which pairs to try, and how many are left out for which reason."""

    kept: list[Pair] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        found = len(self.kept) + self.left_out.total()
        reasons = ", ".join(f"{count} {why}" for why, count in sorted(self.left_out.items()) if count)
        return f"{found} pairs, {len(self.kept)} to try" + (f": {reasons}" if reasons else "")


def pairs(firsts: Sequence[First], lineage: Sequence[Step]) -> Pairs:
    """Return the pairs of all first faults, pruned.

    ``lineage`` is what an event causes without faults. A pair is left out if its first fault alone is not valid; if
    either message names no event, as the faults might meet different events; if it equals another pair except for the
    event; or if nothing more follows from the event when the second fault acts.
    """
    made = Pairs()
    nameless = sum(_nameless(step) for step in lineage)
    commit = next((at for at, step in enumerate(lineage) if step.command in COMMITS), len(lineage))
    last = not any(map(_nameless, lineage[commit:]))
    alone = {(_message(first.step), first.action) for first in firsts}
    seen: set[tuple[Step, bool, tuple[Met, ...]]] = set()
    for first in firsts:
        everywhere = len(first.after) * len(ACTIONS)
        if not first.valid:
            made.left_out[ALONE] += everywhere or len(lineage) * len(ACTIONS)
            continue
        if not first.named:
            made.left_out[UNNAMED] += len(lineage) * len(ACTIONS)
            continue
        made.left_out[UNNAMED] += nameless * len(ACTIONS)
        if not first.after:
            made.left_out[NOTHING] += (len(lineage) - nameless) * len(ACTIONS)
            continue
        # A read leaves no trace: a kill before or after it is the same, and so is the loss of its request or its reply.
        twin = (first.step, first.action.kills, first.after)
        if first.step.command in READS and twin in seen:
            made.left_out[EQUAL] += everywhere
            continue
        seen.add(twin)
        untouched = _untouched(first, lineage)
        for place, met in enumerate(first.after):
            for action in ACTIONS:
                if untouched and (_message(met.step), action) in alone:
                    made.left_out[EQUAL] += 1
                elif why := _left_out(first.after, place, action, last=last):
                    made.left_out[why] += 1
                else:
                    made.kept.append(Pair(first.step, first.action, met.step, action))
    return made


def _left_out(after: Sequence[Met], place: int, action: Action, *, last: bool) -> str:
    """Return why a second fault is left out, or an empty text. ``last``: nothing follows a commit of offsets."""
    met = after[place]
    executed = action.side == "reply"
    if executed and last and met.passes and met.step.command in ENDS and place == len(after) - 1:
        return NOTHING  # the group has passed the event, and nothing more comes of it
    if executed and met.step.command in READS:
        return EQUAL  # the same as before the read
    around = [after[at] for at in (place - 1, place + 1) if 0 <= at < len(after)]
    if len(around) == 2 and all(_alike(met, other) for other in around):  # noqa: PLR2004 - before and behind
        return EQUAL  # in the middle of a repeated message
    return ""


def _alike(one: Met, other: Met) -> bool:
    return (one.step.target, one.step.command, one.step.key, one.kind) == (
        other.step.target,
        other.step.command,
        other.step.key,
        other.kind,
    )


def _untouched(first: First, lineage: Sequence[Step]) -> bool:
    """Whether the first fault left the event as if it had never been delivered: then the second alone is the same."""
    named = [(step.target, step.command, step.key) for step in lineage if not _nameless(step)]
    begins = bool(lineage) and first.step == lineage[0] and first.action.kills and first.action.side == "request"
    return begins and [(met.step.target, met.step.command, met.step.key) for met in first.after] == named


def _message(step: Step) -> tuple[str, str, str, int | None]:
    """Return a message's identity, without its number of events."""
    return (step.target, step.command, step.key, step.turn)


def _nameless(step: Step) -> bool:
    """Whether nothing tells to which event a message belongs. A commit's offsets do."""
    return step.turn is None and step.command not in COMMITS


_EVENTS: Final = """
SELECT event_id, upload_id, raw_file_storage_id, topic, partition, "offset" FROM history
WHERE op = 'event' AND event_id IS NOT NULL AND malformed IS NULL
"""

_STRUCK: Final = f"""
SELECT w.command, w.key, w.places, w.phase, f.t AS injected FROM history f JOIN history w
  ON w.op = 'wire' AND w.phase IN ('lost_request', 'lost_reply', 'unanswered') AND w.t_begin <= f.t AND w.t >= f.t
     AND ends_with(f.evidence->>'$.message', w.command || coalesce(' ' || w.key, '') || ' on ' || w.link)
WHERE f.i IN ({LATEST}) ORDER BY f.t, w.t_begin DESC LIMIT 1
"""  # noqa: S608 - of this package's own making


_COMMITTED: Final = """
SELECT command, places FROM history
WHERE op = 'wire' AND command = 'OffsetCommit' AND key = $key AND t < $injected
  AND ((phase = 'answered' AND kind = 'ok') OR phase = 'unanswered')
"""
"""Commits that passed something, or may have: a client repeats one whose answer it gave up on."""


def after(history: History, service: str) -> tuple[Met, ...] | None:
    """Return what an event caused, in order, after a run's only fault had acted at it.

    None if the fault's message belongs to no known event. Only messages that name the event, or are the first to pass
    it, are included: the others may belong to any event.
    """
    met = _met(history)
    if met is None:
        return None
    struck, event = met
    named = Named(history)
    turns: Counter[tuple[str, str, str]] = Counter()
    # Each commit passes all before it, so a second one does not show that the event was handled again.
    passed = struck["phase"] == "lost_reply" and struck["command"] in ENDS and passes(_commits(struck), event.places)
    found: list[Met] = []
    for row in history.sql(PASSED, service=service):
        target, command, key, commits = row["target"], row["command"], row["key"], _commits(row)
        # A commit that was refused passes nothing.
        if row["t"] <= struck["injected"] or not event.has(key, commits):
            continue
        if commits and (passed or row["kind"] != "ok"):
            continue
        passed = passed or bool(commits)
        turns[target, command, key] += 1
        turn = None if named.identity(key) is None else turns[target, command, key]
        step = Step(target, command, named.general(key), turn, 1, named.whole(key))
        found.append(Met(step, row["kind"] or "", bool(commits)))
    return tuple(found)


def event_of(history: History) -> Event | None:
    """Return the event that the first fault of a run met; None if its message belongs to no known event."""
    met = _met(history)
    return met[1] if met is not None else None


def _met(history: History) -> tuple[dict[str, Any], Event] | None:
    known = Known()
    for row in history.sql(_EVENTS):
        known.note(row)
    struck = next(iter(history.sql(_STRUCK)), None)
    event = known.event(struck["key"] or "", _newly_passed(history, struck)) if struck is not None else None
    return (struck, event) if struck is not None and event is not None else None


def _newly_passed(history: History, struck: Mapping[str, Any]) -> list[Place]:
    """Return the offsets that the message of a fault commits, without those that an earlier commit of the group passed."""
    before: dict[tuple[str, int], int] = {}
    for row in history.sql(_COMMITTED, key=struck["key"], injected=struck["injected"]):
        for topic, partition, offset in _commits(row):
            before[topic, partition] = max(offset, before.get((topic, partition), 0))
    return [place for place in _commits(struck) if place[2] > before.get(place[:2], -1)]


def _commits(row: Any) -> list[tuple[str, int, int]]:  # noqa: ANN401 - a row of the history
    """Return the offsets that a message commits; in other messages, places are positions of records."""
    if row["command"] not in COMMITS:
        return []
    return [(str(topic), int(partition), int(offset)) for topic, partition, offset in row["places"] or ()]
