"""Taps on a plan's links, for as long as a session lasts."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from harness.errors import PlanRefused, StackError
from harness.stack import Rerouting, RunNames, Stack, Tapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from harness.history.recorder import Recorder
    from harness.plan import SystemPlan
    from harness.taps.thread import Taps


def rerouted(stack: Stack) -> Collection[str]:
    """Return the links that need a tap whatever the plan says."""
    return stack.rerouted if isinstance(stack, Rerouting) else ()


@asynccontextmanager
async def tapped(
    plan: SystemPlan, stack: Stack, recorder: Recorder, names: RunNames | None = None
) -> AsyncIterator[Taps]:
    """Lead each of the plan's tapped links through a tap while the scope lasts; then lead them past the taps again.

    Links to brokers that have no listeners for them get a tap too, which records nothing unless the plan asks for it.
    With the run's names, topics and groups are recorded and matched by their names in the system file.
    Raises PlanRefused if the stack has no taps, StackError if a tap cannot listen.
    """
    from harness.taps.thread import Taps

    if not isinstance(stack, Tapping):
        raise PlanRefused(f"taps: the {stack.name} stack cannot: {stack.lacks(Tapping)}")
    async with AsyncExitStack() as cleanup:
        taps = Taps(recorder, names)
        cleanup.push_async_callback(taps.close)
        for link, protocol in {**dict.fromkeys(rerouted(stack), "kafka"), **plan.taps}.items():
            detour = stack.detour(link)
            try:
                await taps.open(
                    link,
                    protocol,
                    listen=detour.listen,
                    upstream=detour.upstream,
                    others=detour.others,
                    routes=detour.routes,
                    quiet=link not in plan.taps,
                )
            except OSError as error:
                raise StackError(f"the tap on {link} cannot listen at {detour.listen}: {error.strerror}") from error
            cleanup.push_async_callback(stack.lead, link, None)
            await stack.lead(link, detour.listen)
        yield taps
