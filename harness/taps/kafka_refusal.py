"""Makes a Kafka reply that reports an error, for each topic and partition of its request or for the request."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from kio.schema.errors import ErrorCode
from kio.serial import entity_writer

from harness.errors import FaultError
from harness.taps.kafka_schema import NAMES, Cursor, Schema, flexible_header, read, schema

if TYPE_CHECKING:
    from harness.taps.kafka_asked import Asked
    from harness.taps.message import Answer, Message

_PARTITIONS: Final = {"topics": "topics", "partitions": "partitions"}

_MIRRORED: Final[Mapping[str, Mapping[str, str]]] = {
    "Produce": {"responses": "topic_data", "partition_responses": "partition_data"},
    "Fetch": {"responses": "topics", "partitions": "partitions"},
    "ListOffsets": _PARTITIONS,
    "Metadata": {"topics": "topics"},
    "OffsetCommit": _PARTITIONS,
    "OffsetFetch": {"topics": "topics", "partitions": "partition_indexes", "groups": "groups"},
    "FindCoordinator": {"coordinators": "coordinator_keys"},
    "DescribeGroups": {"groups": "groups"},
    "CreateTopics": {"topics": "topics"},
    "DeleteRecords": _PARTITIONS,
    "OffsetForLeaderEpoch": _PARTITIONS,
    "AddPartitionsToTxn": {
        "results_by_topic_v3_and_below": "v3_and_below_topics",
        "results_by_transaction": "transactions",
        "topic_results": "topics",
        "results_by_partition": "partitions",
    },
    "TxnOffsetCommit": _PARTITIONS,
    "DeleteGroups": {"results": "groups_names"},
    "ConsumerGroupDescribe": {"groups": "group_ids"},
    "ShareFetch": {"responses": "topics", "partitions": "partitions"},
    "ShareAcknowledge": {"responses": "topics", "partitions": "partitions"},
}
"""API -> a list in its reply -> the list in its request that it answers one by one."""

_NOT_AT_THE_TOP: Final = frozenset({"Fetch", "Metadata", "AddPartitionsToTxn", "ShareFetch", "ShareAcknowledge"})
"""APIs whose replies have a top-level error and errors of parts, and where the former would hide the latter."""

_SAME: Final = frozenset({"name", "topic", "topic_id", "index", "partition", "group_id", "key", "transactional_id"})
"""Fields that name a part, under the same name in reply and request."""

_OTHER: Final = {"partition_index": ("partition_index", "partition")}
"""A field that names a part in a reply -> what a request may call it."""

_EMPTY: Final[Mapping[type, object]] = {
    timedelta: timedelta(0),
    datetime: datetime.fromtimestamp(0, UTC),
    bool: False,
    str: "",
    bytes: b"",
}
"""Empty value by field type; for numbers it is -1."""

_ONE: Final = ""
"""Key for a part that is a bare name or number, and not a dict."""


def answerable(api: str) -> bool:
    """Whether an API's replies can carry an error that a tap makes up."""
    key = next(key for key, name in NAMES.items() if name == api)
    versions = (schema(key, version, "reply") for version in range(32))
    return api in _MIRRORED or any(kind is not None and _has_error(kind) for kind in versions)


def refusal(request: Message, asked: Asked, code: int) -> Answer:
    """Return a function that makes the reply; raises FaultError if no reply can carry this error."""
    kind = schema(asked.key, asked.version, "reply")
    if kind is None:
        raise FaultError(
            f"{request.command}: a tap does not know this version, {asked.version}, and cannot answer it"
        )
    if not request.answered:
        raise FaultError(f"{request.command}: it waits for no reply (acks=0), so it cannot be answered with an error")
    if asked.body is not None:
        reply = _reply(request.command, asked, kind, code)
        return lambda: reply
    if request.end is not None or not asked.comes:
        raise FaultError(f"{request.command}: a tap cannot tell what it asks for, and so not answer it with an error")

    def later() -> bytes | None:
        if request.end is None:
            return None
        # A malformed request, or one too large to keep, gets no reply; the service's own time-out ends its wait.
        return _reply(request.command, asked, kind, code) if asked.body is not None else b""

    return later


def _reply(api: str, asked: Asked, kind: Schema, code: int) -> bytes:
    asks = schema(asked.key, asked.version, "request")
    fields, _ = read(asks, Cursor(asked.body or b"")) if asks is not None else ({}, False)
    making = _Making(api, ErrorCode(code))
    entity = making.whole(kind, fields)
    if not making.said:
        raise FaultError(f"{api}: this request names nothing that a reply could say an error of")
    out = io.BytesIO()
    out.write(asked.number.to_bytes(4, "big", signed=True))
    if flexible_header(kind):
        out.write(b"\0")
    entity_writer(kind)(out, entity)
    return len(out.getbuffer()).to_bytes(4, "big") + out.getvalue()


def _has_error(kind: Any) -> bool:  # noqa: ANN401 - a class of kio's
    return any(field.metadata.get("kafka_type") == "error_code" for field in dataclasses.fields(kind))


class _Making:
    """Makes one reply; ``said`` counts how often the error is in it."""

    def __init__(self, api: str, error: ErrorCode) -> None:
        self._api, self._error = api, error
        self._mirrored = _MIRRORED.get(api, {})
        self.said = 0

    def whole(self, kind: Any, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - classes of kio's
        """Make the reply, with the error of each part where the API reports it so, else with a top-level error."""
        if not _has_error(kind):
            return self._entity(kind, asked)
        if self._api in _NOT_AT_THE_TOP:
            entity = self._entity(kind, asked, top=ErrorCode.none)
            if self.said:
                return entity
        self._mirrored = {}
        return self._entity(kind, asked)

    def _entity(self, kind: Any, asked: Mapping[str, Any], top: ErrorCode | None = None) -> Any:  # noqa: ANN401
        values: dict[str, Any] = {}
        for field in dataclasses.fields(kind):
            if field.metadata.get("kafka_type") == "error_code":
                values[field.name] = top if top is not None else self._error
                self.said += top is None
            elif field.name in self._mirrored:
                inner = get_args(_without_none(field.type))[0]
                parts = asked.get(self._mirrored[field.name]) or ()
                values[field.name] = tuple(
                    self._entity(inner, part if isinstance(part, dict) else {_ONE: part}) for part in parts
                )
            elif (name := _named(field.name, asked)) is not None:
                values[field.name] = name
            elif field.default is dataclasses.MISSING:
                values[field.name] = _nothing(field)
        return kind(**values)


def _named(field: str, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a name or a number
    """Return a part's name in the request, if the field holds that name."""
    if field not in _SAME and field not in _OTHER:
        return None
    return next((asked[name] for name in (*_OTHER.get(field, (field,)), _ONE) if name in asked), None)


def _nothing(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401 - of the field's type
    """Return the empty value of a field of a reply."""
    kind: Any = _without_none(field.type)
    nullable = kind is not field.type
    if get_origin(kind) is tuple:
        return ()
    if nullable:
        return None
    for base, empty in _EMPTY.items():
        if base in kind.__mro__:
            return empty
    if dataclasses.is_dataclass(kind):
        return _entity_of_nothing(kind)
    return -1


def _entity_of_nothing(kind: Any) -> Any:  # noqa: ANN401 - a class of kio's
    return kind(**{inner.name: _nothing(inner) for inner in dataclasses.fields(kind)})


def _without_none(kind: Any) -> Any:  # noqa: ANN401 - any annotation
    if get_origin(kind) is UnionType:
        return next(one for one in get_args(kind) if one is not NoneType)
    return kind
