"""The taps of one session, in an event loop on their own thread."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from harness.taps.proxy import Tap

if TYPE_CHECKING:
    from harness.history.recorder import Recorder
    from harness.stack import RunNames
    from harness.taps.trigger import Trigger

T = TypeVar("T")

SWITCH: Final = 0.0005
"""Seconds that a thread may keep the interpreter from another while taps are open; Python's default, 5 ms, would show
as latency on a link."""


class Taps:
    """Opens taps by link, and closes them together. Called from the run's loop; the taps never wait for it."""

    def __init__(self, recorder: Recorder, run: RunNames | None = None) -> None:
        self._recorder, self._run = recorder, run
        self._taps: dict[str, Tap] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="taps", daemon=True)
        self._interval = sys.getswitchinterval()
        self._thread.start()
        sys.setswitchinterval(min(SWITCH, self._interval))

    @property
    def links(self) -> frozenset[str]:
        """The links that have a tap."""
        return frozenset(self._taps)

    async def open(  # noqa: PLR0913 - as a tap's
        self,
        link: str,
        protocol: str,
        *,
        listen: str,
        upstream: str,
        others: Mapping[str, str] | None = None,
        routes: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        """Put a tap between ``listen`` and ``upstream`` (host:port); OSError if it cannot listen."""
        tap = Tap(
            link, protocol, listen, upstream, self._recorder, run=self._run, others=others, routes=routes, quiet=quiet
        )
        await self._there(tap.open())
        self._taps[link] = tap

    @contextmanager
    def armed(self, trigger: Trigger) -> Iterator[Trigger]:
        """Give a trigger to the taps of its links while the scope lasts: on other links it would only hold bytes back."""
        taps = [tap for link, tap in self._taps.items() if link in trigger.links]
        for tap in taps:
            tap.triggers = (*tap.triggers, trigger)
        try:
            yield trigger
        finally:
            for tap in taps:
                tap.triggers = tuple(other for other in tap.triggers if other is not trigger)
            trigger.close()
            with suppress(RuntimeError):  # the taps' loop has ended
                for tap in taps:
                    self._loop.call_soon_threadsafe(tap.let_go)

    async def close(self) -> None:
        """Close every tap, and end the thread."""
        try:
            for tap in self._taps.values():
                await self._there(tap.close())
        finally:
            self._taps.clear()
            sys.setswitchinterval(self._interval)
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join, 10)

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _serve(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
