"""At which messages the faults of a cell acted: only at its own do they show what the cell says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.history.named import Named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.reader import History
    from harness.sweep.lineage import Step

LATEST: Final = "SELECT max(i) FROM history WHERE op = 'fault' AND phase = 'injected' GROUP BY fault"
"""A service may give up on a held message as the fault begins to act; the fault then acts at a later one."""

_MESSAGES: Final = f"SELECT evidence->>'$.message' AS message FROM history WHERE i IN ({LATEST}) ORDER BY t, i"  # noqa: S608


def astray(history: History, steps: Sequence[Step]) -> str:
    """Return the first message that is not the step's at which a fault was to act; empty if each acted at its own.

    ``steps`` are in the order of the faults.
    """
    named = Named(history)
    struck = [str(row["message"] or "") for row in history.sql(_MESSAGES)]
    for step, what in zip(steps, [*struck, *([""] * len(steps))], strict=False):
        message, _, link = what.rpartition(" on ")
        own = named.general(message.removeprefix("the reply to "))
        if (link.partition("->")[2], own) != (step.target, step.message):
            return what or "one that was not recorded"
    return ""
