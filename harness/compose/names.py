"""The name that each container of a compose file has in the system file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from harness.compose.file import Container
from harness.compose.images import kind
from harness.system import FILLED_IN

_RESERVED: Final = FILLED_IN | {"topic"}
"""Names that are already placeholders for something else."""

_LONGEST: Final = 60
_NUMBERED: Final = re.compile(r"(.+?)[-_](\d{1,2})")


def plain(text: str, otherwise: str = "system") -> str:
    """Make a name of any text."""
    name = re.sub(r"[^a-z0-9_-]", "-", text.lower()).lstrip("-_0123456789")[:_LONGEST]
    return name or otherwise


def of_dependencies(containers: Sequence[Container]) -> dict[str, str]:
    """Return the name of each dependency; all brokers are one."""
    names: dict[str, str] = {}
    brokers = [one for one in containers if kind(one.image) == "kafka"]
    for one in containers:
        wanted = "kafka" if one in brokers and len(brokers) > 1 else plain(one.name, kind(one.image) or "")
        if one in brokers[1:]:
            names[one.name] = names[brokers[0].name]
        else:
            names[one.name] = _free(kind(one.image) or "" if wanted in _RESERVED else wanted, names.values())
    return names


def of_services(containers: Iterable[Container], taken: Collection[str], apart: Collection[str]) -> dict[str, str]:
    """Return the name of each service; ``billing-1`` and ``billing-2`` share one unless ``billing`` is ``apart``."""
    containers = list(containers)
    stems = {one.name: match[1] for one in containers if (match := _NUMBERED.fullmatch(one.name))}
    known = {one.name for one in containers}
    names: dict[str, str] = {}
    shared: dict[str, str] = {}
    for one in containers:
        stem = stems.get(one.name)
        if stem is None or stem in apart or stem in known:
            names[one.name] = _free(_said(one.name), {*names.values(), *taken})
        else:
            if stem not in shared:
                shared[stem] = _free(_said(stem), {*names.values(), *taken})
            names[one.name] = shared[stem]
    return names


def _said(name: str) -> str:
    made = plain(name, "service")
    return f"{made}-service" if made in _RESERVED else made


def _free(name: str, taken: Iterable[str]) -> str:
    taken, number, made = set(taken), 2, name
    while made in taken:
        made, number = f"{name}-{number}", number + 1
    return made
