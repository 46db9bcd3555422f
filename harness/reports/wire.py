"""What passed on a run's tapped links: by command, or message by message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.errors import UsageError, nearest

if TYPE_CHECKING:
    from harness.history.reader import History

Rows = Sequence[Mapping[str, Any]]

_BY_COMMAND: Final = """
SELECT link, command, count(*) AS requests, count(*) FILTER (phase NOT IN ('answered', 'sent')) AS disturbed,
       round(quantile_cont((t - t_begin) / 1e6, 0.5) FILTER (phase = 'answered'), 3) AS p50_ms,
       round(quantile_cont((t - t_begin) / 1e6, 0.99) FILTER (phase = 'answered'), 3) AS p99_ms,
       coalesce(sum(size), 0)::BIGINT AS bytes_up, coalesce(sum(reply_size), 0)::BIGINT AS bytes_down
FROM history WHERE op = 'wire' AND phase NOT IN ('plain', 'failed') AND list_contains($links::VARCHAR[], link)
GROUP BY link, command ORDER BY link, requests DESC, command
"""

_IN_ORDER: Final = """
SELECT round(t_begin / 1e9, 6) AS at_s, round((t - t_begin) / 1e6, 3) AS took_ms, link, connection, command,
       coalesce(key, '') AS key, phase AS became, coalesce(kind, '') AS reply, size, reply_size
FROM history WHERE op = 'wire' AND phase NOT IN ('plain', 'failed') AND list_contains($links::VARCHAR[], link)
  AND ($ids::VARCHAR[] IS NULL OR EXISTS (SELECT 1 FROM unnest($ids::VARCHAR[]) AS named(id) WHERE contains(key, named.id)))
ORDER BY t_begin, i
"""

_NAMES_OF: Final = """
SELECT DISTINCT unnest([event_id, upload_id, raw_file_storage_id]) AS id FROM history
WHERE op = 'event' AND event_id = $event
"""


def links(history: History, pattern: str | None = None) -> list[str]:
    """Return the links that a pattern names: ``a#1->redis``, ``a->redis`` for each replica, or all. UsageError if none is."""
    rows = history.sql("SELECT DISTINCT link FROM history WHERE op = 'wire' ORDER BY link")
    tapped = [str(row["link"]) for row in rows]
    if not tapped:
        raise UsageError(
            f"{history.path}: no link had a tap in this run; write `taps: all` in the scenario, or a "
            'fault with `when:`; in Python, open the system with taps="all"'
        )
    if pattern is None:
        return tapped
    named = [link for link in tapped if pattern in {link, _of_service(link)}]
    if not named:
        known = {*tapped, *map(_of_service, tapped)}
        raise UsageError(f"no tap was on {pattern!r}{nearest(pattern, known)}; taps were on {', '.join(tapped)}")
    return named


def by_command(history: History, of: Sequence[str]) -> Rows:
    """Count what passed on links, with the latency of what was answered (ms) and the bytes of each direction."""
    return history.sql(_BY_COMMAND, links=list(of))


def in_order(history: History, of: Sequence[str], event: str | None = None) -> Rows:
    """List what passed on links by the time of the request: all, or what names an event, its upload or its raw blob."""
    ids = None
    if event is not None:
        rows = history.sql(_NAMES_OF, event=event)
        ids = sorted({event} | {str(row["id"]) for row in rows if row["id"]})
    return history.sql(_IN_ORDER, links=list(of), ids=ids)


def troubles(history: History) -> Rows:
    """List the taps that gave up understanding (``plain``), or ended a connection by a mistake (``failed``), and why."""
    return history.sql(
        "SELECT link, phase, t, error FROM history WHERE op = 'wire' AND phase IN ('plain', 'failed') ORDER BY i"
    )


def _of_service(link: str) -> str:
    replica, _, target = link.partition("->")
    return f"{replica.partition('#')[0]}->{target}"
