"""The story of one event or upload, oldest first, told from the history alone.

What is told is what the harness asked for and saw, at the time it saw it. An interim look comes every few hundred
milliseconds, so "effect seen" is when it was first there to be seen, not when it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.history.reader import History

Row = Mapping[str, Any]
Kind = Literal["event", "upload"]

_COLUMN = {"event": "event_id", "upload": "upload_id"}
_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a story. ``who`` is a service, replica or part; ``brief`` is its word in a summary, if any."""

    t: int
    who: str
    text: str
    brief: str = ""
    consumer: str = ""
    """The service whose story it belongs to; empty: everybody's."""


@dataclass(frozen=True, slots=True)
class Story:
    """What a story is about, and its moments, oldest first."""

    kind: Kind
    id: str
    moments: Sequence[Moment]


def seconds(t: int) -> str:
    """``12.031 s``."""
    return f"{t / 1e9:.3f} s"


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
    if kind == "event":
        events = [id_]
        uploads = _column(
            history, "SELECT DISTINCT upload_id FROM history WHERE op = 'event' AND event_id = $id", id_
        )
    else:
        uploads = [id_]
        events = _column(history, "SELECT DISTINCT event_id FROM history WHERE op = 'event' AND upload_id = $id", id_)
    moments = [
        *_uploads(history, uploads),
        *_blobs(history, uploads, events),
        *_events(history, events),
        *_claims(history, events),
        *_offsets(history, events),
        *_effects(history, events),
        *_letters(history, events),
    ]
    if moments:
        moments += _around(history, min(one.t for one in moments), max(one.t for one in moments))
    return Story(kind, id_, sorted(moments, key=lambda one: one.t))


def _column(history: History, query: str, id_: str) -> list[str]:
    return [str(value) for row in history.sql(query, id=id_) for value in row.values() if value is not None]


def _uploads(history: History, ids: Sequence[str]) -> Iterable[Moment]:
    query = """
        SELECT * FROM history WHERE op = 'upload' AND upload_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY i
    """
    for row in history.sql(query, ids=list(ids)):
        if row["phase"] == "invoke":
            text = f"upload {row['upload_id']} sent: {row['file_name']}, {row['size']} bytes"
            yield Moment(row["t"], row["actor"], f"{text}, sha256 {_short(row['sha256'])}", "uploaded")
            continue
        said = {"ok": "acknowledged", "fail": "refused", "unknown": "without an answer that says yes or no"}[
            row["phase"]
        ]
        raw = row["raw_file_storage_id"]
        about = [
            f"status {row['status']}" if row["status"] else "",
            f"raw blob {raw}" if raw else "",
            row["error"] or "",
        ]
        yield Moment(row["t"], row["actor"], ", ".join([f"upload {said}", *filter(None, about)]))


def _events(history: History, ids: Sequence[str]) -> Iterable[Moment]:
    query = """
        SELECT * FROM history WHERE op = 'event'
        AND (event_id IN (SELECT unnest($ids::VARCHAR[])) OR causation_id IN (SELECT unnest($ids::VARCHAR[])))
        ORDER BY i
    """
    for row in history.sql(query, ids=list(ids)):
        place = f"{row['topic']}:{row['partition']}:{row['offset']}"
        if row["event_id"] not in ids:
            yield Moment(row["t"], place, f"follow-up {row['event_type']} {row['event_id']} on the topic")
        elif row["injected"]:
            text = f"event published again by {row['injected']}, digest {_short(row['digest'])}"
            yield Moment(row["t"], place, text, "published again")
        else:
            what = row["event_type"] or f"malformed: {row['malformed']}"
            text = f"event {row['event_id']} on the topic: {what}, digest {_short(row['digest'])}"
            yield Moment(row["t"], place, text, "published")


def _claims(history: History, ids: Sequence[str]) -> Iterable[Moment]:
    query = """
        SELECT t, command, key, (SELECT min(consumer) FROM applies WHERE contains(key, consumer)) AS consumer
        FROM history JOIN (SELECT unnest($ids::VARCHAR[]) AS id) ON contains(key, id)
        WHERE op = 'claim' ORDER BY i
    """
    for row in history.sql(query, ids=list(ids)):
        brief = "claimed" if row["command"].startswith("SET") else ""
        yield Moment(row["t"], "store", f"was asked: {row['command']} {row['key']}", brief, row["consumer"] or "")


def _offsets(history: History, ids: Sequence[str]) -> Iterable[Moment]:
    query = """
        SELECT o.consumer, e.topic, e.partition, e."offset", min(o.t) AS t, min_by(o.committed, o.t) AS committed
        FROM history e JOIN history o
          ON o.op = 'offset' AND o.topic = e.topic AND o.partition = e.partition AND o.committed > e."offset"
        WHERE e.op = 'event' AND e.event_id IN (SELECT unnest($ids::VARCHAR[])) GROUP BY ALL ORDER BY t
    """
    for row in history.sql(query, ids=list(ids)):
        place = f"{row['topic']}:{row['partition']}:{row['offset']}"
        text = f"offset passed ({place}, committed {row['committed']})"
        yield Moment(row["t"], row["consumer"], text, "offset passed", row["consumer"])


