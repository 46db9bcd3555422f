"""What a client handed to the front door or put on a topic, and whether its raw blob is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.reports.moment import Asked, Moment, Numbered, listed, short

if TYPE_CHECKING:
    from harness.history.reader import History

_ANSWERS = {
    "ok": ("acknowledged", "acknowledged"),
    "fail": ("refused", "refused"),
    "unknown": ("without a definite answer", "no answer"),
}
_WHEN = {"answer": "after the answer", "event": "after its event", "final": "at the end"}


def uploads(history: History, asked: Asked) -> Numbered:
    """Yield each try of an upload, and how it ended."""
    query = f"""
        SELECT story, t, actor, phase, upload_id, file_name, size, sha256, status, raw_file_storage_id, error
        FROM history JOIN {Asked.ROWS} a ON upload_id = a.id WHERE op = 'upload' ORDER BY i
    """  # noqa: S608 - of this module's own making
    for row in history.sql(query, **asked.parameters):
        if row["phase"] == "invoke":
            named = f"{row['file_name']}, " if row["file_name"] else ""
            text = f"upload {row['upload_id']} sent: {named}{row['size']} bytes"
            text, brief, word = f"{text}, sha256 {short(row['sha256'])}", "uploaded", "sent"
        else:
            answer, word = _ANSWERS[row["phase"]]
            raw, status = row["raw_file_storage_id"], row["status"]
            about = f"status {status}" if status else "", f"raw blob {raw}" if raw else "", row["error"]
            text, brief = listed(f"upload {answer}", *about), ""
        yield row["story"], Moment(row["t"], row["actor"], text, brief, "", "front door", "front door", word)


def published(history: History, asked: Asked) -> Numbered:
    """Yield how the load published an event, and what the broker said."""
    query = f"""
        SELECT story, t, actor, phase, topic, partition, "offset", size, error
        FROM history JOIN {Asked.ROWS} a ON event_id = a.id WHERE op = 'publish' AND injected IS NULL ORDER BY i
    """  # noqa: S608 - of this module's own making
    for row in history.sql(query, **asked.parameters):
        if row["phase"] == "invoke":
            text, brief, word = f"event sent to {row['topic']}, {row['size']} bytes", "sent to the topic", "sent"
        else:
            answer, word = _ANSWERS[row["phase"]]
            place = ":".join(str(row[name]) for name in ("topic", "partition", "offset") if row[name] is not None)
            text, brief = listed(f"event {answer}", f"at {place}" if row["phase"] == "ok" else "", row["error"]), ""
        yield row["story"], Moment(row["t"], row["actor"], text, brief, "", "front door", "load", word)


def reprocessed(history: History, asked: Asked) -> Numbered:
    """Yield each request of the harness to process an upload again, and the answer."""
    query = f"""
        SELECT story, t, phase, status, error FROM history JOIN {Asked.ROWS} a ON upload_id = a.id
        WHERE op = 'reprocess' ORDER BY i
    """  # noqa: S608 - of this module's own making
    for row in history.sql(query, **asked.parameters):
        text, word = "asked to process the upload again", "asked again"
        if row["phase"] != "invoke":
            answer, word = _ANSWERS[row["phase"]]
            text = listed(
                f"request to process it again {answer}",
                f"status {row['status']}" if row["status"] else "",
                row["error"],
            )
        brief = "asked again" if row["phase"] == "invoke" else ""
        yield row["story"], Moment(row["t"], "harness", text, brief, "", "front door", "front door", word)


def blobs(history: History, of_uploads: Asked, of_events: Asked) -> Numbered:
    """Yield each change in what reads of the raw blob found, and the final reads."""
    query = """
        WITH ups AS (SELECT unnest($up_stories::INTEGER[]) AS story, unnest($up_ids::VARCHAR[]) AS id),
        evs AS (SELECT unnest($stories::INTEGER[]) AS story, unnest($ids::VARCHAR[]) AS id),
        naming AS (
            SELECT upload_id, event_id, raw_file_storage_id FROM history
            WHERE op IN ('upload', 'event') AND raw_file_storage_id IS NOT NULL
        ), raws AS (
            SELECT story, raw_file_storage_id FROM naming JOIN ups ON upload_id = id
            UNION SELECT story, raw_file_storage_id FROM naming JOIN evs ON event_id = id
        ), told AS (
            SELECT story, i, t, phase, why, raw_file_storage_id, sha256, error,
                   lag(phase) OVER (PARTITION BY story, raw_file_storage_id ORDER BY i) AS before
            FROM history JOIN raws USING (raw_file_storage_id) WHERE op = 'blob'
        )
        SELECT * FROM told WHERE before IS DISTINCT FROM phase OR why = 'final' ORDER BY i
    """
    more = {f"up_{name}": value for name, value in of_uploads.parameters.items()}
    for row in history.sql(query, **of_events.parameters, **more):
        text = f"raw blob {row['phase']} {_WHEN.get(row['why'], '')}".rstrip()
        text = listed(text, f"sha256 {short(row['sha256'])}" if row["sha256"] else "", row["error"])
        who, brief = f"blob {short(row['raw_file_storage_id'])}", f"blob {row['phase']}"
        yield row["story"], Moment(row["t"], who, text, brief, "", "blob", "raw blob", brief)
