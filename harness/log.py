"""The harness's own log: whatever it and its libraries send to ``logging`` goes to a file of the run.

None of it reaches the terminal or other handlers of the root logger (pytest's capture): a client that loses its broker
because the scenario says so may log 92 lines, and they are no news there.
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
"""The log file's name; it lies beside the logs of services or of a stack's parts."""


class _Hiding(logging.Formatter):
    """Formats a record and its traceback, without secrets."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        return self._hide(super().format(record))


class _File(logging.FileHandler):
    """One log file, created with its first line. A failure to write it ends no run: the history says what is wrong."""

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
        """Do nothing; the base class would print a traceback on the terminal."""


_current: ContextVar[_File | None] = ContextVar("_current", default=None)


class _Sorter(logging.Handler):
    """The root logger's only handler while a log is open. Two runs may be in progress, each in its own context.

    A record that belongs to no open log goes to all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._open: list[_File] = []
        self._others: list[logging.Handler] = []

    def emit(self, record: logging.LogRecord) -> None:
        current = _current.get()
        for file in [current] if current in self._open and current is not None else list(self._open):
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
            root.handlers[:] = [*self._others, *(handler for handler in root.handlers if handler is not self)]
        file.close()


_sorter = _Sorter()


@contextmanager
def logged(path: Path, hide: Callable[[str], str]) -> Iterator[None]:
    """Log to ``path`` within the block, also from tasks and threads started in it; ``hide`` removes secrets."""
    file, before = _File(path, hide), _current.get()
    _sorter.add(file)
    _current.set(file)
    try:
        yield
    finally:
        # No token: a stack may end in another context than it started in.
        _current.set(before)
        _sorter.remove(file)
