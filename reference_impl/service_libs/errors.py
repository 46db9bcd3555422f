"""Whose fault an error is: a dependency's, tried again for ever, or the handler's own, which spends attempts."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class DependencyError(Exception):
    """A dependency did not answer, or not in time. It says nothing about the work itself."""


class RedisUnavailable(DependencyError):
    """Redis did not answer. What was asked of it may have been done all the same."""


class KafkaUnavailable(DependencyError):
    """Kafka did not acknowledge. The record may have been written all the same."""


class ContentUnavailable(DependencyError):
    """The content service did not answer, or not with a yes or a no."""


class ContentMissing(Exception):
    """The content service answered that it has no such blob, or its bytes are not those its name says."""


def is_dependency_error(error: BaseException) -> bool:
    """Whether trying again can help: time-outs, connections, locks and commits, but no broken constraint or query."""
    if isinstance(error, DBAPIError):
        return not isinstance(error, IntegrityError | ProgrammingError)
    return isinstance(error, DependencyError | OSError | PoolTimeoutError)
