"""Trying again, ever more slowly, and not all at the same moment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Backoff:
    """Doubling delays from ``first`` up to ``longest`` seconds, each with jitter from half to the whole of it."""

    first: float
    longest: float
    random: Random

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row (1 or more)."""
        whole = min(self.longest, self.first * 2 ** min(failures - 1, 30))
        return whole * self.random.uniform(0.5, 1.0)

    async def wait(self, failures: int) -> None:
        """Sleep for ``delay``."""
        await asyncio.sleep(self.delay(failures))
