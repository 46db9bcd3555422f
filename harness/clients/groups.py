"""A group's committed offsets, and its members' partitions in either of Kafka's group protocols.

The layouts are those of ConsumerGroupDescribeRequest.json and …Response.json, version 0, in Kafka's sources (KIP-848).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import IncompatibleBrokerVersion, NoError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields
from aiokafka.structs import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.admin import AIOKafkaAdminClient

_UNSEEN = frozenset({35, 69})
"""UNSUPPORTED_VERSION, from a broker with the newer protocol disabled, and GROUP_ID_NOT_FOUND."""

_CLASSIC = "consumer"
"""The protocol type of a classic group that assigns partitions to its members."""

_TEXT = CompactString("utf-8")
_ASSIGNMENT = Schema(
    (
        "partitions",
        CompactArray(
            ("topic_id_high", Int64),
            ("topic_id_low", Int64),
            ("topic", _TEXT),
            ("partitions", CompactArray(Int32)),
            ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)
_MEMBER = (
    ("member_id", _TEXT),
    ("instance_id", _TEXT),
    ("rack_id", _TEXT),
    ("member_epoch", Int32),
    ("client_id", _TEXT),
    ("client_host", _TEXT),
    ("subscribed_topics", CompactArray(_TEXT)),
    ("subscribed_regex", _TEXT),
    ("assignment", _ASSIGNMENT),
    ("target", _ASSIGNMENT),
    ("tags", TaggedFields),
)


class _Described(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 69
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            CompactArray(
                ("error_code", Int16),
                ("error_message", _TEXT),
                ("group", _TEXT),
                ("state", _TEXT),
                ("group_epoch", Int32),
                ("assignment_epoch", Int32),
                ("assignor", _TEXT),
                ("members", CompactArray(*_MEMBER)),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeStruct(RequestStruct):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 69
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Described
    SCHEMA = Schema(
        ("groups", CompactArray(_TEXT)), ("include_authorized_operations", Boolean), ("tags", TaggedFields)
    )


class _Describe(Request[_DescribeStruct]):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 69

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_DescribeStruct]) -> _DescribeStruct:
        return request_struct_class([self._group], False, {})  # noqa: FBT003 - the layout's own order


async def committed(admin: AIOKafkaAdminClient, group: str) -> Mapping[TopicPartition, int]:
    """Return the offsets that a group has committed. Raises KafkaError if the broker does not answer, or refuses.

    aiokafka's own call takes a refusal, which names no topic, for a group that has committed nothing.
    """
    node = await admin.find_coordinator(group)
    answer = (await admin._send_request(OffsetFetchRequest(group, None), node)).to_object()  # noqa: SLF001 - as above
    codes = [
        answer["error_code"],
        *(part["error_code"] for topic in answer["topics"] for part in topic["partitions"]),
    ]
    for code in codes:
        if (error := for_code(code)) is not NoError:
            raise error(f"the offsets of group {group} cannot be read")
    return {
        TopicPartition(topic["topic"], part["partition"]): part["offset"]
        for topic in answer["topics"]
        for part in topic["partitions"]
    }


async def members(admin: AIOKafkaAdminClient, group: str) -> Mapping[TopicPartition, str] | None:
    """Return partition -> member id, as assigned now.

    None if the broker does not assign the group's partitions: it does not know the group (any more), the clients
    choose partitions themselves, or the group's protocol is neither of the two. Raises KafkaError if the broker does
    not answer.
    """
    node = await admin.find_coordinator(group)
    assigned = await _classic(admin, node, group)
    return assigned if assigned is not None else await _newer(admin, node, group)


async def _classic(admin: AIOKafkaAdminClient, node: int, group: str) -> Mapping[TopicPartition, str] | None:
    (answer,) = await admin.describe_consumer_groups([group], node)
    (described,) = answer.to_object()["groups"]
    _raise(described)
    # Asked this way, the broker reports a group of the newer protocol as dead, like one that does not exist.
    if described["state"] == "Dead" or described["protocol_type"] != _CLASSIC:
        return None
    return {
        tp: str(member["member_id"])
        for member in described["members"]
        if member["member_assignment"]
        for tp in ConsumerProtocolMemberAssignment.decode(member["member_assignment"]).partitions()
    }


async def _newer(admin: AIOKafkaAdminClient, node: int, group: str) -> Mapping[TopicPartition, str] | None:
    try:
        answer = await admin._send_request(_Describe(group), node)  # noqa: SLF001 - no public call takes any request
    except IncompatibleBrokerVersion:
        return None
    (described,) = answer.to_object()["groups"]
    if described["error_code"] in _UNSEEN:
        return None
    _raise(described)
    return {
        TopicPartition(topic["topic"], partition): str(member["member_id"])
        for member in described["members"]
        for topic in member["assignment"]["partitions"]
        for partition in topic["partitions"]
    }


def _raise(described: Mapping[str, Any]) -> None:
    error = for_code(described["error_code"])
    if error is not NoError:
        raise error(f"the group {described['group']} cannot be described")
