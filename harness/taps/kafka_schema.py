"""Reads Kafka's messages within their bounds, by kio's definitions of every API and version.

kio's own reader allocates whatever an array's length claims, which ends the process if memory runs out: so untrusted
bytes are read here. Records and other opaque bytes are skipped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin
from uuid import UUID

from kio.index import KioIndexError, load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.schema.index import api_key_map
from kio.static.protocol import Entity

Schema = type[Entity]
"""A class of kio's: a request or a reply of one version."""

NAMES: Final[Mapping[int, str]] = {
    key: "".join(word.capitalize() for word in name.split("_")) for key, name in api_key_map.items()
}
"""API key -> its name as Kafka spells it: ``OffsetCommit``."""

ERRORS: Final[Mapping[str, int]] = {code.name.upper(): int(code) for code in ErrorCode if code is not ErrorCode.none}
"""Name of an error as Kafka spells it -> its code."""

ONLY_AFTER: Final = frozenset(
    {"DUPLICATE_SEQUENCE_NUMBER", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "TOPIC_ALREADY_EXISTS"}
)
"""Errors by which a client learns that what it asked for is there."""

AFTER: Final = ONLY_AFTER | {
    "COORDINATOR_NOT_AVAILABLE",
    "KAFKA_STORAGE_ERROR",
    "NETWORK_EXCEPTION",
    "NOT_COORDINATOR",
    "NOT_LEADER_OR_FOLLOWER",
    "REQUEST_TIMED_OUT",
    "UNKNOWN_SERVER_ERROR",
}
"""Errors that a broker may give once it has appended what it was sent, as when it loses its leadership or its followers. By
any other it says that it has not."""

FINAL: Final = frozenset(
    """
    CLUSTER_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED GROUP_ID_NOT_FOUND GROUP_MAX_SIZE_REACHED
    ILLEGAL_SASL_STATE INCONSISTENT_GROUP_PROTOCOL INVALID_COMMIT_OFFSET_SIZE INVALID_GROUP_ID INVALID_RECORD
    INVALID_REGULAR_EXPRESSION INVALID_REQUEST INVALID_REQUIRED_ACKS INVALID_SESSION_TIMEOUT INVALID_TIMESTAMP
    INVALID_TOPIC_EXCEPTION INVALID_TRANSACTION_TIMEOUT INVALID_TXN_STATE MESSAGE_TOO_LARGE OFFSET_METADATA_TOO_LARGE
    OFFSET_OUT_OF_RANGE POLICY_VIOLATION PRODUCER_FENCED RECORD_LIST_TOO_LARGE SASL_AUTHENTICATION_FAILED SECURITY_DISABLED
    TOPIC_AUTHORIZATION_FAILED TRANSACTIONAL_ID_AUTHORIZATION_FAILED UNRELEASED_INSTANCE_ID UNSUPPORTED_ASSIGNOR
    UNSUPPORTED_COMPRESSION_TYPE UNSUPPORTED_FOR_MESSAGE_FORMAT UNSUPPORTED_SASL_MECHANISM UNSUPPORTED_VERSION
    """.split()  # noqa: SIM905 - so many words read best as a text
)
"""Errors about the record, the client or its rights, by which a right client gives up for good. A broker in trouble gives
others, against which it helps to try again."""

MOST: Final = 20_000
"""Array elements read of one message; reading stops at the array that exceeds it."""

NOTED: Final = frozenset({"host", "port", "max_version"})
"""Fields whose places a cursor notes."""

_NUMBERS: Final = {
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "timedelta_i32": 4,
    "timedelta_i64": 8,
    "datetime_i64": 8,
}
"""Sizes, in bytes, of the types that are read as integers."""

SIZES: Final = {**_NUMBERS, "bool": 1, "float64": 8, "uint16": 2, "uuid": 16, "error_code": 2}
"""Sizes, in bytes, of all fixed-size types."""

Read = Callable[["Cursor"], object]


class Misfit(Exception):
    """The bytes are not what the definition says."""


class Cursor:
    """A position in a message's bytes. ``error`` is the first nonzero error code read."""

    __slots__ = ("_data", "_room", "at", "error", "noted", "tagged")

    def __init__(self, data: bytes) -> None:
        self._data, self.at, self._room = data, 0, MOST
        self.error = 0
        self.noted: list[tuple[str, int, int, object]] = []
        """The fields named in ``NOTED``: name, where they begin and end, value."""
        self.tagged: list[tuple[int, int]] = []
        """Offset and number of each tag among the tagged fields read last."""

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes; raises Misfit if there are fewer."""
        end = self.at + size
        if size < 0 or end > len(self._data):
            raise Misfit
        found, self.at = self._data[self.at : end], end
        return found

    def rest(self) -> bytes:
        """Return all bytes that are left."""
        return self.take(len(self._data) - self.at)

    def byte(self, at: int) -> int:
        """Return the byte at an offset, without moving."""
        return self._data[at]

    def number(self, size: int) -> int:
        """Return a signed number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "big", signed=True)

    def varint(self) -> int:
        """Return an unsigned number of one to five bytes."""
        found = 0
        for shift in range(0, 35, 7):
            (byte,) = self.take(1)
            found |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the continuation bit
                return found
        raise Misfit

    def length(self, size: int | None) -> int:
        """Return a length of ``size`` bytes, or a compact one if that is None; -1 means null."""
        return self.number(size) if size is not None else self.varint() - 1

    def count(self, size: int | None) -> int:
        """Return an array's length, or -1 for null; raises Misfit if the bytes left cannot hold as many elements."""
        found = self.length(size)
        self._room -= max(found, 0)
        if self._room < 0 or found > len(self._data) - self.at:
            raise Misfit
        return found

    def tags(self) -> None:
        """Skip tagged fields."""
        self.tagged = []
        for _ in range(self.count(None) + 1):
            self.tagged.append((self.at, self.varint()))
            self.take(self.varint())


