"""``oneffect setup``: installs what the native stack needs."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.reports.progress import Board, Line

BETWEEN_LINES: Final = 5.0
"""Seconds between two passing lines of one part, where there is no terminal to update them on."""


def setup() -> None:
    """Install what the native stack needs (Kafka, Toxiproxy, a Redis or Valkey, Postgres) into a cache folder, without root.

    Installed parts are left alone. ONEFFECT_CACHE names a folder other than ~/.cache/oneffect.

    Exit status: 0 everything is installed, 4 something could not be installed.

    For example:

      oneffect setup
    """
    from harness.reports.progress import Board
    from harness.reports.terminal import console
    from harness.stacks.native.install import install
    from harness.stacks.native.parts import parts

    with Board(console(stderr=True), time.monotonic) as board:
        install(_Reporter(board))
    console().print("ready: " + ", ".join(f"{part.name} {part.version}".rstrip() for part in parts()))


class _Reporter:
    """Reports the progress of parts, from several threads."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lines: dict[str, Line] = {}
        self._said: dict[str, float] = {}
        self._lock = Lock()

    def __call__(self, part: str, text: str, *, passing: bool = False) -> None:
        """Show a part's progress; if ``passing``, not more often than every BETWEEN_LINES."""
        with self._lock:
            line = self._lines.setdefault(part, self._lines.get(part) or self._board.line(part))
            now = time.monotonic()
            if passing and now - self._said.get(part, -BETWEEN_LINES) < BETWEEN_LINES:
                line.passing(text)
                return
            self._said[part] = now
            line.step(text)
