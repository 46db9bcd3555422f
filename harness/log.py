"""The harness's own log: what it and the libraries in it say by ``logging`` goes to a file of the run.

Nothing of it goes to the terminal, nor to whatever else listens to the root logger (pytest's capture): 92 lines of a
client that loses its broker, as the scenario has it, are no news there.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import TextIOWrapper
    from pathlib import Path

NAME: Final = "harness.log"
"""The file's, beside the logs of services or of a stack's parts."""


class _Hiding(logging.Formatter):
    """A record with its traceback, without secrets."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        return self._hide(super().format(record))


class _File(logging.FileHandler):
    """One log; made with its first line. One that cannot be written to ends no run: the history says what is wrong."""

    def __init__(self, path: Path, hide: Callable[[str], str]) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self._folder = path.parent
        self.setFormatter(_Hiding(hide))

    def _open(self) -> TextIOWrapper:
        self._folder.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own
        """Nothing, as above; the base prints a traceback on the terminal."""


_current: ContextVar[_File | None] = ContextVar("_current", default=None)


class _Sorter(logging.Handler):
    """The root logger's only handler while a log is open: two runs may be under way at once, each in its own context.

    What belongs to none of them goes to each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._open: list[_File] = []
        self._others: list[logging.Handler] = []

    def emit(self, record: logging.LogRecord) -> None:
        mine = _current.get()
        for file in [mine] if mine in self._open and mine is not None else list(self._open):
            file.handle(record)

    def add(self, file: _File) -> None:
        root = logging.getLogger()
        if not self._open:
            self._others, root.handlers[:] = root.handlers[:], [self]
        self._open.append(file)

    def remove(self, file: _File) -> None:
        self._open.remove(file)
        if not self._open:
            root = logging.getLogger()
            root.handlers[:] = [*self._others, *(one for one in root.handlers if one is not self)]
        file.close()


_sorter = _Sorter()


@contextmanager
def logged(path: Path, hide: Callable[[str], str]) -> Iterator[None]:
    """What is logged within, also by tasks and threads begun there, goes to ``path``, without what ``hide`` takes out."""
    file, before = _File(path, hide), _current.get()
    _sorter.add(file)
    _current.set(file)
    try:
        yield
    finally:
        # No token: a stack may be ended in another context than it was started in.
        _current.set(before)
        _sorter.remove(file)
