"""The messages that a replica waited for when a fault struck it: a tap can act at them in place of the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from harness.scenario import FaultLine, When

if TYPE_CHECKING:
    from harness.history.reader import History

STRIKES: Final[Mapping[str, str]] = {"service.kill": "killed", "service.pause": "paused"}
"""Fault that strikes a replica at work -> the phase of the replica that it causes."""

_MOST: Final = 2
"""Pending messages to try: most services wait for one at a time."""

# A pause is repeated until the replica has pending work, so the last one counts.
_STRUCK: Final = """
SELECT max(t) AS t FROM history WHERE op = 'service' AND phase = $phase AND actor = $actor AND name = $replica
"""

_WAITED_FOR: Final = """
WITH requests AS (
    SELECT i, t_begin, t, link, command, coalesce(key, '') AS key FROM history
    WHERE op = 'wire' AND phase NOT IN ('plain', 'sent', 'repeated') AND starts_with(link, $replica || '->')
), begun AS (SELECT min(t) AS t FROM history WHERE op = 'upload' AND phase = 'ok')
SELECT r.link, r.command, r.key <> '' AS keyed, (
    SELECT count(*) FROM requests o
    WHERE o.link = r.link AND o.command = r.command AND o.t_begin BETWEEN begun.t AND r.t_begin)::BIGINT AS nth
FROM requests r, begun WHERE $t BETWEEN r.t_begin AND r.t ORDER BY r.t_begin, r.i
"""


def in_hand(history: History, row: FaultLine) -> Iterator[When]:
    """Yield conditions that may replace the row's moment, likeliest first; none if no message was pending.

    For each pending message: the first such reply and request of the load, then the pending ones themselves. Patterns
    leave the key open, as it belongs to one event.
    """
    planned = next(filter(lambda fault: _is(fault, row), history.header["plan"]["faults"]), None)
    if planned is None:
        return
    about = {"phase": STRIKES[row.fault], "actor": f"fault:{planned['id']}", "replica": planned["target"]}
    (struck,) = history.sql(_STRUCK, **about)
    if struck["t"] is None:
        return
    for message in history.sql(_WAITED_FOR, replica=planned["target"], t=struck["t"])[:_MOST]:
        pattern = f"{message['command']} *" if message["keyed"] else message["command"]
        for nth in sorted({1, max(1, message["nth"])}):
            yield When(reply=pattern, on=message["link"], nth=nth)
            yield When(request=pattern, on=message["link"], nth=nth)


def _is(fault: Mapping[str, Any], row: FaultLine) -> bool:
    """Whether a planned fault belongs to this row, which is on one replica."""
    target = fault["target"]
    return (fault["fault"], fault["at"]) == (row.fault, row.at) and row.on in {target, target.partition("#")[0]}
