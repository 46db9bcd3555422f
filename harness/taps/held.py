"""A message that a tap holds, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.taps.message import Answer

if TYPE_CHECKING:
    from harness.taps.message import Side


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a held message: it passes, is cut, or is lost, or a reply of the tap's own stands for it."""

    lost: bool = False
    closes: bool = False
    """Of a lost one: whether its connection ends then; else it stays open, and nothing moves on it any more."""
    reply: Answer | None = None
    cut: int | None = None
    """Bytes of it that pass before the connection breaks off."""
    acted: Future[int | None] = field(default_factory=Future, compare=False)
    """Of one that is cut: how many bytes had passed when the connection broke off; None if that never happened."""

    @property
    def own(self) -> bool:
        """Whether the dependency never sees the request, so that its turn in the order of replies is the tap's."""
        return self.lost or self.reply is not None

    def over(self, passed: int | None = None) -> None:
        """Note how much had passed when the connection broke off, or that nothing was done after all."""
        with suppress(InvalidStateError):
            self.acted.set_result(passed)


PASSES = Fate()


class Held:
    """Implements ``harness.stack.Held``; used from the run's thread while the tap's waits for ``fate``."""

    def __init__(
        self,
        link: str,
        side: Side,
        what: str,
        *,
        waits: Callable[[], bool],
        refusal: Callable[[str], Answer],
    ) -> None:
        self.link, self.side, self.what = link, side, what
        self._waits, self._refusal = waits, refusal
        self.fate: Future[Fate] = Future()

    @property
    def waiting(self) -> bool:
        return self._waits()

    def release(self) -> None:
        self._settle(PASSES)

    def lose(self, *, close: bool) -> None:
        self._settle(Fate(lost=True, closes=close))

    async def cut(self, after: int) -> int | None:
        fate = Fate(cut=after)
        if not self._settle(fate):
            return None
        return await asyncio.wrap_future(fate.acted)

    def refuse(self, error: str) -> None:
        self._settle(Fate(reply=self._refusal(error)))

    def _settle(self, fate: Fate) -> bool:
        # The first word counts; a tap that closes has cancelled the wait.
        with suppress(InvalidStateError):
            self.fate.set_result(fate)
            return True
        return False
