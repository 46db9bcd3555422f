"""Durations, sizes, bandwidths, rates and shares as a scenario has them: ``250ms``, ``1000B``, ``64KiB/s``, ``15/s``, ``20%``.

Each ``parse_*`` returns a plain number in the base unit (seconds, bytes, per second, 0 to 1), or raises ``ValueError``
with what is allowed. The ``Annotated`` types below let pydantic models accept the same text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, WithJsonSchema

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"


def parse_duration(text: object) -> float:
    """Parse ``"3s"``, ``"250ms"``, ``"2m"`` or ``"1h"`` to seconds; rejects a bare number, which hides its unit."""
    return _parse(text, _SECONDS, "a duration like 250ms, 3s or 2m")


def parse_rate(text: object) -> float:
    """Parse ``"15/s"`` to operations per second."""
    return _parse(text, {"/s": 1.0}, "a rate like 15/s")


def parse_size(text: object) -> int:
    """Parse ``"1000B"`` or ``"64KiB"`` to bytes."""
    return int(_parse(text, {name: float(factor) for name, factor in _BYTES.items()}, "a size like 1000B or 64KiB"))


def parse_bandwidth(text: object) -> int:
    """Parse ``"64KiB/s"`` to bytes per second."""
    units = {f"{name}/s": factor for name, factor in _BYTES.items()}
    return int(_parse(text, units, "a bandwidth like 64KiB/s"))


def parse_share(text: object) -> float:
    """Parse ``"20%"`` to a share from 0 to 1."""
    share = _parse(text, {"%": 0.01}, "a share like 20%")
    if share > 1:
        raise ValueError(f"{text!r} is more than 100%")
    return share


def parse_moment(text: object) -> float | str:
    """Parse a moment: seconds after the load's start (``"3s"``), or a share of the load (``"25%"``, kept as text)."""
    if isinstance(text, str) and text.strip().endswith("%"):
        parse_share(text)
        return text.strip()
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a moment; write a duration like 3s, or a share of the load like 25%"
        ) from None


def written(value: float, like: str) -> str:
    """Format a parsed value in the form of an example: ``written(0.5, "3s")`` is ``"500ms"``."""
    if like.endswith("%"):
        return f"{value * 100:g}%"
    if like.endswith("/s"):
        return f"{value:g}/s"
    return f"{value:g}s" if value >= 1 or not value else f"{value * 1000:g}ms"


def _parse(text: object, units: dict[str, float] | dict[str, int], allowed: str) -> float:
    if isinstance(text, str):
        names = "|".join(sorted(map(re.escape, units), key=len, reverse=True))
        if match := re.fullmatch(rf"{_NUMBER}\s*({names})", text.strip()):
            return float(match[1]) * units[match[2]]
    raise ValueError(f"{text!r} is not {allowed}")


def _text(units: str, *examples: str) -> object:
    """Return a string type with the JSON schema of a number followed by one of ``units`` (a pattern)."""
    return Annotated[
        str, WithJsonSchema({"type": "string", "pattern": rf"^\s*{_NUMBER}\s*({units})\s*$", "examples": [*examples]})
    ]


def _unless_number(parse: Callable[[object], float | str], form: object) -> BeforeValidator:
    """Parse unless the value is already a number, so that a model survives a dump and reload."""
    return BeforeValidator(
        lambda value: value if isinstance(value, float) else parse(value), json_schema_input_type=form
    )


_SIZES = "B|KiB|MiB|GiB"

Duration = Annotated[float, _unless_number(parse_duration, _text("ms|s|m|h", "3s", "250ms", "2m"))]
Rate = Annotated[float, _unless_number(parse_rate, _text("/s", "15/s"))]
Bandwidth = Annotated[
    int, BeforeValidator(parse_bandwidth, json_schema_input_type=_text(f"({_SIZES})/s", "64KiB/s", "1MiB/s"))
]
Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=_text(_SIZES, "1000B", "64KiB"))]
Share = Annotated[float, _unless_number(parse_share, _text("%", "20%"))]
Moment = Annotated[float | str, _unless_number(parse_moment, _text("ms|s|m|h|%", "25%", "3s"))]
