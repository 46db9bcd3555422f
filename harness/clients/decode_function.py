"""Gives values to a function of the user's, for ``harness.clients.decoder``: a value a line, in base64, for a line of JSON."""

from __future__ import annotations

import base64
import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO


def serve(function: Callable[[bytes], object], values: BinaryIO, answers: BinaryIO) -> None:
    """Answer each value; ``null`` for one at which the function raises, with the reason on standard error."""
    for line in values:
        try:
            answer = orjson.dumps(function(base64.b64decode(line)), default=_text)
        except Exception:  # noqa: BLE001 - whatever it raises, it could not decode this value
            traceback.print_exc(limit=-1)
            answer = b"null"
        answers.write(answer + b"\n")
        answers.flush()


def _text(value: object) -> object:
    """Write what JSON has no form for, such as a decimal number, as text; bytes in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    # What the function prints is no answer.
    to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, name = sys.argv[1].partition(":")
    serve(getattr(importlib.import_module(module), name), sys.stdin.buffer, to)
