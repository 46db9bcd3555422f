"""The one exception tree. Each message says what was wrong, where, and what to do.

::

    OneffectError                      exit code 2, except where a number follows
    ├── UsageError                     wrong arguments to a command
    ├── FileError                      an invalid system, scenario or history file (file, line, field)
    ├── PlanRefused                    the plan asks for what the stack or the system cannot do
    │   └── SystemLacks                the system has nothing in the role that a scenario names
    ├── StackError            (4)      a broker, store, proxy or service could not be started or reached
    │   └── ServiceExited     (4)      a service ended by itself before it was ready
    └── FaultError            (4)      a fault could not be injected or healed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import ClassVar


class OneffectError(Exception):
    """Root of all errors that the harness raises on purpose; ``exit_code`` is the command's exit status."""

    exit_code: ClassVar[int] = 2


class UsageError(OneffectError):
    """A command was called with wrong arguments."""


class FileError(OneffectError):
    """A file that the user wrote, or a history, is unusable as it is."""

    def __init__(self, message: str, *, path: str = "", line: int | None = None, field: str = "") -> None:
        where = path + (f":{line}" if line is not None else "")
        super().__init__(": ".join(part for part in (where, field, message) if part))


class PlanRefused(OneffectError):
    """The plan cannot be carried out; nothing was started."""


class SystemLacks(PlanRefused):
    """The system has nothing in a role that a scenario names, such as no Redis: so the scenario does not fit it."""


class StackError(OneffectError):
    """A part of the stack could not be installed, started or reached."""

    exit_code = 4


class ServiceExited(StackError):
    """A service ended by itself before it was ready; the message ends with the tail of its log."""


class FaultError(OneffectError):
    """A fault could not be injected or healed."""

    exit_code = 4


def nearest(name: object, known: Iterable[str]) -> str:
    """Return `` (nearest: setnx_only)`` for the end of a message, or an empty string."""
    matches = get_close_matches(str(name), list(known), 1)
    return f" (nearest: {matches[0]})" if matches else ""


@contextmanager
def first_on_purpose() -> Iterator[None]:
    """Replace an exception group by the first OneffectError in it; groups without one pass through."""
    try:
        yield
    except BaseExceptionGroup as group:
        on_purpose, _ = group.split(OneffectError)
        if on_purpose is None:
            raise
        raise _first(on_purpose) from group


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
