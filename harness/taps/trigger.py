"""Matches messages for one fault, and hands the run those that the fault acts on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from harness.history.named import ID, ONE

if TYPE_CHECKING:
    from harness.taps.event import Event
    from harness.taps.held import Held
    from harness.taps.message import Place, Side


MOST_KEYS: Final = 1 << 16
"""Keys that a trigger remembers; the least recently used one is forgotten, and counts from one again."""


_WILD: Final = {"*": ".*", ID: ONE}


class Pattern:
    """``SET claim:*``: a command and a key; ``*`` stands for anything, and a missing key for any key.

    ``{id}`` stands for one name: ``SET claim:{id}`` does not match ``claim:17:done``.
    """

    def __init__(self, text: str) -> None:
        command, _, key = text.strip().partition(" ")
        self._command = _glob(command, re.IGNORECASE)
        self._key = _glob(key.strip() or "*")

    def named(self, commands: Collection[str]) -> list[str]:
        """Return the commands that match, sorted."""
        return sorted(command for command in commands if self._command.fullmatch(command))

    def matches(self, command: str, key: str) -> bool:
        """Whether a message with this command and key matches."""
        return bool(self._command.fullmatch(command) and self._key.fullmatch(key))


def _glob(text: str, flags: int = 0) -> re.Pattern[str]:
    parts = re.split(rf"(\*|{re.escape(ID)})", text)
    return re.compile("".join(_WILD.get(part) or re.escape(part) for part in parts), flags | re.DOTALL)


class Trigger:
    """Counts matching messages from now on. Made in the run's thread; a tap calls ``meets`` and ``give`` in its own.

    It holds the ``nth`` match, and after ``again`` the next one too; or each ``every``-th, but not while ``shut``.
    With ``per_key``, a message matches only as number ``per_key`` with its command and key. A trigger that ``follows``
    matches nothing until its ``event`` is set, and then only that event's messages.
    """

    def __init__(  # noqa: PLR0913 - the parts of a condition
        self,
        *,
        side: Side,
        patterns: Sequence[str],
        links: Collection[str],
        nth: int = 1,
        every: int | None = None,
        per_key: int | None = None,
        follows: bool = False,
    ) -> None:
        self._follows = follows
        self.event: Event | None = None
        """For a trigger that follows: the event, once another fault has acted on it."""
        self.links = frozenset(links)
        """The links whose messages it may hold."""
        self._side = side
        self._patterns = [Pattern(text) for text in patterns]
        self._nth, self._every, self._per_key = nth, every, per_key
        self._seen: dict[tuple[str, str], int] = {}
        self.early = False
        """While set, only messages per key are counted, and nothing matches: the condition does not hold yet."""
        self._loop = asyncio.get_running_loop()
        self._given: asyncio.Queue[Held] = asyncio.Queue()
        self.counted = 0
        """Matching messages so far."""
        self.shut = False
        self._wanted = True
        self._closed = False
        self._last: tuple[str, str] | None = None
        self._again: set[tuple[str, str]] = set()
        """Command and key of messages that were given up while they were held: the next such message takes their turn."""

    def meets(self, link: str, side: Side, command: str, key: str, commits: Sequence[Place] = ()) -> bool:
        """Count a message, and return whether to hold it; ``commits`` are the offsets that it commits."""
        if side != self._side or link not in self.links or self._closed:
            return False
        if not any(pattern.matches(command, key) for pattern in self._patterns) or not self._followed(key, commits):
            return False
        due = self._per_key is None or self._turn(command, key) == self._per_key or (command, key) in self._again
        if self.early or not due:
            return False
        self.counted += 1
        if self._every is not None:
            return self.counted % self._every == 0 and not self.shut
        if self._wanted and self.counted >= self._nth:
            self._wanted = False
            self._last = command, key
            self._again.discard(self._last)
            return True
        return False

    def _followed(self, key: str, commits: Sequence[Place]) -> bool:
        return not self._follows or (self.event is not None and self.event.has(key, commits))

    def _turn(self, command: str, key: str) -> int:
        turn = self._seen.pop((command, key), 0) + 1
        self._seen[command, key] = turn
        if len(self._seen) > MOST_KEYS:
            del self._seen[next(iter(self._seen))]
        return turn

    def give(self, held: Held) -> None:
        """Hand a held message to the run."""
        try:
            self._loop.call_soon_threadsafe(self._take, held)
        except RuntimeError:  # the run's loop has ended
            held.release()

    def _take(self, held: Held) -> None:
        if self._closed:
            held.release()
        else:
            self._given.put_nowait(held)

    async def met(self) -> Held:
        """Wait for the next message that is held for this trigger."""
        return await self._given.get()

    def again(self) -> None:
        """Hold the next match too, such as the same request when its service sends it again."""
        self._wanted = True
        if self._last is not None:
            self._again.add(self._last)

    def close(self) -> None:
        """Match nothing more, and release the held messages that no fault has taken."""
        self._closed = True
        while not self._given.empty():
            self._given.get_nowait().release()
