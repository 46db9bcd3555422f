"""The story of one event or upload, oldest first, told from the history alone.

What is told is what the harness asked for and saw, at the time it saw it. An interim look comes every few hundred
milliseconds, so "effect seen" is when it was first there to be seen, not when it was made.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.errors import UsageError
from harness.reports import story_deeds as deeds
from harness.reports import story_door as door
from harness.reports import story_topics as topics
from harness.reports.moment import Asked, Moment
from harness.reports.story_around import around

if TYPE_CHECKING:
    from harness.history.reader import History

Kind = Literal["event", "upload"]
Subject = tuple[Kind, str]
"""What a story is about, and its whole id."""

_COLUMN = {"event": "event_id", "upload": "upload_id"}
_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Story:
    """What a story is about, and its moments, oldest first."""

    kind: Kind
    id: str
    moments: Sequence[Moment]


def find(history: History, kind: Kind, prefix: str) -> str:
    """The one id that begins with ``prefix``; UsageError if there is none, or more than one."""
    column = _COLUMN[kind]
    rows = history.sql(
        f"SELECT DISTINCT {column} AS id FROM history WHERE starts_with({column}, $prefix) ORDER BY id LIMIT $most",  # noqa: S608 - one of two names
        prefix=prefix,
        most=_CANDIDATES + 1,
    )
    found = [str(row["id"]) for row in rows]
    if prefix in found:
        return prefix
    if not found:
        raise UsageError(f"{history.path}: no {kind} {prefix!r} in this run; `oneffect show` lists those that matter")
    if len(found) > 1:
        more = ", …" if len(found) > _CANDIDATES else ""
        raise UsageError(
            f"{prefix!r} begins several {kind}s: {', '.join(found[:_CANDIDATES])}{more}; give more of it"
        )
    return found[0]


def tell(history: History, kind: Kind, id_: str) -> Story:
    """The story of an event, or of an upload and every event about it; ``id_`` is a whole one."""
    return tell_all(history, [(kind, id_)])[kind, id_]


def tell_all(history: History, subjects: Iterable[Subject]) -> dict[Subject, Story]:
    """The story of each: a few looks through the history, however many they are."""
    about = list(dict.fromkeys(subjects))
    if not about:
        return {}
    uploads, events = _asked(history, about)
    told: list[list[Moment]] = [[] for _ in about]
    for number, moment in (
        *door.uploads(history, uploads),
        *door.reprocessed(history, uploads),
        *door.blobs(history, uploads, events),
        *topics.events(history, events),
        *topics.follow_ups(history, events),
        *deeds.claims(history, events),
        *deeds.offsets(history, events),
        *deeds.effects(history, events),
        *deeds.letters(history, events),
        *deeds.replays(history, events),
    ):
        told[number].append(moment)
    meanwhile = around(history)
    for moments in told:
        if moments:
            first, last = min(one.t for one in moments), max(one.t for one in moments)
            begin, end = bisect_left(meanwhile, first, key=_time), bisect_right(meanwhile, last, key=_time)
            moments.extend(meanwhile[begin:end])
    return {one: Story(*one, sorted(moments, key=_time)) for one, moments in zip(about, told, strict=True)}


def _asked(history: History, about: Sequence[Subject]) -> tuple[Asked, Asked]:
    """The uploads and the events of each story."""
    uploads = {(n, id_): None for n, (kind, id_) in enumerate(about) if kind == "upload"}
    events = {(n, id_): None for n, (kind, id_) in enumerate(about) if kind == "event"}
    query = f"""
        SELECT DISTINCT story, event_id, upload_id FROM history h JOIN {Asked.ROWS} a ON h.{{column}} = a.id
        WHERE op = 'event' AND event_id IS NOT NULL AND upload_id IS NOT NULL ORDER BY ALL
    """  # noqa: S608 - of this module's own making
    of_events = history.sql(query.format(column="event_id"), **Asked(list(events)).parameters)
    of_uploads = history.sql(query.format(column="upload_id"), **Asked(list(uploads)).parameters)
    uploads |= {(row["story"], row["upload_id"]): None for row in of_events}
    events |= {(row["story"], row["event_id"]): None for row in of_uploads}
    return Asked(list(uploads)), Asked(list(events))


def _time(moment: Moment) -> int:
    return moment.t
