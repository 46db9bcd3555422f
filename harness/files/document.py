"""Reads YAML into plain values, bounded in size, each with its line.

The schema is YAML 1.2's core: only ``true`` and ``false`` are booleans, so ``on:`` is a key like any other, and a date
is text. Anchors, aliases and merge keys (``<<``) work; tags do not. Keys are unique text.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from harness.errors import FileError

MAX_BYTES: Final = 1024 * 1024
MAX_NESTING: Final = 50
MAX_NODES: Final = 100_000
"""Most keys and values of a file, with every alias expanded."""

Field = tuple[str | int, ...]
"""A value's path in a document: keys and indexes from the top."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, counted from 1."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Document:
    """A file's values and the place of each; the field ``()`` is the whole document."""

    value: dict[str, object]
    places: Mapping[Field, Place]

    def place(self, field: Field) -> Place:
        """Return the place of a field, or of the nearest field that contains it."""
        while field not in self.places:
            field = field[:-1]
        return self.places[field]


def parse(path: Path, endings: Sequence[str] = (".yaml",)) -> Document:
    """Read a file with one of these endings; FileError unless it is one bounded, plain mapping."""
    text = text_of(path, endings)
    try:
        node = _Loader(text, str(path)).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise FileError(f"not YAML: {error.problem or error.context}", path=str(path), line=line) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise FileError(
            f"the character U+{error.character:04X} is not allowed in a file", path=str(path), line=line
        ) from None
    if node is None:
        raise FileError("the file is empty", path=str(path))
    if not isinstance(node, yaml.MappingNode):
        raise FileError("the whole file must be one mapping, `key: value`", path=str(path), line=_line(node))
    _bound(node, str(path))
    places: dict[Field, Place] = {}
    return Document(_Values(str(path), places).mapping(node, ()), places)


def plain(text: str, where: str) -> object:
    """Read a single value as in a file; FileError, naming ``where`` it came from, if it is not one."""
    try:
        node = _Loader(text, where).get_single_node()
    except (yaml.MarkedYAMLError, ReaderError) as error:
        raise FileError(
            f"not YAML: {getattr(error, 'problem', None) or 'it has a control character'}", path=where
        ) from None
    if node is None:
        return None
    _bound(node, where)
    return _Values(where, {}).value(node, ())


def text_of(path: Path, endings: Sequence[str] = ()) -> str:
    """Return a file's text; FileError if it has none of ``endings``, is empty, too long, not UTF-8 or not there."""
    where = str(path)
    named = f"name a {' or '.join(endings) or 'text'} file"
    try:
        if path.is_dir():
            raise FileError(f"is a folder; {named}", path=where)
        # Non-blocking, so that a named pipe cannot hold the command up.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - needs a flag
            raw = file.read(MAX_BYTES + 1) or b""
    except FileNotFoundError:
        raise FileError("there is no such file", path=where) from None
    except PermissionError:
        raise FileError("is not readable; check its permissions", path=where) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileError(f"cannot be read: {reason}", path=where) from None
    if endings and path.suffix not in endings:
        raise FileError(named, path=where)
    if len(raw) > MAX_BYTES:
        raise FileError(f"is longer than {MAX_BYTES // 1024 // 1024} MiB", path=where)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError("is not UTF-8 text", path=where, line=raw.count(b"\n", 0, error.start) + 1) from None
    if not text.strip():
        raise FileError("the file is empty", path=where)
    return text


_TAG: Final = "tag:yaml.org,2002:"
_WORDS: Final = (
    ("null", r"(?:~|null)?", ["", *"~n"]),
    ("bool", r"true|false", [*"tf"]),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", [*"-+0123456789"]),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("merge", r"<<", [*"<"]),
)
"""Kinds of plain scalar: name, pattern and possible first characters; anything else is text."""

