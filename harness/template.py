"""Texts and JSON values with placeholders that each operation of a load fills in.

The same placeholder has the same value wherever one operation uses it: a key ``{word:customer}`` is the customer that
the value names. A text that is one placeholder for a number becomes a number, and not a text, in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

PATTERN: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::([^{}]*))?\}")

DRAWN: Final = ("word", "number", "choice")
"""Placeholders that the seed fills in: ``{word}``, ``{word:LABEL}``, ``{number:1..100}``, ``{choice:a|b|c}``."""

_RANGE: Final = re.compile(r"(-?\d{1,15})\.\.(-?\d{1,15})")

Value = Callable[[str, str | None], "str | int"]
"""``value(name, argument)`` of the placeholder ``{name:argument}``."""


def texts(template: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text of a template with its place, such as ``data.lines[0]``."""
    if isinstance(template, str):
        yield where, template
    elif isinstance(template, Mapping):
        for name, inner in template.items():
            yield from texts(inner, f"{where}.{name}".removeprefix("."))
    elif isinstance(template, list):
        for n, inner in enumerate(template):
            yield from texts(inner, f"{where}[{n}]")


def check(template: object, known: Collection[str], where: str) -> None:
    """Raise ValueError for the first placeholder that is neither ``known`` nor drawn from the seed as it should be."""
    for place, text in texts(template):
        for name, argument in placeholders(text):
            if wrong := _wrong(name, argument, known):
                written = f"{{{name}}}" if argument is None else f"{{{name}:{argument}}}"
                raise ValueError(f"{where}{'.' if place and place[0] != '[' else ''}{place}: {written} {wrong}")


def placeholders(text: str) -> list[tuple[str, str | None]]:
    """Return the name of each placeholder in a text, and its argument, if it has one."""
    return [(match[1], match[2]) for match in PATTERN.finditer(text)]


def named(template: object) -> set[str]:
    """Return the names of all placeholders in a template."""
    return {name for _, text in texts(template) for name, _ in placeholders(text)}


def filled(template: Any, value: Value) -> Any:  # noqa: ANN401 - JSON
    """Return the template with its placeholders filled in."""
    if isinstance(template, str):
        whole = PATTERN.fullmatch(template)
        return value(whole[1], whole[2]) if whole else filled_text(template, value)
    if isinstance(template, Mapping):
        return {name: filled(inner, value) for name, inner in template.items()}
    if isinstance(template, list):
        return [filled(inner, value) for inner in template]
    return template


def filled_text(template: str, value: Value) -> str:
    """Return a text with its placeholders filled in."""
    return PATTERN.sub(lambda match: str(value(match[1], match[2])), template)


def between(argument: str | None) -> tuple[int, int]:
    """Return the ends of ``1..100``; ValueError if it is no such range."""
    ends = _RANGE.fullmatch(argument or "")
    if ends is None or int(ends[1]) > int(ends[2]):
        raise ValueError("needs a range from low to high, for example {number:1..100}")
    return int(ends[1]), int(ends[2])


def _wrong(name: str, argument: str | None, known: Collection[str]) -> str:
    if name in known:
        return "takes no argument" if argument is not None else ""
    if name == "number":
        try:
            between(argument)
        except ValueError as error:
            return str(error)
        return ""
    if name == "choice":
        return "" if argument and all(argument.split("|")) else "needs choices, for example {choice:small|large}"
    if name == "word":
        return ""
    listed = ", ".join(f"{{{one}}}" for one in (*known, "word", "number:1..100", "choice:a|b"))
    return f"is not filled in here; known: {listed}"
