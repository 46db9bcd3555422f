"""Kafka's messages are found and understood wherever the bytes are cut; they are written by kio, and read without it."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.static.primitive import Records

from harness.stack import RunNames
from harness.taps.kafka import MOST_PLACES, KafkaParser
from harness.taps.kafka_asked import LARGEST
from harness.taps.kafka_schema import MOST, Cursor, read
from harness.taps.message import NotUnderstood
from harness.taps.names import Names
from tests.unit.taps.kafka_frames import VERSIONS, framed, kind_of, made, plain, reply, request, written
from tests.unit.taps.spans import cut, seen

TOPIC_ID = UUID(int=0xABCDEF)


def parser() -> KafkaParser:
    found = KafkaParser()
    found.names = Names(RunNames("r1"))
    return found


def part(number: int, records: bytes | None = b"x" * 40) -> dict:
    return {"index": number, "records": records}


def commit(topics: dict, version=8, **more):
    named = [
        {"name": topic, "partitions": [{"partition_index": one, "committed_offset": at} for one, at in places]}
        for topic, places in topics.items()
    ]
    return made("request", "OffsetCommit", version, group_id="essay_lifecycle-r1", topics=named, **more)


def committed(error=0, version=8):
    one = {
        "name": "r1.essays",
        "partitions": [{"partition_index": 0, "error_code": 0}, {"partition_index": 1, "error_code": error}],
    }
    return made("reply", "OffsetCommit", version, topics=[one])


def produce(version=9, acks=-1, topics=("r1.essays.sent",), records=b"x" * 40):
    name = "topic_id" if version >= 13 else "name"
    data = [{name: topic, "partition_data": [part(0, records), part(1, records)]} for topic in topics]
    return made("request", "Produce", version, acks=acks, topic_data=data)


def produced(version=9, error=0, offset=40):
    one = {"index": 1, "error_code": error, "base_offset": offset}
    name = {"topic_id": TOPIC_ID} if version >= 13 else {"name": "r1.essays.sent"}
    return made("reply", "Produce", version, responses=[{**name, "partition_responses": [one]}])


def fetch(version=12, topic="r1.essays"):
    return made("request", "Fetch", version, topics=[{"topic": topic, "partitions": [{"partition": 3}]}])


def fetched(version=12, **more):
    one = {"partition_index": 3, "error_code": 6, "records": b"r" * 5000}
    return made("reply", "Fetch", version, responses=[{"topic": "r1.essays", "partitions": [one]}], **more)


# Request, command, key, reply, kind of reply.
EXCHANGES = [
    (made("request", "ApiVersions", 3), "ApiVersions", "", made("reply", "ApiVersions", 3), "ok"),
    # What a broker says that does not know the version, in the format of the first.
    (
        made("request", "ApiVersions", 4),
        "ApiVersions",
        "",
        made("reply", "ApiVersions", 0, error_code=35),
        "UNSUPPORTED_VERSION",
    ),
    (made("request", "Metadata", 1), "Metadata", "", made("reply", "Metadata", 1), "ok"),
    (commit({"r1.essays": [(0, 5)]}), "OffsetCommit", "essay_lifecycle", committed(16), "NOT_COORDINATOR"),
    (commit({"r1.essays": [(0, 5)]}, 2), "OffsetCommit", "essay_lifecycle", committed(0, 2), "ok"),
    (produce(), "Produce", "essays.sent", produced(), "ok"),
    (produce(3, topics=("r1.b", "r1.a")), "Produce", "b", produced(3, 6), "NOT_LEADER_OR_FOLLOWER"),
    (produce(13, topics=(TOPIC_ID,)), "Produce", str(TOPIC_ID), produced(13), "ok"),
    (produce(8, records=None), "Produce", "essays.sent", produced(8), "ok"),
    (produce(topics=("",)), "Produce", "", produced(), "ok"),
    (fetch(), "Fetch", "essays", fetched(), "ok"),
    (fetch(11), "Fetch", "essays", fetched(11, error_code=70), "FETCH_SESSION_ID_NOT_FOUND"),
    (fetch(4, "other"), "Fetch", "other", fetched(4), ""),
    (
        made("request", "JoinGroup", 5, group_id="peer"),
        "JoinGroup",
        "peer",
        made("reply", "JoinGroup", 5, error_code=27),
        "REBALANCE_IN_PROGRESS",
    ),
    (
        made("request", "FindCoordinator", 2, key="essay_lifecycle-r1"),
        "FindCoordinator",
        "essay_lifecycle",
        made("reply", "FindCoordinator", 2),
        "ok",
    ),
    (
        made("request", "FindCoordinator", 4, key_type=1, coordinator_keys=["mover-r1"]),
        "FindCoordinator",
        "mover-r1",
        made("reply", "FindCoordinator", 4, coordinators=[{"error_code": 15}]),
        "COORDINATOR_NOT_AVAILABLE",
    ),
    (
        made("request", "OffsetFetch", 8, groups=[{"group_id": "essay_lifecycle-r1", "topics": None}]),
        "OffsetFetch",
        "essay_lifecycle",
        made("reply", "OffsetFetch", 8),
        "ok",
    ),
    (
        made("request", "EndTxn", 4, transactional_id="mover"),
        "EndTxn",
        "mover",
        made("reply", "EndTxn", 4, error_code=47),
        "INVALID_PRODUCER_EPOCH",
    ),
    (
        made("request", "InitProducerId", 5, transactional_id=None),
        "InitProducerId",
        "",
        made("reply", "InitProducerId", 5),
        "ok",
    ),
    (
        made("request", "ConsumerGroupHeartbeat", 1, group_id="g-r1", topic_partitions=None),
        "ConsumerGroupHeartbeat",
        "g",
        made("reply", "ConsumerGroupHeartbeat", 1, error_code=110),
        "FENCED_MEMBER_EPOCH",
    ),
]


@given(
    st.lists(st.sampled_from(EXCHANGES), max_size=8),
    st.lists(st.integers(0), max_size=20),
    st.lists(st.integers(0), max_size=20),
)
def test_messages_are_found_however_they_are_cut(exchanges, one, other) -> None:
    tapped = parser()
    asked = [request(each[0], number) for number, each in enumerate(exchanges)]
    requests = seen(tapped.requests, cut(b"".join(asked), one))
    assert [(message.command, message.key) for message in requests] == [each[1:3] for each in exchanges]
    assert [message.size for message in requests] == [len(data) for data in asked]
    answers = [reply(each[3], number) for number, each in enumerate(exchanges)]
    replies = seen(tapped.replies, cut(b"".join(answers), other))
    assert [message.kind for message in replies] == [each[4] for each in exchanges]
    assert [message.size for message in replies] == [len(data) for data in answers]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_every_api_and_version_is_read_as_kio_writes_it(data) -> None:
    st.register_type_strategy(Records, st.binary(max_size=30).map(Records))
    key = data.draw(st.sampled_from(sorted(VERSIONS)))
    kind = kind_of(data.draw(st.sampled_from(["request", "reply"])), key, data.draw(st.sampled_from(VERSIONS[key])))
    entity = data.draw(st.from_type(kind))
    assert read(kind, Cursor(written(entity))) == (plain(entity), True)


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_arbitrary_bytes_are_read_or_refused(chunks) -> None:
    tapped = parser()
    for scanner in (tapped.requests, tapped.replies):
        try:
            for chunk in chunks:
                scanner.feed(chunk)
        except NotUnderstood:
            continue


@settings(max_examples=200)
@given(
    st.sampled_from(EXCHANGES),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_a_message_that_lies_about_itself_is_passed_over(exchange, lies, truncated) -> None:
    """Bytes behind the header are changed or cut off: the frame keeps its bounds, and the next one is found."""
    tapped = parser()
    for scanner, whole, header in (
        (tapped.requests, request(exchange[0], 1), 17),
        (tapped.replies, reply(exchange[3], 1), 8),
    ):
        data = bytearray(whole)
        for place, value in lies:
            if len(data) > header:
                data[header + place % (len(data) - header)] = value
        if truncated:
            data = bytearray(framed(bytes(data[4 : max(header, len(data) - 5)])))
        follows = request(EXCHANGES[0][0], 2) if scanner is tapped.requests else reply(EXCHANGES[0][3], 2)
        (lied, next_one) = seen(scanner, [bytes(data), follows])
        assert (lied.size, next_one.size) == (len(data), len(follows))
        if scanner is tapped.requests and not lied.answered:
            return


@pytest.mark.parametrize(
    "hostile",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\x04\0\0\0\x01",
        b"\x7f\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        framed(b"\xff\xff\0\0\0\0\0\x01\0\0"),
        framed(b"\0\0\xff\xff\0\0\0\x01\0\0"),
        framed(b"\0\0\0\x09\0\0\0\x01\xff\xfe"),
        framed(b"\0\0\0\x09\0\0\0\x01\0\x05abcd"),
    ],
)
def test_what_is_not_kafka_is_refused(hostile) -> None:
    with pytest.raises(NotUnderstood):
        parser().requests.feed(hostile)


@pytest.mark.parametrize(
    "hostile", [b"\xff\xff\xff\xff", b"\0\0\0\x03abc", framed(b"\0\0\0\x63"), b"HTTP/1.1 200 OK"]
)
def test_what_answers_nothing_is_refused(hostile) -> None:
    tapped = parser()
    tapped.requests.feed(request(fetch(), 7))
    with pytest.raises(NotUnderstood):
        tapped.replies.feed(hostile)


def test_a_reply_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(NotUnderstood, match="none waits"):
        parser().replies.feed(reply(fetched(), 7))


def test_tokens_behind_the_first_sasl_handshake_are_refused() -> None:
    tapped = parser()
    (handshake,) = tapped.requests.feed(request(made("request", "SaslHandshake", 0, mechanism="PLAIN")))
    assert handshake.command == "SaslHandshake"
    with pytest.raises(NotUnderstood, match="tokens"):
        tapped.requests.feed(framed(b"\0user\0password"))


@pytest.mark.parametrize(("key", "version", "command"), [(99, 0, "API 99"), (8, 99, "OffsetCommit")])
def test_what_kio_does_not_know_passes_and_is_counted(key, version, command) -> None:
    tapped = parser()
    head = struct.pack(">hhih", key, version, 5, -1)
    (message,) = tapped.requests.feed(framed(head, b"\xff" * 30))
    assert (message.command, message.key, message.answered) == (command, "", True)
    (answer,) = tapped.replies.feed(framed(b"\0\0\0\x05", b"\xff" * 30))
    assert answer.kind == ""


@pytest.mark.parametrize(("version", "topics"), [(3, 0x7FFFFFFF), (9, 0xFFFFFFF)])
def test_an_array_whose_length_is_a_lie_takes_no_memory(version, topics) -> None:
    """kio's own reader allocates what such a length says, and ends the process."""
    tapped = parser()
    head = struct.pack(">hhih", 3, version, 5, -1)
    claimed = b"\0\xff\xff\xff\xff\x7f" if version == 9 else struct.pack(">i", topics)
    (message,) = tapped.requests.feed(framed(head, claimed, b"\0" * 1000))
    assert message.command == "Metadata"


