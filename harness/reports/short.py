"""How much of an id is printed: enough of it to be the only one that begins so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.history.reader import History
    from harness.reports.story import Subject

LEAST: Final = 8
"""Characters, also where fewer would do."""


def shorts(history: History, subjects: Iterable[Subject]) -> dict[Subject, str]:
    """What is printed of each subject's id.

    Of an event's id, as much as no other event id of the history begins with: ids that begin with a time are alike for
    long. An upload's id whole, for those of one run differ at their ends; and whole what stands for a record that has none.
    """
    about = list(dict.fromkeys(subjects))
    cut = [id_ for kind, id_ in about if kind == "event" and ":" not in id_]
    needed = _needed(history, cut)
    return {(kind, id_): id_[: needed.get(id_, len(id_))] if kind == "event" else id_ for kind, id_ in about}


def _needed(history: History, ids: list[str]) -> dict[str, int]:
    """The characters that tell each from all others: among those in order, from its two neighbours."""
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
        row["id"]: max(LEAST, 1 + max(_alike(row["id"], row[one] or "") for one in ("before", "after")))
        for row in history.sql(query, ids=ids, least=LEAST)
    }


def _alike(one: str, other: str) -> int:
    """How many characters they begin with that are the same."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
