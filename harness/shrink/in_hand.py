"""The messages that a replica waited for when a fault struck it: a tap can act at them in place of the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from harness.history.named import Named
from harness.scenario import FaultLine, When
from harness.taps.trigger import Pattern

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

_REQUESTS: Final = """
SELECT t_begin, t, link, command, coalesce(key, '') AS key FROM history
WHERE op = 'wire' AND phase NOT IN ('plain', 'failed', 'sent', 'repeated') AND starts_with(link, $replica || '->')
ORDER BY t_begin, i
"""

_BEGUN: Final = "SELECT min(t) AS t FROM history WHERE op = 'upload' AND phase = 'ok'"
"""From when a condition counts messages."""


def in_hand(history: History, row: FaultLine) -> Iterator[When]:
    """Yield conditions that may replace the row's moment, likeliest first; none if no message was pending.

    For each pending message: the first such reply and request of the load, then the pending ones themselves. Patterns
    leave the names of events open, and all of a key that names none: it may belong to one event as well.
    """
    planned = next(filter(lambda fault: _is(fault, row), history.header["plan"]["faults"]), None)
    if planned is None:
        return
    about = {"phase": STRIKES[row.fault], "actor": f"fault:{planned['id']}", "replica": planned["target"]}
    (struck,) = history.sql(_STRUCK, **about)
    if struck["t"] is None:
        return
    named = Named(history)
    (begun,) = history.sql(_BEGUN)
    requests = history.sql(_REQUESTS, replica=planned["target"])
    pending = [one for one in requests if one["t_begin"] <= struck["t"] <= one["t"]]
    for message in pending[:_MOST]:
        text = _pattern(message["command"], message["key"], named)
        pattern = Pattern(text)
        nth = sum(
            one["link"] == message["link"] and pattern.matches(one["command"], one["key"])
            for one in requests
            if begun["t"] is not None and begun["t"] <= one["t_begin"] <= message["t_begin"]
        )
        for number in sorted({1, max(1, nth)}):
            yield When(reply=text, on=message["link"], nth=number)
            yield When(request=text, on=message["link"], nth=number)


def _pattern(command: str, key: str, named: Named) -> str:
    """Return the pattern of a message, for any event in place of its own."""
    if not key:
        return command
    return f"{command} {named.pattern(key) if named.identity(key) is not None else '*'}"


def _is(fault: Mapping[str, Any], row: FaultLine) -> bool:
    """Whether a planned fault belongs to this row, which is on one replica."""
    target = fault["target"]
    return (fault["fault"], fault["at"]) == (row.fault, row.at) and row.on in {target, target.partition("#")[0]}
