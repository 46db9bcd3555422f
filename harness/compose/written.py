"""Writes a draft as a system file for a person to complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.compose.draft import Draft
from harness.files.dump import inline

_SAID: Final = {
    "dependencies": "Brokers and stores that oneffect starts, empty, for each run.",
    "services": (
        "What is under test. oneffect fills in {port}, {data} (a folder), {group} and {topic:NAME}; the name of a part, such\n"
        "# as {kafka}, makes a link from each replica to it, which faults can break."
    ),
    "load": "How work enters the system.",
    "events": "Where a record says which event it is: JSON pointers, {header: NAME} or {key: true}.",
    "effects": "What applying an event changes for good. `effect` must be each row's own.",
    "settle": "Too short a time calls a slow system wrong; a long one costs its time in each run.",
}


def written(made: Draft, compose: str) -> str:
    """Return the system file's text; ``compose`` is the file that it was made from."""
    return "".join(f"{line}\n" for line in _lines(made, compose))


def _lines(made: Draft, compose: str) -> Iterator[str]:
    yield f"# Made from {_plain(compose)} by `oneffect init`. `oneffect validate` lists what is still TODO, by line."
    for name, why in made.left_out.items():
        yield f"# Left out: {_plain(name)}, {_plain(why)}."
    for part, value in made.document.items():
        if part in _SAID:
            yield ""
            yield f"# {_SAID[part]}"
        if isinstance(value, Mapping):
            yield f"{part}:"
            for name, fields in value.items():
                for note in made.notes.get(f"{part}.{name}", ()):
                    yield f"  # {_plain(note)}"
                yield from _part(name, fields)
        else:
            yield f"{part}: {inline(value)}"


def _part(name: str, fields: Mapping[str, Any]) -> Iterator[str]:
    if not fields:
        yield f"  {inline(name)}: {{}}"
        return
    yield f"  {inline(name)}:"
    for field, value in fields.items():
        if isinstance(value, Mapping) and value:
            yield f"    {field}:"
            yield from (f"      {inline(key)}: {inline(inner)}" for key, inner in value.items())
        else:
            yield f"    {field}: {inline(value)}"


def _plain(text: str) -> str:
    return " ".join(text.split())