RESOLVERS: Final = {
    first: [(_TAG + name, re.compile(rf"\A(?:{pattern})\Z")) for name, pattern, firsts in _WORDS if first in firsts]
    for first in ["", *"~ntf<-+.0123456789"]
}
"""The same as PyYAML takes them: first character -> tags and patterns."""


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's parser with the scalars above, bounded as it reads, so that a deep or huge file stops early."""

    yaml_implicit_resolvers: ClassVar = RESOLVERS  # type: ignore[misc]  # a class variable there too

    def __init__(self, text: str, path: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._path = path
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, counting nodes and depth."""
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_NESTING or self._nodes > MAX_NODES:
            raise (_too_deep if self._depth > MAX_NESTING else too_many)(self._path, self.line + 1)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _too_deep(path: str, line: int) -> FileError:
    return FileError(f"is nested more than {MAX_NESTING} levels deep", path=path, line=line)


def too_many(path: str, line: int) -> FileError:
    """Make the error for a file with more than MAX_NODES."""
    return FileError(f"holds more than {MAX_NODES:,} values with its aliases expanded", path=path, line=line)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _bound(top: yaml.Node, path: str) -> None:
    """Refuse what would be too large with aliases expanded, by counting instead of expanding."""
    sizes: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()

    def measured(node: yaml.Node) -> tuple[int, int]:
        if id(node) in open_:
            raise FileError("an alias refers to a value that contains it", path=path, line=_line(node))
        if id(node) not in sizes:
            open_.add(id(node))
            below = [measured(child) for child in _children(node)]
            open_.discard(id(node))
            count, depth = 1 + sum(size for size, _ in below), 1 + max((deep for _, deep in below), default=0)
            if count > MAX_NODES:
                raise too_many(path, _line(node))
            if depth > MAX_NESTING:
                raise _too_deep(path, _line(node))
            sizes[id(node)] = count, depth
        return sizes[id(node)]

    measured(top)


@dataclass(frozen=True, slots=True)
class _Values:
    """Converts nodes to values, and notes the place of each."""

    path: str
    places: dict[Field, Place]

    def mapping(self, node: yaml.MappingNode, field: Field) -> dict[str, object]:
        """Convert a mapping, including what it merges."""
        made: dict[str, object] = {}
        self.places[field] = self._place(node)
        for name, (key, value) in self._pairs(node).items():
            made[name] = self.value(value, (*field, name))
            self.places[*field, name] = self._place(key)
        return made

    def _pairs(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Collect a mapping's own keys over those it merges; of several merged mappings the first wins."""
        self._plain(node, "map")
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if not isinstance(source, yaml.MappingNode):
                        raise self._refusal("<< merges mappings only; give it an alias of one", source)
                    merged = self._pairs(source) | merged
            elif (name := self._key(key)) in own:
                raise self._refusal(f"the key {name!r} appears twice", key)
            else:
                own[name] = key, value
        return merged | own

    def value(self, node: yaml.Node, field: Field) -> object:
        """Convert any node."""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, field)
        self.places[field] = self._place(node)
        if isinstance(node, yaml.SequenceNode):
            self._plain(node, "seq")
            return [self.value(child, (*field, index)) for index, child in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> object:
        text = self._text(node)
        try:
            match node.tag.removeprefix(_TAG):
                case "str" | "merge":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text]
                case "int":
                    return int(text, 0 if text[:2] in {"0x", "0o"} else 10)
                case "float" if math.isfinite(number := float(text)):
                    return number
        except (KeyError, ValueError):
            raise self._refusal(f"{text[:40]!r} is not a usable {node.tag.removeprefix(_TAG)}", node) from None
        raise self._refusal(f"{text[:40]!r} with the tag {node.tag.replace(_TAG, '!!')} is not a plain value", node)

    def _plain(self, node: yaml.Node, kind: str) -> None:
        if node.tag != _TAG + kind:
            raise self._refusal(f"the tag {node.tag.replace(_TAG, '!!')} is not supported; write plain values", node)

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_TAG}str":
            raise self._refusal("a key must be text; put it in quotes", node)
        return self._text(node)

    def _text(self, node: yaml.Node) -> str:
        """Return a scalar's text; a quoted escape may yield a forbidden character, or half of one."""
        text = str(node.value)
        for character in text:
            if unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t":
                raise self._refusal(f"the character U+{ord(character):04X} is not allowed in a file", node)
        return text

    def _place(self, node: yaml.Node) -> Place:
        return Place(self.path, _line(node))

    def _refusal(self, message: str, node: yaml.Node) -> FileError:
        return FileError(message, path=self.path, line=_line(node))
