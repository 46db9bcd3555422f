"""Writes a document so that it is read back the same, and reads as one written by hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import yaml

from harness.files.document import RESOLVERS

_UNBROKEN = 10_000

_OTHERS = frozenset({"yes", "no", "on", "off", "y", "n"})
"""Text to the harness, but not to other readers of YAML."""


class _Dumper(yaml.SafeDumper):
    """Quotes text that the harness would read as something else; it leaves ``on`` plain."""

    yaml_implicit_resolvers: ClassVar = RESOLVERS  # type: ignore[misc]  # a class variable there too

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Write repeated values in full, without aliases."""
        return True


def dumped(document: Mapping[str, Any]) -> str:
    """Return a file's text: each value on one line, or one line for each row if it is a list of rows."""
    text = []
    for name, value in document.items():
        rows = isinstance(value, list) and all(isinstance(row, Mapping) for row in value) and bool(value)
        text.append(f"{name}:\n" if rows else "")
        text += [f"  - {_line(row)}\n" for row in value] if rows else [_line({name: value})[1:-1] + "\n"]
    return "".join(text)


def _line(mapping: Mapping[str, Any]) -> str:
    dumped: str = yaml.dump(
        dict(mapping),
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        width=_UNBROKEN,
        allow_unicode=True,
    )
    return dumped.strip()


def inline(value: object) -> str:
    """Return a value on one line that is valid at any depth of a file."""
    dumped: str = yaml.dump(
        [value],
        Dumper=_Dumper,
        default_flow_style=True,
        default_style='"' if isinstance(value, str) and (value.lower() in _OTHERS or _ends_a_line(value)) else None,
        sort_keys=False,
        width=sys.maxsize,
        allow_unicode=True,
    )
    return dumped.strip()[1:-1]


def _ends_a_line(text: str) -> bool:
    """Whether a text has a line break, which only double quotes can keep on one line, as an escape."""
    return text.splitlines() not in ([text], [])
