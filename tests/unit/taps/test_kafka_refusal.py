"""An error that a tap makes up answers that very request: each topic and partition that it names."""

from __future__ import annotations

from uuid import UUID

import pytest
from kio.serial import entity_reader

from harness.errors import FaultError
from harness.taps.kafka import KafkaParser
from harness.taps.kafka_refusal import answerable
from harness.taps.kafka_schema import ERRORS, NAMES
from tests.unit.taps.kafka_frames import KEYS, VERSIONS, framed, kind_of, made, request


def asked(entity, number=7):
    """A parser that has got a request, and that request."""
    parser = KafkaParser()
    (message,) = parser.requests.feed(request(entity, number))
    return parser, message


def answered(entity, error, number=7):
    """The reply that a tap makes, as kio reads it."""
    parser, message = asked(entity, number)
    data = parser.refusal(message, error)()
    kind = kind_of("reply", type(entity).__api_key__, type(entity).__version__)
    header = 5 if kind.__header_schema__.__flexible__ else 4
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert int.from_bytes(data[4:8], "big", signed=True) == number
    found, size = entity_reader(kind)(data, 4 + header)
    assert size == len(data) - 4 - header
    (reply,) = parser.replies.feed(data)
    assert reply.kind in {error, "", "ok"}, "ok of the whole, or a version that says nothing of it"
    return found


def places(reply):
    """Topic, partition and error of each partition in a reply."""
    found = []
    for topic in getattr(reply, "topics", None) or getattr(reply, "responses", None) or ():
        name = getattr(topic, "name", None) or getattr(topic, "topic", None) or topic.topic_id
        for part in getattr(topic, "partitions", None) or topic.partition_responses:
            index = part.index if hasattr(part, "index") else getattr(part, "partition_index", None)
            found.append((name, part.partition if index is None else index, part.error_code))
    return found


TOPIC_ID = UUID(int=5)
COMMITS = [
    {"name": "a", "partitions": [{"partition_index": 0, "committed_offset": 3}, {"partition_index": 4}]},
    {"name": "b", "partitions": [{"partition_index": 1}]},
]
PLACES = [("a", 0), ("a", 4), ("b", 1)]


@pytest.mark.parametrize("version", [2, 5, 8, 9])
@pytest.mark.parametrize("api", ["OffsetCommit", "TxnOffsetCommit"])
def test_each_partition_of_a_commit_gets_it(api, version) -> None:
    if version not in VERSIONS[KEYS[api]]:
        return
    reply = answered(made("request", api, version, group_id="g", topics=COMMITS), "NOT_COORDINATOR")
    assert places(reply) == [(*place, ERRORS["NOT_COORDINATOR"]) for place in PLACES]


@pytest.mark.parametrize("version", [3, 8, 9, 12])
def test_each_partition_of_a_produce_gets_it_and_no_offset(version) -> None:
    topics = [
        {"name": "a", "partition_data": [{"index": 0, "records": b"x" * 99}, {"index": 4, "records": b"x"}]},
        {"name": "b", "partition_data": [{"index": 1, "records": None}]},
    ]
    reply = answered(made("request", "Produce", version, acks=-1, topic_data=topics), "NOT_LEADER_OR_FOLLOWER")
    assert places(reply) == [(*place, 6) for place in PLACES]
    assert {part.base_offset for topic in reply.responses for part in topic.partition_responses} == {-1}


def test_a_produce_that_names_topics_by_id_gets_it() -> None:
    topics = [{"topic_id": TOPIC_ID, "partition_data": [{"index": 2, "records": b"x"}]}]
    reply = answered(made("request", "Produce", 13, acks=1, topic_data=topics), "UNKNOWN_TOPIC_ID")
    assert places(reply) == [(TOPIC_ID, 2, 100)]


@pytest.mark.parametrize("version", [4, 7, 11, 12, 13, 18])
def test_each_partition_of_a_fetch_gets_it_and_not_the_whole(version) -> None:
    named = {"topic_id": TOPIC_ID} if version >= 13 else {"topic": "a"}
    topics = [{**named, "partitions": [{"partition": 3, "fetch_offset": 9}, {"partition": 4}]}]
    reply = answered(made("request", "Fetch", version, topics=topics), "OFFSET_OUT_OF_RANGE")
    name = next(iter(named.values()))
    assert places(reply) == [(name, 3, 1), (name, 4, 1)]
    assert getattr(reply, "error_code", 0) == 0
    assert {part.high_watermark for topic in reply.responses for part in topic.partitions} == {-1}


def test_a_fetch_whose_session_names_no_partition_gets_it_as_a_whole() -> None:
    reply = answered(made("request", "Fetch", 11), "FETCH_SESSION_ID_NOT_FOUND")
    assert (reply.error_code, places(reply)) == (70, [])


def test_each_partition_that_is_asked_for_its_offsets_gets_it() -> None:
    topics = [{"name": "a", "partitions": [{"partition_index": 0, "timestamp": 77}]}]
    reply = answered(made("request", "ListOffsets", 7, topics=topics), "UNKNOWN_TOPIC_OR_PARTITION")
    assert places(reply) == [("a", 0, 3)]
    assert reply.topics[0].partitions[0].timestamp == -1