def _effects(history: History, ids: Sequence[str]) -> Iterable[Moment]:
    first = """
        SELECT consumer, event_id, effect, digest, min(t) AS t FROM history
        WHERE op = 'effect' AND event_id IN (SELECT unnest($ids::VARCHAR[])) GROUP BY ALL ORDER BY t
    """
    for row in history.sql(first, ids=list(ids)):
        named = f"effect {row['effect']}" if row["effect"] else "effect"
        text = f"{named} seen" + (f", carries {_short(row['digest'])}" if row["digest"] else "")
        yield Moment(row["t"], row["consumer"], text, "effect", row["consumer"])
    none = """
        SELECT DISTINCT a.consumer, e.event_id, f.began AS t
        FROM history e JOIN applies a ON a.event_type = e.event_type JOIN finals f ON f.what = 'effects'
        WHERE e.op = 'event' AND e.event_id IN (SELECT unnest($ids::VARCHAR[])) AND NOT EXISTS (
            SELECT 1 FROM history x
            WHERE x.op = 'effect' AND x.read = f.read AND x.consumer = a.consumer AND x.event_id = e.event_id)
    """
    for row in history.sql(none, ids=list(ids)):
        yield Moment(
            row["t"], row["consumer"], "the final read begins, and finds no effect", "no effect by", row["consumer"]
        )


def _letters(history: History, ids: Sequence[str]) -> Iterable[Moment]:
    query = """
        SELECT * FROM letters WHERE event_id IN (SELECT unnest($ids::VARCHAR[])) OR EXISTS (
            SELECT 1 FROM history e WHERE e.op = 'event' AND e.event_id IN (SELECT unnest($ids::VARCHAR[]))
            AND e.topic = source_topic AND e.partition = source_partition AND e."offset" = source_offset)
        ORDER BY i
    """
    for row in history.sql(query, ids=list(ids)):
        source = f"{row['source_topic']}:{row['source_partition']}:{row['source_offset']}"
        text = f"dead letter: {row['kind']}, of {source}"
        yield Moment(row["t"], row["consumer"] or "?", text, "dead letter", row["consumer"] or "")


def _blobs(history: History, uploads: Sequence[str], events: Sequence[str]) -> Iterable[Moment]:
    """Each new answer to the question whether the raw blob is there; a read that finds it once more says nothing."""
    query = """
        WITH raws AS (
            SELECT DISTINCT raw_file_storage_id FROM history
            WHERE raw_file_storage_id IS NOT NULL AND op IN ('upload', 'event')
              AND (upload_id IN (SELECT unnest($uploads::VARCHAR[]))
                   OR event_id IN (SELECT unnest($events::VARCHAR[])))
        ), told AS (
            SELECT *, lag(phase) OVER (PARTITION BY raw_file_storage_id ORDER BY i) AS before FROM history
            JOIN raws USING (raw_file_storage_id) WHERE op = 'blob'
        )
        SELECT * FROM told WHERE before IS DISTINCT FROM phase OR why = 'final' ORDER BY i
    """
    for row in history.sql(query, uploads=list(uploads), events=list(events)):
        when = {"answer": "after the answer", "event": "after its event", "final": "at the end"}.get(row["why"], "")
        text = f"raw blob {row['phase']} {when}".rstrip()
        about = [f"sha256 {_short(row['sha256'])}" if row["sha256"] else "", row["error"] or ""]
        said = ", ".join([text, *filter(None, about)])
        yield Moment(row["t"], f"blob {_short(row['raw_file_storage_id'])}", said, f"blob {row['phase']}")


def _around(history: History, begin: int, end: int) -> Iterable[Moment]:
    """What happened meanwhile: faults, and services that came and went."""
    query = """
        SELECT * FROM history WHERE t BETWEEN $begin AND $end
        AND (op = 'fault' AND phase <> 'armed' OR op = 'service' AND phase <> 'started') ORDER BY i
    """
    for row in history.sql(query, begin=begin, end=end):
        if row["op"] == "fault":
            # A kill is told in brief by the one that was killed.
            brief = row["name"] if row["phase"] == "injected" and not row["name"].startswith("service.") else ""
            text, target = f"fault {row['fault']} {row['name']} {row['phase']}", row["target"] or ""
            owner = target.partition("->")[0].partition("#")[0] if "->" in target or "#" in target else ""
            yield Moment(row["t"], target, text, brief, owner)
            continue
        killed = row["phase"] in {"killed", "exited"}
        about = [f"pid {row['pid']}" if row["pid"] else "", f"exit status {row['exit_status']}" if killed else ""]
        text = ", ".join([f"service {row['phase']}", *filter(None, about)])
        yield Moment(row["t"], row["name"], text, row["phase"] if killed else "", row["name"].partition("#")[0])


def _short(digest: object) -> str:
    return f"{str(digest)[:12]}…" if digest else "none"