def test_more_elements_than_a_tap_reads_are_passed_over_and_the_group_is_known() -> None:
    tapped = parser()
    (message,) = tapped.requests.feed(request(commit({"r1.essays": [(0, 5)] * (MOST + 1)})))
    assert (message.key, message.places) == ("essay_lifecycle", None)


def test_records_stream_past_and_what_is_kept_is_small() -> None:
    tapped = parser()
    data = request(produce(records=b"x" * (8 << 20)))
    met = []
    for at in range(0, len(data), 1 << 16):
        met += tapped.requests.feed(data[at : at + (1 << 16)])
        assert len(tapped.requests._kept) < 100
    (told, ended) = met
    assert told is ended
    assert ended.memo.body is not None
    assert len(ended.memo.body) < 100


def test_the_topic_is_known_before_the_records_have_come() -> None:
    tapped = parser()
    data = request(produce(records=b"x" * 5000))
    at = data.index(b"xxxx")
    (message,) = tapped.requests.feed(data[:at])
    assert (message.key, message.end, tapped.requests.head) == ("essays.sent", None, None)


def test_a_fetched_reply_streams_past() -> None:
    tapped = parser()
    tapped.requests.feed(request(fetch()))
    one = {"partition_index": 3, "records": b"r" * (8 << 20)}
    data = reply(made("reply", "Fetch", 12, responses=[{"topic": "r1.essays", "partitions": [one]}]))
    for at in range(0, len(data), 1 << 16):
        tapped.replies.feed(data[at : at + (1 << 16)])
        assert len(tapped.replies._kept) < 100


