"""Structured logs on stderr: one JSON object a line, with an ISO time in UTC. Settings are never logged."""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any

import structlog

LONGEST = 500
"""In characters. No error's text is longer in a log."""


def brief(error: BaseException) -> str:
    """Return an error's type and text on one line, cut, for logs and dead letters.

    Not its repr, which may hold what the error is about: that of a ``UnicodeDecodeError`` is the whole essay.
    """
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]


def configure(service: str, level: str) -> None:
    """Send structlog's and the standard library's records to stderr; every line names the service."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without locals: they hold essays and may hold secrets.
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        _cut,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def _cut(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut the errors' texts in a traceback, too."""
    _cut_texts(entry.get("exception", ()))
    return entry


def _cut_texts(stacks: Iterable[dict[str, Any]]) -> None:
    for each in stacks:
        each["exc_value"] = each["exc_value"][:LONGEST]
        for member in each.get("exceptions", ()):  # of a group, each with stacks of its own
            _cut_texts(member)
