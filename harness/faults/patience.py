"""How long a fault waits for work that it can hit."""

from __future__ import annotations

import asyncio
from typing import Final

LOOK: Final = 0.25
"""Seconds that one look counts at most."""

AT_MOST: Final = 3
"""How many times the given seconds may pass in all."""


class Patience:
    """A time limit that counts looks: on a busy machine a look takes seconds and tells no more than a quick one.

    It is over once the looks have taken ``seconds`` in all, each counted as ``LOOK`` at most, or after ``AT_MOST``
    times as many seconds. It starts when it is made.
    """

    def __init__(self, seconds: float) -> None:
        self._time = asyncio.get_running_loop().time
        self._left, self._last = seconds, self._time()
        self._end = self._last + AT_MOST * seconds

    def over(self, *, counts: bool = True) -> bool:
        """Whether it is over; call once per look. The time since the last call counts only if ``counts`` is true."""
        now = self._time()
        passed, self._last = now - self._last, now
        if counts:
            self._left -= min(passed, LOOK)
        else:
            self._end += passed
        return self._left <= 0 or now >= self._end
