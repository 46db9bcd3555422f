"""A file as one of the models: what is wrong is said with file, line, field and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import FileError
from harness.files.complaint import complaint
from harness.files.document import Document, Field, parse
from harness.system import System

M = TypeVar("M", bound=BaseModel)


def load(path: Path, model: type[M]) -> M:
    """The file at ``path`` as ``model``; FileError names the first thing that is wrong, and how many more there are.

    A system file may say ``extends: other.yaml``: it is laid over that file, mappings merged, all else replaced.
    """
    document = _extended(path, ()) if issubclass(model, System) else parse(path)
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        field, message = complaint(error, model, document)
        place = document.place(field)
        raise FileError(message, path=place.path, line=place.line, field=written(field)) from None


def line_of(path: Path, field: Field) -> int | None:
    """The line of a field, or of what holds it, in a file that was loaded; None once it cannot be read any more."""
    try:
        return parse(path).place(field).line
    except FileError:
        return None


def written(field: Field) -> str:
    """``faults[2].for``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in field).removeprefix(".")


def _extended(path: Path, under: tuple[Path, ...]) -> Document:
    document = parse(path)
    if "extends" not in document.value:
        return document
    value = dict(document.value)
    name, place = value.pop("extends"), document.place(("extends",))
    if not isinstance(name, str):
        raise FileError("name one other system file", path=place.path, line=place.line, field="extends")
    base = path.parent / name
    try:
        below_this = base.resolve() in {path.resolve(), *under}
        there = base.is_file()
    except OSError:
        below_this = there = False
    if below_this:
        raise FileError(
            f"{name} is extended by this very file; break the loop", path=place.path, line=place.line, field="extends"
        )
    if not there:
        raise FileError(f"there is no file {name[:100]}", path=place.path, line=place.line, field="extends")
    below = _extended(base, (*under, path.resolve()))
    return Document(_laid_over(below.value, value), {**below.places, **document.places})


def _laid_over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    made = dict(below)
    for key, value in above.items():
        under = made.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        made[key] = _laid_over(under, value) if both else value  # type: ignore[arg-type]  # mypy cannot follow `both`
    return made
