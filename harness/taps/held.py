"""A message that a tap holds, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.stack import Twice
from harness.taps.message import Answer, Place, Side


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
    acted: Future[Any] = field(default_factory=Future, compare=False)
    """The result: for a cut, how many bytes had passed when the connection broke off; for a request sent again, a
    ``Twice``; None if neither happened."""

    @property
    def own(self) -> bool:
        """Whether the dependency never sees the request, so that the tap takes its turn in the order of replies."""
        return self.lost or (self.reply is not None and not self.instead)

    def over(self, came: int | Twice | None = None) -> None:
        """Set the result; None if nothing was done after all."""
        with suppress(InvalidStateError):
            self.acted.set_result(came)


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
    ) -> None:
        self.link, self.side, self.what = link, side, what
        self.command = ""
        self.key = ""
        self.commits: Sequence[Place] = ()
        self._waits, self._refusal, self._repeatable = waits, refusal, repeatable
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
