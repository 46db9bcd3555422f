"""A message that a tap holds, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.stack import Twice
from harness.taps.message import Answer

if TYPE_CHECKING:
    from harness.taps.message import Place, Side


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a held message: it passes, once or twice, is cut or lost, or a reply of the tap's own stands for it."""

    lost: bool = False
    closes: bool = False
    """Of a lost one: whether its connection ends then; else it stays open, and nothing moves on it any more."""
    reply: Answer | None = None
    cut: int | None = None
    """Bytes of it that pass before the connection breaks off."""
    again: bool = False
    """Whether the request is sent once more."""
    acted: Future[Any] = field(default_factory=Future, compare=False)
    """Of one that is cut: how many bytes had passed when the connection broke off; of one that is sent again: what came of
    it (``Twice``); None if that never happened."""

    @property
    def own(self) -> bool:
        """Whether the dependency never sees the request, so that its turn in the order of replies is the tap's."""
        return self.lost or self.reply is not None

    def over(self, came: int | Twice | None = None) -> None:
        """Note what came of it, or that nothing was done after all."""
        with suppress(InvalidStateError):
            self.acted.set_result(came)


PASSES = Fate()


class Held:
    """Implements ``harness.stack.Held``; used from the run's thread while the tap's waits for ``fate``."""

    def __init__(  # noqa: PLR0913 - what can be done with it
        self,
        link: str,
        side: Side,
        what: str,
        *,
        waits: Callable[[], bool],
        refusal: Callable[[str], Answer],
        repeatable: Callable[[], None],
    ) -> None:
        self.link, self.side, self.what = link, side, what
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
        self._settle(Fate(reply=self._refusal(error)))

    def _settle(self, fate: Fate) -> bool:
        # The first word counts; a tap that closes has cancelled the wait.
        with suppress(InvalidStateError):
            self.fate.set_result(fate)
            return True
        return False
