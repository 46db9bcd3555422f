"""Variables of a compose file: ``${NAME:-default}`` in its texts, and files of ``NAME=value`` beside it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.errors import FileError
from harness.files.document import text_of
from harness.redaction import is_secret

OPEN: Final = "\ue000"
SHUT: Final = "\ue001"
"""Marks around the name of a variable of unknown value within a text."""

UNKNOWN: Final = re.compile(f"{OPEN}([^{SHUT}]*){SHUT}")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*=\s*(.*?)\s*", re.DOTALL)
_DEEPEST: Final = 20
"""Deepest nesting of defaults within defaults."""


def unknown(name: str) -> str:
    """Return the mark for a variable of unknown value."""
    return f"{OPEN}{name}{SHUT}"


def said(text: str) -> str:
    """Return a text as the compose file writes it."""
    return UNKNOWN.sub(r"${\1}", text)


@dataclass(frozen=True, slots=True)
class Variables:
    """What ``$NAME`` stands for. A secret is left unknown: it would be copied from a file that is not shared."""

    values: Mapping[str, str] = field(default_factory=dict)

    def filled(self, text: str, depth: int = 0) -> str:
        """Return a text with its variables filled in; raises ValueError if the syntax is wrong."""
        if depth > _DEEPEST:
            raise ValueError(f"a default stands in a default more than {_DEEPEST} times")
        made, at = [], 0
        while (dollar := text.find("$", at)) >= 0:
            made.append(text[at:dollar])
            value, at = self._one(text, dollar + 1, depth)
            made.append(value)
        return "".join([*made, text[at:]])

    def _one(self, text: str, at: int, depth: int) -> tuple[str, int]:
        """Return what stands for the variable after a dollar, and where the text goes on."""
        if text.startswith("$", at):
            return "$", at + 1
        braced = text.startswith("{", at)
        name = _NAME.match(text, at + braced)
        if name is None:
            raise ValueError(f"{text[at - 1 : at + 20]!r} names no variable; write $$ for a dollar sign")
        if not braced:
            return self._value(name[0]), name.end()
        end = _closed(text, name.end())
        rest = text[name.end() : end]
        operator = next((one for one in (":-", ":?", ":+", "-", "?", "+") if rest.startswith(one)), None)
        if operator is None and rest:
            raise ValueError(f"{text[at - 1 : at + 20]!r} is no variable with a default; write ${{NAME:-default}}")
        other = self.filled(rest[len(operator or "") :], depth + 1) if operator in {":-", "-", ":+", "+"} else ""
        there = name[0] in self.values and (self.values[name[0]] != "" or ":" not in (operator or ""))
        if operator in {":+", "+"}:
            return (other if there else ""), end + 1
        return (self._value(name[0]) if there or operator not in {":-", "-"} else other), end + 1

    def _value(self, name: str) -> str:
        value = self.values.get(name, unknown(name))
        return unknown(name) if holds_a_secret(name, value) else value


def holds_a_secret(name: str, value: str) -> bool:
    """Whether a variable is a secret by its name, or a URL with a password."""
    return is_secret(name) or re.search(r"://[^/\s]*:[^/\s]*@", value) is not None


def _closed(text: str, at: int) -> int:
    """Return the index of the brace that closes the one before ``at``."""
    depth = 1
    for place in range(at, len(text)):
        depth += {"}": -1, "{": 1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError("a ${ is not closed")


def file_of_variables(path: Path) -> dict[str, str]:
    """Read a file of ``NAME=value`` lines; FileError with the first line that is none."""
    try:
        text = text_of(path)
    except FileError as error:
        if str(error).endswith("the file is empty"):
            return {}
        raise
    made = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if (match := _LINE.fullmatch(line)) is None:
            raise FileError("is no NAME=value line", path=str(path), line=number)
        made[match[1]] = _unquoted(match[2])
    return made


def _unquoted(value: str) -> str:
    if value[:1] not in {"'", '"'}:
        return re.split(r"\s#", value, maxsplit=1)[0].rstrip()
    try:
        return (shlex.split(value, comments=True) or [""])[0]
    except ValueError:
        return value.strip("'\"")
