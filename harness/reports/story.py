"""The story of one event or upload, oldest first, told from the history alone.

A story has what the harness asked for and saw, at the time it saw it. An interim look comes every few hundred
milliseconds, so "effect seen" is when a look first found the effect, not when it was made. Where links had taps, the
story names the replica that sent each message.
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
from harness.reports import story_wire as wire
from harness.reports.moment import Asked, Moment
from harness.reports.story_around import around

if TYPE_CHECKING:
    from harness.history.reader import History

Kind = Literal["event", "upload"]
Subject = tuple[Kind, str]
"""What a story is about: its kind and its whole id."""

_IDS = {
    "event": "SELECT event_id AS id FROM history UNION ALL SELECT event_id FROM effects WHERE key IS NOT NULL",
    "upload": "SELECT upload_id AS id FROM history",
}
"""The ids of each kind; effects of a business key that is no event's are told under that key."""

_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Story:
    """What a story is about, and its moments, oldest first."""

    kind: Kind
    id: str
    moments: Sequence[Moment]


def find(history: History, kind: Kind, prefix: str) -> str:
    """Return the one id that begins with ``prefix``; UsageError if none does, or several do."""
    rows = history.sql(
        f"SELECT DISTINCT id FROM ({_IDS[kind]}) WHERE starts_with(id, $prefix) ORDER BY id LIMIT $most",  # noqa: S608 - one of two
        prefix=prefix,
        most=_CANDIDATES + 1,
    )
    ids = [str(row["id"]) for row in rows]
    if prefix in ids:
        return prefix
    if not ids:
        raise UsageError(f"{history.path}: no {kind} {prefix!r} in this run; `oneffect show` lists those that matter")
    if len(ids) > 1:
        more = ", …" if len(ids) > _CANDIDATES else ""
        raise UsageError(f"{prefix!r} begins several {kind}s: {', '.join(ids[:_CANDIDATES])}{more}; give more of it")
    return ids[0]


def tell(history: History, kind: Kind, id_: str) -> Story:
    """Tell the story of an event, or of an upload and every event about it; ``id_`` is a whole id."""
    return tell_all(history, [(kind, id_)])[kind, id_]


def tell_all(history: History, subjects: Iterable[Subject]) -> dict[Subject, Story]:
    """Tell the story of each subject, with a few scans of the history however many there are."""
    about = list(dict.fromkeys(subjects))
    if not about:
        return {}
    uploads, events = _asked(history, about)
    stories: list[list[Moment]] = [[] for _ in about]
    for number, moment in (
        *door.uploads(history, uploads),
        *door.published(history, events),
        *door.reprocessed(history, uploads),
        *door.blobs(history, uploads, events),
        *topics.events(history, events),
        *topics.follow_ups(history, events),
        *deeds.claims(history, events),
        *wire.commands(history, Asked([*events.pairs, *uploads.pairs])),
        *wire.commits(history, events),
        *wire.published(history, events),
        *deeds.offsets(history, events),
        *deeds.effects(history, events),
        *deeds.totals(history, events),
        *deeds.letters(history, events),
        *deeds.replays(history, events),
    ):
        stories[number].append(moment)
    meanwhile = around(history)
    for moments in stories:
        if moments:
            first, last = min(map(_time, moments)), max(map(_time, moments))
            begin, end = bisect_left(meanwhile, first, key=_time), bisect_right(meanwhile, last, key=_time)
            moments.extend(meanwhile[begin:end])
    return {
        subject: Story(*subject, sorted(moments, key=_time)) for subject, moments in zip(about, stories, strict=True)
    }


def _asked(history: History, about: Sequence[Subject]) -> tuple[Asked, Asked]:
    """Return the uploads and the events of each story."""
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
