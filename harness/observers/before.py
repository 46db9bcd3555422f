"""Excludes from a run what a running system held before it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from harness.clients.kafka import KafkaClient
    from harness.observers.effects import Effects
    from harness.observers.offsets import Offsets
    from harness.system import System

COMES_TO_REST: Final = 30.0
"""Seconds that an already running system may take to finish its earlier work."""

BETWEEN_LOOKS: Final = 0.3
"""Seconds between looks at whether it has."""


async def leave_aside(  # noqa: PLR0913 - who is asked, and what they have seen
    system: System,
    kafka: KafkaClient,
    offsets: Offsets,
    effects: Effects,
    hidden: Callable[[], Awaitable[str]],
    *,
    begins_later: bool,
) -> None:
    """Exclude everything from before the run; it can be told apart only while the system is at rest.

    ``hidden`` says why a topic cannot be read whole; ``begins_later``: the consumers start within the run. Raises StackError
    if the system does not come to rest.
    """
    deadline = asyncio.get_running_loop().time() + COMES_TO_REST + system.settle
    behind: list[str] = []
    why = ""
    while asyncio.get_running_loop().time() < deadline:
        ends = await kafka.ends(system.topics())
        await asyncio.sleep(system.settle)
        async for _ in offsets.read(final=False):
            pass
        if why := await hidden():
            continue
        await effects.leave_aside()
        behind = await _behind(kafka, offsets, begins_later=begins_later)
        if not behind and await kafka.ends(system.topics()) == ends:
            # Only now: `_behind` needs the records that groups have not passed, which the client then hides.
            kafka.leave_aside(ends)
            return
        await asyncio.sleep(BETWEEN_LOOKS)
    if behind and begins_later:
        raise StackError(
            f"before the run there are records that the group has not passed: {', '.join(behind)}; what comes of them "
            "could not be told apart from the run's work. Give the test topics of its own, or a group that has "
            "passed them"
        )
    backlog = f", and has not passed {', '.join(behind)}" if behind else ""
    backlog += f" ({why})" if why else ""
    raise StackError(
        f"the running system is busy{backlog}: its work could not be told apart from the run's; run once it is at rest"
    )


async def _behind(kafka: KafkaClient, offsets: Offsets, *, begins_later: bool) -> list[str]:
    """Return the partitions, each with its consumer, that hold a record which the group has not passed.

    Offsets alone do not show this: a transaction marker takes an offset that no group passes.
    """
    behind = []
    for group in offsets.latest or ():
        topic, partition = group.place
        # A running consumer without a commit began after these records; one that starts later may read them.
        committed = group.committed if group.committed is not None or not begins_later else 0
        if committed is None or committed >= group.end:
            continue
        tail = await kafka.tail(topic, group.end - committed)
        if any(record.partition == partition and record.offset >= committed for record in tail):
            behind.append(f"{topic}:{partition} ({group.consumer})")
    return behind
