"""The progress of a run: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import Progress as Live
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from harness.reports.untrusted import shown

Clock = Callable[[], float]
"""Seconds, monotonic."""


class Board:
    """Lines of progress, one for each task under way. ``clock`` stamps the plain lines."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._begun = clock()
        self._live: Live | None = None
        if console.is_terminal:
            text = TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
            )
            self._live = Live(SpinnerColumn(), text, TimeElapsedColumn(), console=console, transient=True)

    def line(self, label: str) -> Line:
        """Add a line, which is a ``harness.session.stacks.Progress``."""
        return Line(self, label, self._live.add_task(shown(label), total=None) if self._live is not None else None)

    def say(self, text: str) -> None:
        """Print text that stays."""
        self._console.print(text)

    def show(self, line: Line, text: str, *, within: str = "", lasting: bool = True) -> None:
        """Show a line's text, ``within`` a stage; a plain console shows only ``lasting`` text."""
        if self._live is not None and line.task is not None:
            self._live.update(line.task, description=shown(f"{line.label}: {f'{within}; ' if within else ''}{text}"))
        elif lasting:
            self._console.print(f"{self._clock() - self._begun:6.1f} s  {shown(line.label)}: {shown(text)}")

    def drop(self, line: Line) -> None:
        """Remove a finished line."""
        if self._live is not None and line.task is not None:
            self._live.remove_task(line.task)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Hide the live lines meanwhile, so that something else can be printed."""
        if self._live is None:
            yield
            return
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


class Line:
    """The line of one task."""

    def __init__(self, board: Board, label: str, task: TaskID | None) -> None:
        self._board = board
        self._step = ""
        self.label = label
        self.task = task

    def step(self, text: str) -> None:
        """Begin a new stage."""
        self._step = text
        self._board.show(self, text)

    def note(self, text: str) -> None:
        """Show something that happened within the stage."""
        self._board.show(self, text, within=self._step)

    def passing(self, text: str) -> None:
        """Show something that changes all the time, on a terminal only."""
        self._board.show(self, text, lasting=False)

    def done(self) -> None:
        """Remove the line."""
        self._board.drop(self)
