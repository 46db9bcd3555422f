"""A message that a tap holds, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.errors import FaultError
from harness.stack import Record, Twice
from harness.taps.message import Answer, Message, Place, Side

Alters = Callable[[bytes, Message], tuple[bytes, Record]]
"""Makes another request of one, and returns the record of it that is another; FaultError if there is none."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a held message: it passes, once or twice, is cut or lost, or the tap replies in its place."""

    lost: bool = False
    closes: bool = False
    """For a lost message: whether its connection ends; otherwise it stays open, and nothing moves on it any more."""
    reply: Answer | None = None
    instead: bytes = b""
    """For a request that the tap answers: what the dependency gets in its place; the tap keeps the reply to that."""
    cut: int | None = None
    """Bytes of it that pass before the connection breaks off."""
    again: bool = False
    """Whether the request is sent once more."""
    alters: Alters | None = None
    """What makes another request of it, which is sent in its place."""
    acted: Future[Any] = field(default_factory=Future, compare=False)
    """The result: for a cut, how many bytes had passed when the connection broke off; for a request sent again, a
    ``Twice``; for an altered one, the record as it was; None if nothing of it happened."""

    @property
    def own(self) -> bool:
        """Whether the dependency never sees the request, so that the tap takes its turn in the order of replies."""
        return self.lost or (self.reply is not None and not self.instead)

    def over(self, came: int | Twice | Record | None = None) -> None:
        """Set the result; None if nothing was done after all."""
        with suppress(InvalidStateError):
            self.acted.set_result(came)

    def impossible(self, error: FaultError) -> None:
        """Say that nothing was done, and why."""
        with suppress(InvalidStateError):
            self.acted.set_exception(error)


PASSES = Fate()


class Held:
    """Implements ``harness.stack.Held``; the run's thread uses it while the tap's thread waits for ``fate``."""

    def __init__(  # noqa: PLR0913 - what can be done with it
        self,
        link: str,
        side: Side,
        what: str,
        *,
        waits: Callable[[], bool],
        refusal: Callable[[str], Fate],
        repeatable: Callable[[], None],
        altered: Callable[[Collection[str], Callable[[bytes], bytes]], Alters],
    ) -> None:
        self.link, self.side, self.what = link, side, what
        self.command = ""
        self.key = ""
        self.commits: Sequence[Place] = ()
        self._waits, self._refusal, self._repeatable, self._altered = waits, refusal, repeatable, altered
        self.fate: Future[Fate] = Future()

    @property
    def waiting(self) -> bool:
        return self._waits()

    def release(self) -> None:
        self._settle(PASSES)

    def lose(self, *, close: bool) -> None:
        self._settle(Fate(lost=True, closes=close))

    async def cut(self, after: int) -> int | None:
        came: int | None = await self._came(Fate(cut=after))
        return came

    async def duplicate(self) -> Twice | None:
        self._repeatable()
        came: Twice | None = await self._came(Fate(again=True))
        return came

    async def corrupt(self, topics: Collection[str], alter: Callable[[bytes], bytes]) -> Record | None:
        came: Record | None = await self._came(Fate(alters=self._altered(topics, alter)))
        return came

    async def _came(self, fate: Fate) -> Any:  # noqa: ANN401 - of the fate's kind
        return await asyncio.wrap_future(fate.acted) if self._settle(fate) else None

    def refuse(self, error: str) -> None:
        self._settle(self._refusal(error))

    def _settle(self, fate: Fate) -> bool:
        # The first call counts; a tap that closes has cancelled the wait.
        with suppress(InvalidStateError):
            self.fate.set_result(fate)
            return True
        return False