@cache
def schema(key: int, version: int, side: str) -> Schema | None:
    """Return kio's class of a request or reply; None if it has none."""
    load = load_request_schema if side == "request" else load_response_schema
    try:
        return load(key, version)
    except KioIndexError:
        return None


@cache
def highest(key: int) -> int:
    """Return the highest version of an API that kio knows both sides of; -1 if it knows none."""
    known = (v for v in range(64) if schema(key, v, "request") is not None and schema(key, v, "reply") is not None)
    return max(known, default=-1)


def error_name(code: int) -> str:
    """Return what Kafka calls an error."""
    try:
        return ErrorCode(code).name.upper()
    except ValueError:
        return f"error {code}"


def flexible_header(of: Schema) -> bool:
    """Whether the header of a request or reply ends with tagged fields."""
    header: Any = of
    return bool(header.__header_schema__.__flexible__)


def read(of: Schema, cursor: Cursor) -> tuple[dict[str, Any], bool]:
    """Return a message's fields by name, up to the first that cannot be parsed, and whether all could."""
    found: dict[str, Any] = {}
    try:
        _fill(of, cursor, found)
    except (Misfit, UnicodeDecodeError):
        return found, False
    return found, True


def _fill(of: Any, cursor: Cursor, found: dict[str, Any]) -> None:  # noqa: ANN401 - a class of kio's
    fields, flexible = _fields(of)
    for name, field in fields:
        found[name] = field(cursor)
    if flexible:
        cursor.tags()


@cache
def _fields(of: Any) -> tuple[tuple[tuple[str, Read], ...], bool]:  # noqa: ANN401 - a class of kio's
    """Return a reader for each untagged field of a class, in order, and whether tagged fields follow."""
    flexible = bool(of.__flexible__)
    plain = [field for field in dataclasses.fields(of) if "tag" not in field.metadata]
    reads = ((field.name, _field(field, flexible=flexible)) for field in plain)
    return tuple((name, _noted(name, read) if name in NOTED else read) for name, read in reads), flexible


def _noted(name: str, read: Read) -> Read:
    def noted(cursor: Cursor) -> object:
        begun = cursor.at
        value = read(cursor)
        cursor.noted.append((name, begun, cursor.at, value))
        return value

    return noted


def _field(field: dataclasses.Field[Any], *, flexible: bool) -> Read:
    kind, nullable = without_none(field.type)
    if get_origin(kind) is tuple:
        inner, _ = without_none(get_args(kind)[0])
        return _array(_value(field, inner, nullable=False, flexible=flexible), None if flexible else 4)
    return _value(field, kind, nullable=nullable, flexible=flexible)


def without_none(kind: Any) -> tuple[Any, bool]:  # noqa: ANN401 - any annotation
    """Return a field's type without None, and whether it may be None."""
    if get_origin(kind) is UnionType:
        (inner,) = (one for one in get_args(kind) if one is not NoneType)
        return inner, True
    return kind, False


def _array(element: Read, size: int | None) -> Read:
    def elements(cursor: Cursor) -> list[object] | None:
        count = cursor.count(size)
        return [element(cursor) for _ in range(count)] if count >= 0 else None

    return elements


def _value(field: dataclasses.Field[Any], kind: Any, *, nullable: bool, flexible: bool) -> Read:  # noqa: ANN401
    name = field.metadata.get("kafka_type")
    if name is None:
        return _entity(kind, nullable=nullable)
    if name in _NUMBERS:
        size = _NUMBERS[name]
        return lambda cursor: cursor.number(size)
    return {
        "string": _compact_text if flexible else _text,
        "bytes": _compact_opaque if flexible else _opaque,
        "records": _compact_opaque if flexible else _opaque,
        "bool": lambda cursor: cursor.take(1) != b"\0",
        "float64": lambda cursor: cursor.take(8),
        "uint16": lambda cursor: int.from_bytes(cursor.take(2), "big"),
        "uuid": _uuid,
        "error_code": _error,
    }[name]


def _entity(of: Any, *, nullable: bool) -> Read:  # noqa: ANN401 - a class of kio's
    def entity(cursor: Cursor) -> dict[str, Any] | None:
        if nullable and cursor.number(1) < 0:
            return None
        found: dict[str, Any] = {}
        _fill(of, cursor, found)
        return found

    return entity


def _text(cursor: Cursor) -> str | None:
    size = cursor.length(2)
    return cursor.take(size).decode() if size >= 0 else None


def _compact_text(cursor: Cursor) -> str | None:
    size = cursor.length(None)
    return cursor.take(size).decode() if size >= 0 else None


def _opaque(cursor: Cursor) -> None:
    cursor.take(max(cursor.length(4), 0))


def _compact_opaque(cursor: Cursor) -> None:
    cursor.take(max(cursor.length(None), 0))


def _uuid(cursor: Cursor) -> UUID | None:
    found = cursor.take(16)
    return UUID(bytes=found) if any(found) else None


def _error(cursor: Cursor) -> int:
    code = cursor.number(2)
    cursor.error = cursor.error or code
    return code
