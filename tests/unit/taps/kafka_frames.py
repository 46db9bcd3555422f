"""Kafka's messages as kio itself writes them, for the tests of taps."""

from __future__ import annotations

import dataclasses
import io
import struct
from datetime import datetime, timedelta
from typing import Any

from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.schema.index import api_key_map, schema_name_map
from kio.serial import entity_writer
from kio.static.primitive import Records

from harness.taps.kafka_schema import NAMES

KEYS = {name: key for key, name in NAMES.items()}
VERSIONS = {key: sorted(schema_name_map[name]) for key, name in api_key_map.items()}


def written(entity) -> bytes:
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


def framed(*parts: bytes) -> bytes:
    data = b"".join(parts)
    return len(data).to_bytes(4, "big") + data


def request(entity, number=7, client=b"app") -> bytes:
    """A request with its header."""
    kind: Any = type(entity)
    head = [int(part).to_bytes(2, "big") for part in (kind.__api_key__, kind.__version__)]
    tags = b"\0" if kind.__header_schema__.__flexible__ else b""
    return framed(*head, number.to_bytes(4, "big"), len(client).to_bytes(2, "big"), client, tags, written(entity))


def reply(entity, number=7) -> bytes:
    """A reply with its header."""
    kind: Any = type(entity)
    tags = b"\0" if kind.__header_schema__.__flexible__ else b""
    return framed(number.to_bytes(4, "big"), tags, written(entity))


def kind_of(side: str, key: int, version: int) -> Any:
    return load_request_schema(key, version) if side == "request" else load_response_schema(key, version)


def made(side: str, api: str, version: int, **fields: Any) -> Any:
    """A message with these fields, lists of dicts for lists of its parts, and nothing in the others."""
    return _made(kind_of(side, KEYS[api], version), fields)


def _made(kind: Any, given: dict[str, Any]) -> Any:
    values = {}
    hints = {field.name: field for field in dataclasses.fields(kind)}
    assert given.keys() <= hints.keys(), given.keys() - hints.keys()
    for name, field in hints.items():
        if name in given:
            value = given[name]
            if isinstance(value, list):
                value = tuple(_made(_inner(field.type), one) if isinstance(one, dict) else one for one in value)
            elif isinstance(value, bytes) and field.metadata.get("kafka_type") == "records":
                value = Records(value)
            elif field.metadata.get("kafka_type") == "error_code":
                value = ErrorCode(value)
            values[name] = value
        elif field.default is dataclasses.MISSING:
            values[name] = _nothing(field)
    return kind(**values)


def _inner(kind: Any) -> Any:
    for one in getattr(kind, "__args__", ()):
        if dataclasses.is_dataclass(one):
            return one
        if found := _inner(one):
            return found
    return None


def _nothing(field: Any) -> Any:
    text = str(field.type)
    if text.startswith("tuple"):
        return ()
    if "None" in text:
        return None
    if dataclasses.is_dataclass(field.type):
        return _made(field.type, {})
    return {
        "string": "",
        "bytes": b"",
        "bool": False,
        "timedelta_i32": timedelta(0),
        "timedelta_i64": timedelta(0),
        "error_code": ErrorCode.none,
    }.get(field.metadata["kafka_type"], 0)


def plain(value: Any) -> Any:
    """A message as a tap reads it: dicts and lists, times in milliseconds, opaque bytes and tagged fields left out."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain_field(field.metadata.get("kafka_type"), getattr(value, field.name))
            for field in dataclasses.fields(value)
            if "tag" not in field.metadata
        }
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return value


def _plain_field(kind: str | None, value: Any) -> Any:
    if kind in {"bytes", "records"}:
        return None
    if kind == "float64":
        return struct.pack(">d", value)
    if kind == "datetime_i64" and value is None:
        return -1
    return plain(value)