@pytest.mark.parametrize(
    ("api", "version", "error"),
    [
        ("JoinGroup", 0, "REBALANCE_IN_PROGRESS"),
        ("JoinGroup", 9, "COORDINATOR_LOAD_IN_PROGRESS"),
        ("SyncGroup", 5, "REBALANCE_IN_PROGRESS"),
        ("Heartbeat", 4, "FENCED_INSTANCE_ID"),
        ("LeaveGroup", 5, "NOT_COORDINATOR"),
        ("FindCoordinator", 2, "COORDINATOR_NOT_AVAILABLE"),
        ("InitProducerId", 4, "COORDINATOR_LOAD_IN_PROGRESS"),
        ("EndTxn", 3, "INVALID_PRODUCER_EPOCH"),
        ("AddOffsetsToTxn", 3, "INVALID_PRODUCER_EPOCH"),
        ("ConsumerGroupHeartbeat", 1, "FENCED_MEMBER_EPOCH"),
        ("OffsetFetch", 7, "NOT_COORDINATOR"),
        ("ApiVersions", 3, "UNSUPPORTED_VERSION"),
    ],
)
def test_where_a_reply_has_one_for_the_whole_it_says_it(api, version, error) -> None:
    assert answered(made("request", api, version), error).error_code == ERRORS[error]


def test_each_group_and_each_coordinator_gets_it() -> None:
    fetches = made(
        "request", "OffsetFetch", 8, groups=[{"group_id": "g", "topics": None}, {"group_id": "h", "topics": None}]
    )
    groups = answered(fetches, "NOT_COORDINATOR").groups
    assert [(group.group_id, group.error_code) for group in groups] == [("g", 16), ("h", 16)]
    finds = made("request", "FindCoordinator", 4, coordinator_keys=["g", "h"])
    found = answered(finds, "COORDINATOR_NOT_AVAILABLE").coordinators
    assert [(one.key, one.error_code, one.port) for one in found] == [("g", 15, -1), ("h", 15, -1)]


def test_each_partition_of_a_transaction_gets_it() -> None:
    topics = [{"name": "a", "partitions": [0, 4]}]
    old = answered(made("request", "AddPartitionsToTxn", 3, v3_and_below_topics=topics), "INVALID_PRODUCER_EPOCH")
    parts = old.results_by_topic_v3_and_below[0].results_by_partition
    assert [(part.partition_index, part.partition_error_code) for part in parts] == [(0, 47), (4, 47)]
    asks = made("request", "AddPartitionsToTxn", 4, transactions=[{"transactional_id": "t", "topics": topics}])
    (new,) = answered(asks, "INVALID_PRODUCER_EPOCH").results_by_transaction
    parts = new.topic_results[0].results_by_partition
    assert [(part.partition_index, part.partition_error_code) for part in parts] == [(0, 47), (4, 47)]


def test_each_topic_of_metadata_gets_it() -> None:
    reply = answered(made("request", "Metadata", 12, topics=[{"name": "a"}]), "LEADER_NOT_AVAILABLE")
    assert [(topic.name, topic.error_code) for topic in reply.topics] == [("a", 5)]


@pytest.mark.parametrize(
    ("entity", "said"),
    [
        (made("request", "Metadata", 9, topics=None), "names nothing"),
        (made("request", "OffsetCommit", 8, group_id="g"), "names nothing"),
        (made("request", "Produce", 9, acks=0), "acks=0"),
        (made("request", "OffsetCommit", 8, topics=[{"name": "t", "partitions": [{}] * 120_000}]), "cannot tell"),
    ],
)
def test_what_cannot_be_answered_says_why(entity, said) -> None:
    parser, message = asked(entity)
    with pytest.raises(FaultError, match=said):
        parser.refusal(message, "NOT_COORDINATOR")


def test_a_version_that_no_tap_knows_cannot_be_answered() -> None:
    parser = KafkaParser()
    (message,) = parser.requests.feed(framed(b"\0\x08\0\x63\0\0\0\x07\xff\xff", b"?" * 9))
    with pytest.raises(FaultError, match="does not know this version, 99"):
        parser.refusal(message, "NOT_COORDINATOR")


def test_an_error_that_kafka_does_not_have_is_none() -> None:
    parser, message = asked(made("request", "Heartbeat", 4))
    with pytest.raises(LookupError):
        parser.refusal(message, "LOADING")


def test_a_produce_is_answered_once_it_has_passed_even_if_a_reply_was_dropped() -> None:
    parts = [{"index": 0, "records": b"x" * 500}, {"index": 1, "records": b"x" * 500}]
    data = request(made("request", "Produce", 9, acks=1, topic_data=[{"name": "a", "partition_data": parts}]))
    parser = KafkaParser()
    (message,) = parser.requests.feed(data[:100])
    later = parser.refusal(message, "REQUEST_TIMED_OUT")
    parser.took(message)
    assert later() is None
    parser.requests.feed(data[100:])
    assert b"\0\0\0\x01\0\x07" in (later() or b"")
    assert parser._unanswered._kept == 0


NEED_NAMES = {name for name in NAMES.values() if answerable(name)} & {
    "AddPartitionsToTxn",
    "ConsumerGroupDescribe",
    "CreateTopics",
    "DeleteGroups",
    "DeleteRecords",
    "DescribeGroups",
    "DescribeLogDirs",
    "ElectLeaders",
    "Fetch",
    "FindCoordinator",
    "ListOffsets",
    "Metadata",
    "OffsetCommit",
    "OffsetFetch",
    "OffsetForLeaderEpoch",
    "Produce",
    "TxnOffsetCommit",
}
"""APIs of which some version has errors of parts only, so that a request that names none cannot be answered."""


@pytest.mark.parametrize("api", [name for name in NAMES.values() if answerable(name)])
def test_a_request_of_any_version_is_answered_or_said_not_to_be(api) -> None:
    for version in {VERSIONS[KEYS[api]][0], VERSIONS[KEYS[api]][-1]}:
        try:
            reply = answered(made("request", api, version), "REQUEST_TIMED_OUT")
        except FaultError:
            assert api in NEED_NAMES
        else:
            assert "request_timed_out" in repr(reply)
