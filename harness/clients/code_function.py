"""Calls a user's function on each line, for ``harness.clients.coders``: ``decode MODULE:FUNCTION``, or ``encode``."""

from __future__ import annotations

import base64
import importlib
import os
import sys
import traceback
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable


def decoded(function: Callable[[bytes], object], line: bytes) -> bytes:
    """Return the JSON of a value; ``null``, with the reason on standard error, if it cannot be decoded or written as JSON.

    Errors that say nothing about the value end the program: a missing module or file, memory that is used up.
    """
    try:
        return orjson.dumps(function(base64.b64decode(line)), default=_text, option=orjson.OPT_NON_STR_KEYS)
    except (ImportError, OSError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - whatever else it raises, it could not decode this value
        if line.strip():  # the harness itself sends an empty value now and then
            traceback.print_exc(limit=-1)
        return b"null"


def encoded(function: Callable[[Any], bytes], line: bytes) -> bytes:
    """Return the value that a JSON text becomes, in base64; whatever the function raises ends the program."""
    return base64.b64encode(function(orjson.loads(line)))


def _text(value: object) -> str:
    """Write bytes in base64, and a decimal number as text. Refuse other types: their text might vary."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(
        f"JSON has no form for {type(value).__name__}; return a dict of text, numbers, lists and the like"
    )


def serve(answer: Callable[[Any, bytes], bytes], function: object, lines: BinaryIO, answers: BinaryIO) -> None:
    """Answer each line."""
    for line in lines:
        answers.write(answer(function, line) + b"\n")
        answers.flush()


if __name__ == "__main__":
    # Keep what the function prints out of the answers.
    to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, name = sys.argv[2].partition(":")
    of_user = getattr(importlib.import_module(module), name)
    serve({"decode": decoded, "encode": encoded}[sys.argv[1]], of_user, sys.stdin.buffer, to)
