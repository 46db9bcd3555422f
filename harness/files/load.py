"""Loads a file as one of the models; errors give file, line, field and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import FileError
from harness.files.complaint import Mistake, mistakes
from harness.files.document import MAX_NODES, Document, Field, parse, too_many
from harness.files.todo import todos, without
from harness.system import System

M = TypeVar("M", bound=BaseModel)

_LONGEST_CHAIN = 10
"""Longest chain of files below one that extends them."""


def load(path: Path, model: type[M]) -> M:
    """Load the file at ``path`` as ``model``; FileError names the first mistake and counts the others.

    A system file with ``extends: other.yaml`` overlays that file: mappings merge, null removes a value, anything else
    replaces it.
    """
    document = _document(path, model)
    loaded, found = _validated(document, model)
    if loaded is not None:
        return loaded
    raise _error(found[0], document, f" (and {len(found) - 1} more)" if found[1:] else "")


def wrong(path: Path, model: type[M]) -> tuple[M | None, list[FileError]]:
    """Load a file as ``load`` does; return it, or None and every mistake that is found in it."""
    try:
        document = _document(path, model)
    except FileError as error:
        return None, [error]
    loaded, found = _validated(document, model)
    if any(mistake.unknown for mistake in found):
        # Checks across fields run only once each field is right by itself: leave out the unknown ones.
        _, more = _validated(without(document, [mistake.field for mistake in found if mistake.unknown]), model)
        known = {mistake.field for mistake in found}
        found += [mistake for mistake in more if mistake.field not in known and not mistake.missing]
    return loaded, [_error(mistake, document) for mistake in found]


def _document(path: Path, model: type[BaseModel]) -> Document:
    return _extended(path, ()) if issubclass(model, System) else parse(path)


def _validated(document: Document, model: type[M]) -> tuple[M | None, list[Mistake]]:
    """Return the model, or None and every mistake, including each value still to be written (``TODO: …``)."""
    left = dict(todos(document.value))
    found = [Mistake(field, said) for field, said in left.items()]
    document = without(document, list(left)) if left else document
    try:
        loaded = model.model_validate(document.value)
    except ValidationError as error:
        found += [each for each in mistakes(error, model, document) if not left or _beside(each, left)]
    else:
        return (None, found) if found else (loaded, [])
    return None, sorted(found, key=lambda mistake: document.place(mistake.field).line) if left else found


def _beside(mistake: Mistake, left: Mapping[Field, str]) -> bool:
    """Whether a mistake is independent of the values still to be written.

    Checks across several values wait until all are written.
    """
    return not mistake.joint and mistake.field not in {*left, *(field[:-1] for field in left)}


def _error(mistake: Mistake, document: Document, more: str = "") -> FileError:
    place = document.place(mistake.field)
    return FileError(mistake.said + more, path=place.path, line=place.line, field=written(mistake.field))


def line_of(path: Path, field: Field) -> int | None:
    """Return the line of a field, or of what contains it, in a loaded file; None if the file is no longer readable."""
    try:
        return parse(path).place(field).line
    except FileError:
        return None


def written(field: Field) -> str:
    """Write a field as text: ``faults[2].for``."""
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
            f"{name} extends this file in turn; break the loop", path=place.path, line=place.line, field="extends"
        )
    if not there:
        raise FileError(f"there is no file {name[:100]}", path=place.path, line=place.line, field="extends")
    if len(under) == _LONGEST_CHAIN:
        message = f"more than {_LONGEST_CHAIN} files extend one another"
        raise FileError(message, path=place.path, line=place.line, field="extends")
    below = _extended(base, (*under, path.resolve()))
    if len(below.places) + len(document.places) > MAX_NODES:
        raise too_many(place.path, place.line)
    return _laid_over(below, Document(value, document.places))


def _laid_over(below: Document, above: Document) -> Document:
    replaced: set[Field] = set()

    def lay(under: object, over: Mapping[str, object], field: Field) -> dict[str, object]:
        made = dict(under) if isinstance(under, Mapping) else {}
        for key, value in over.items():
            if isinstance(value, Mapping):
                made[key] = lay(made.get(key), value, (*field, key))
            else:
                replaced.add((*field, key))
                made.pop(key, None)
                if value is not None:
                    made[key] = value
        return made

    value = lay(below.value, above.value, ())
    unreplaced = {
        field: place
        for field, place in below.places.items()
        if not any(field[:length] in replaced for length in range(1, len(field) + 1))
    }
    return Document(value, {**unreplaced, **above.places})
