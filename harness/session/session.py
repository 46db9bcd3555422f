"""A session: one system on a running stack, connected to and recorded."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from harness.history.part import Clock
from harness.history.recorder import HistoryRecorder
from harness.log import NAME, logged
from harness.redaction import Redaction
from harness.session.directory import new_directory
from harness.session.live import LiveSystem
from harness.session.tapped import rerouted, tapped
from harness.stack import RunNames, Stack, Tapping
from harness.taps.thread import Taps

if TYPE_CHECKING:
    from types import TracebackType

    from harness.plan import SystemPlan


@dataclass(frozen=True, slots=True)
class Session:
    """The live system, the recorder of its history, and the directory for its files."""

    live: LiveSystem
    recorder: HistoryRecorder
    redaction: Redaction
    directory: Path
    taps: Taps | None = None
    """The taps on the plan's links, and on those that need one; None if there is none."""


@asynccontextmanager
async def opened(plan: SystemPlan, stack: Stack, out: Path) -> AsyncIterator[Session]:
    """Open a session of ``plan`` on a running stack, which stays up; create its directory under ``out``.

    Services started within end with the session. If an error or a signal ends it early, the history is still readable.
    """
    run = f"r{token_hex(4)}"
    directory = new_directory(out, plan, run)
    redaction = Redaction(plan.system, os.environ)
    async with AsyncExitStack() as cleanup:
        cleanup.enter_context(redaction.messages())
        cleanup.enter_context(logged(directory / "logs" / NAME, redaction.text))
        # Services and Locust write their own files: redact these once they are down.
        for written in ("logs", "load"):
            cleanup.push_async_callback(asyncio.to_thread, redaction.folder, directory / written)
        names = stack.names(run)
        recorder = HistoryRecorder(
            directory / "history.jsonl", _header(plan, stack, names), clock=time.monotonic_ns, hide=redaction.value
        )
        cleanup.callback(recorder.close)
        cleanup.push(partial(_ended, recorder, plan))
        live = LiveSystem(plan.system, stack, names)
        cleanup.push_async_callback(live.close)
        await live.connect()
        wanted = plan.taps and (plan.needs_taps or stack.lacks(Tapping) is None)
        tapping = tapped(plan, stack, recorder, names) if wanted or rerouted(stack) else nullcontext()
        taps = await cleanup.enter_async_context(tapping)
        cleanup.push_async_callback(stack.stop_services)
        yield Session(live, recorder, redaction, directory, taps)


def _ended(
    recorder: HistoryRecorder,
    plan: SystemPlan,
    kind: type[BaseException] | None,
    error: BaseException | None,
    _: TracebackType | None,
) -> None:
    """Record how the session ended: cancelling is how ``up`` ends, but interrupts a run."""
    if kind is None or (issubclass(kind, asyncio.CancelledError) and not plan.runs):
        recorder.record("run", "finished", "run")
    else:
        recorder.record("run", "interrupted", "run", error=f"{kind.__name__}: {error}")


def _header(plan: SystemPlan, stack: Stack, names: RunNames) -> dict[str, object]:
    return {
        "run": names.run,
        "plan": plan.document,
        "plan_digest": plan.digest,
        "seed": plan.seed,
        "label": plan.label,
        **plan.about(),
        "system_path": os.path.relpath(plan.system_path),
        **({"addresses_path": os.path.relpath(plan.addresses)} if plan.addresses is not None else {}),
        "versions": {"oneffect": version("oneffect"), "python": platform.python_version(), **stack.versions()},
        "started": datetime.now(UTC).isoformat(),
        "clock": Clock.now().document(),
    }