def test_requests_without_a_reply_are_remembered_up_to_a_bound() -> None:
    tapped = parser()
    big = request(commit({"r1." + "t" * 30_000: [(0, 5)]}))
    messages = [message for _ in range(100) for message in tapped.requests.feed(big)]
    assert sum(len(message.memo.body or b"") for message in messages) <= LARGEST
    assert messages[-1].memo.body is None
    for _ in messages:
        tapped.replies.feed(reply(committed()))
    assert tapped._unanswered._kept == 0
    (message,) = tapped.requests.feed(big)
    assert message.memo.body is not None


def test_a_produce_without_acknowledgement_gets_no_reply() -> None:
    tapped = parser()
    silent, asked = tapped.requests.feed(request(produce(acks=0), 1) + request(fetch(), 2))
    assert (silent.answered, asked.answered) == (False, True)
    (answer,) = tapped.replies.feed(reply(fetched(), 2))
    assert answer.kind == "ok"


def test_a_request_that_was_taken_is_no_longer_waited_for() -> None:
    tapped = parser()
    taken, _ = tapped.requests.feed(request(fetch(), 1) + request(commit({"r1.essays": [(0, 5)]}), 2))
    tapped.took(taken)
    (answer,) = tapped.replies.feed(reply(committed(16), 2))
    assert answer.kind == "NOT_COORDINATOR"


