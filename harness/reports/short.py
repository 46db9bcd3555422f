"""Short ids: as much of an id as no other id begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.history.reader import History
    from harness.reports.story import Subject

LEAST: Final = 8
"""Least characters, even where fewer would do."""


def shorts(history: History, subjects: Iterable[Subject]) -> dict[Subject, str]:
    """Return the printed form of each subject's id.

    An event's id is cut to what no other event id of the history begins with: ids that begin with a time share long
    prefixes. An upload's id stays whole, because those of one run differ at their ends; so does the place that stands
    for a record without an id.
    """
    about = list(dict.fromkeys(subjects))
    cut = [id_ for kind, id_ in about if kind == "event" and ":" not in id_]
    needed = _needed(history, cut)
    return {(kind, id_): id_[: needed.get(id_, len(id_))] if kind == "event" else id_ for kind, id_ in about}


def _needed(history: History, ids: list[str]) -> dict[str, int]:
    """Return the length that tells each id from all others, for which its two neighbours in order suffice."""
    if not ids:
        return {}
    query = """
        WITH alike AS (
            SELECT DISTINCT event_id AS id FROM history
            WHERE event_id IS NOT NULL AND left(event_id, $least) IN (
                SELECT DISTINCT left(unnest($ids::VARCHAR[]), $least))
        ), ordered AS (
            SELECT id, lag(id) OVER (ORDER BY id) AS before, lead(id) OVER (ORDER BY id) AS after FROM alike
        )
        SELECT * FROM ordered WHERE id IN (SELECT unnest($ids::VARCHAR[]))
    """
    return {
        row["id"]: max(LEAST, 1 + max(_alike(row["id"], row[side] or "") for side in ("before", "after")))
        for row in history.sql(query, ids=ids, least=LEAST)
    }


def _alike(one: str, other: str) -> int:
    """Return the length of the common prefix."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
