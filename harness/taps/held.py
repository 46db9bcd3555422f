"""A message that a tap holds, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.taps.message import Answer

if TYPE_CHECKING:
    from harness.taps.message import Side


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a held message: it passes, or is lost, or a reply of the tap's own stands for it."""

    lost: bool = False
    closes: bool = False
    """Of a lost one: whether its connection ends then; else it stays open, and nothing moves on it any more."""
    reply: Answer | None = None


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

    def refuse(self, error: str) -> None:
        self._settle(Fate(reply=self._refusal(error)))

    def _settle(self, fate: Fate) -> None:
        # The first word counts; a tap that closes has cancelled the wait.
        with suppress(InvalidStateError):
            self.fate.set_result(fate)