def test_a_commit_says_its_places_and_a_produce_where_its_records_are() -> None:
    tapped = parser()
    topics = {"r1.essays": [(0, 5), (1, 7)], "audit": [(9, 100)]}
    message, _, _ = tapped.requests.feed(
        request(commit(topics), 1) + request(produce(), 2) + request(commit({"r1.many": [(0, 1)] * 100}), 3)
    )
    assert message.places == [("essays", 0, 5), ("essays", 1, 7), ("audit", 9, 100)]
    _, answer = tapped.replies.feed(reply(committed(), 1) + reply(produced(offset=41), 2))
    assert answer.places == [("essays.sent", 1, 41)]


def test_a_commit_says_all_its_places_or_none() -> None:
    for count in (0, 100, MOST_PLACES - 1):
        (message,) = parser().requests.feed(request(commit({"r1.many": [(0, 1)] * count})))
        assert len(message.places or ()) == count
        assert message.places is not None
    (message,) = parser().requests.feed(request(commit({"r1.many": [(0, 1)] * MOST_PLACES})))
    assert (message.key, message.places) == ("essay_lifecycle", None)


def test_of_the_places_of_records_only_so_many_are_kept() -> None:
    tapped = parser()
    tapped.requests.feed(request(produce()))
    parts = [{"index": 1, "error_code": 0, "base_offset": 40}] * (MOST_PLACES + 1)
    answer = made("reply", "Produce", 9, responses=[{"name": "r1.essays", "partition_responses": parts}])
    (message,) = tapped.replies.feed(reply(answer))
    assert len(message.places or ()) == MOST_PLACES


def test_a_place_that_got_an_error_holds_no_records() -> None:
    tapped = parser()
    tapped.requests.feed(request(produce()))
    (answer,) = tapped.replies.feed(reply(produced(error=6, offset=-1)))
    assert answer.places == []


def test_a_topic_is_called_by_its_name_once_metadata_has_said_its_id() -> None:
    tapped = parser()
    tapped.requests.feed(request(made("request", "Metadata", 12, topics=None), 1))
    tapped.replies.feed(
        reply(made("reply", "Metadata", 12, topics=[{"name": "r1.essays.sent", "topic_id": TOPIC_ID}]), 1)
    )
    other = parser()
    other.names = tapped.names
    (message,) = other.requests.feed(request(produce(13, topics=(TOPIC_ID,))))
    assert message.key == "essays.sent"
