"""Kafka as another library writes it: each request of aiokafka's, and the reply that it expects."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.protocol import admin, commit, coordination, fetch, group, metadata, offset, produce, transaction, types
from aiokafka.protocol.api import RequestStruct

from harness.taps.kafka import KafkaParser
from harness.taps.kafka_schema import NAMES, schema
from tests.unit.taps.kafka_frames import framed

WRONG = {"DescribeGroupsRequest_v3", "DescribeAclsRequest_v2"}
"""The first expects the reply of another version, the second is written without the compact lengths of its own."""

MODULES = (admin, commit, coordination, fetch, group, metadata, offset, produce, transaction)
CLASSES: list[Any] = [found for module in MODULES for found in vars(module).values() if isinstance(found, type)]
KNOWN = [
    found
    for found in CLASSES
    if issubclass(found, RequestStruct)
    and hasattr(found, "API_KEY")
    and found.__name__ not in WRONG
    and schema(found.API_KEY, found.API_VERSION, "request") is not None
]


def value(kind: Any) -> Any:
    """A value of one of aiokafka's types: one of everything."""
    if isinstance(kind, types.Schema):
        return [value(field) for field in kind.fields]
    if isinstance(kind, types.Array):
        return [value(kind.array_of)]
    if isinstance(kind, types.CompactArray):
        return [value(kind.array_of)]
    if isinstance(kind, types.String):
        return "text"
    if kind in {types.Bytes, types.CompactBytes}:
        return b"bytes"
    return {} if kind is types.TaggedFields else 1


def written(kind: type) -> bytes:
    made: Any = kind
    return made(*value(made.SCHEMA)).encode()


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.__name__)
def test_it_is_understood(kind) -> None:
    parser = KafkaParser()
    request = kind(*value(kind.SCHEMA))
    head = request.build_request_header(7, "app").encode()
    (asked,) = parser.requests.feed(framed(head, request.encode()))
    assert asked.command == NAMES[kind.API_KEY]
    assert asked.memo.body is not None, "it was read to its end"
    if asked.command in {
        "OffsetCommit",
        "JoinGroup",
        "SyncGroup",
        "Heartbeat",
        "LeaveGroup",
        "EndTxn",
        "Produce",
        "Fetch",
    }:
        assert asked.key == "text"
    tags = b"\0" if kind.FLEXIBLE_VERSION else b""
    (answer,) = parser.replies.feed(framed(b"\0\0\0\7", tags, written(kind.RESPONSE_TYPE)))
    expected = "" if asked.command == "Fetch" and kind.API_VERSION < 7 else "OFFSET_OUT_OF_RANGE"
    assert answer.kind == expected


def test_there_are_many() -> None:
    assert {"Produce", "Fetch", "OffsetCommit", "JoinGroup", "EndTxn"} <= {NAMES[kind.API_KEY] for kind in KNOWN}
