"""Addresses of brokers give way to those that lead through the link; all else passes byte for byte, or nothing passes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import struct
from typing import Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.taps.connection import _edited
from harness.taps.kafka import KafkaParser
from harness.taps.kafka_asked import LARGEST
from harness.taps.kafka_rerouted import ADDRESSED, HIDDEN, Rerouted
from harness.taps.kafka_schema import NAMES, Cursor, flexible_header, highest, read, schema, without_none
from harness.taps.message import NotUnderstood
from harness.taps.proxy import Tap
from harness.taps.trigger import Trigger
from tests.unit.taps.kafka_frames import KEYS, VERSIONS, framed, kind_of, made, reply, request
from tests.unit.taps.spans import cut
from tests.unit.taps.test_kafka import EXCHANGES
from tests.unit.taps.wired import Notes

ROUTES = {("broker-1", 9092): ("127.0.0.1", 20001), ("b", 1): ("a-rather-long-name.of.a.proxy.example", 29999)}
NODES = [("broker-1", 9092), ("b", 1)]
THROUGH = [ROUTES[node] for node in NODES]
NOT_FOR_CLIENTS = {
    "Vote",
    "BeginQuorumEpoch",
    "EndQuorumEpoch",
    "FetchSnapshot",
    "UpdateRaftVoter",  # controllers talk to each other
    "DescribeQuorum",  # tells an administrator where controllers are
    "StreamsGroupHeartbeat",
    "StreamsGroupDescribe",  # where an application's own replicas are, as they said
}


def asked(key: int, version: int, number: int = 7) -> bytes:
    """A request of this kind with nothing in it, which is all that its reply's reader must know."""
    kind = schema(key, version, "request")
    tags = b"\0" if kind is not None and flexible_header(kind) else b""
    return framed(struct.pack(">hhih", key, version, number, -1), tags)


def through(chunks: list[bytes], *requests: bytes, routes=ROUTES) -> bytes:
    """What passes of replies, given in pieces."""
    parser = KafkaParser()
    parser.reroute(routes)
    parser.requests.feed(b"".join(requests))
    replies: Any = parser.replies
    out, kept, base = b"", b"", 0
    for chunk in chunks:
        kept += chunk
        replies.feed(chunk)
        upto = base + len(kept) if replies.held is None else replies.held
        going, kept = kept[: upto - base], kept[upto - base :]
        out += _edited(going, base, replies.edits)
        base += len(going)
        assert len(kept) <= LARGEST + max(map(len, chunks))
    return out


def with_brokers(api: str, version: int, nodes: list[tuple[str, int]]) -> Any:
    """A reply that names brokers, and other things."""
    brokers = [{"host": host, "port": port, "rack": "r"} for host, port in nodes]
    if api == "Metadata":
        brokers = [{**one, "node_id": number} for number, one in enumerate(brokers)]
        brokers = [one if version else {k: v for k, v in one.items() if k != "rack"} for one in brokers]
        topic = {"name": "essays", "partitions": [{"partition_index": 0, "leader_id": 1, "replica_nodes": [1]}]}
        return made("reply", api, version, brokers=brokers, topics=[topic])
    if api == "DescribeCluster":
        return made("reply", api, version, brokers=brokers, cluster_id="c")
    if api == "ShareAcknowledge":
        return made("reply", api, version, node_endpoints=brokers, error_message="said")
    if version < 4:
        return made("reply", api, version, node_id=1, host=nodes[0][0], port=nodes[0][1])
    parts = [{"key": "g", "host": host, "port": port} for host, port in nodes]
    return made("reply", api, version, coordinators=parts)


ALL = [(NAMES[key], version) for key in sorted(ADDRESSED) for version in VERSIONS[key] if version <= highest(key)]


@pytest.mark.parametrize(("api", "version"), ALL)
@settings(max_examples=6, deadline=None)
@given(places=st.lists(st.integers(0, 1000), max_size=6))
def test_each_version_names_the_proxies_in_place_of_brokers_and_nothing_else_changes(api, version, places) -> None:
    nowhere = [("", -1)] if version < 4 or api != "Metadata" else []
    data = reply(with_brokers(api, version, NODES + nowhere)) + reply(with_brokers(api, version, nowhere or NODES), 8)
    expected = reply(with_brokers(api, version, THROUGH + nowhere)) + reply(
        with_brokers(api, version, nowhere or THROUGH), 8
    )
    asks = [asked(KEYS[api], version, number) for number in (7, 8)]
    assert through(cut(data, places), *asks) == expected


def test_every_api_whose_replies_name_brokers_is_known() -> None:
    """A later kio that knows of one more fails here."""
    found = {
        NAMES[key]
        for key, versions in VERSIONS.items()
        for version in versions
        if (kind := schema(key, version, "reply")) is not None and _addressed(kind)
    }
    assert found - NOT_FOR_CLIENTS == {NAMES[key] for key in ADDRESSED} | {NAMES[key] for key in HIDDEN}


def _addressed(kind: Any) -> bool:
    names = [field.name for field in dataclasses.fields(kind)]
    inner = [without_none(field.type)[0] for field in dataclasses.fields(kind)]
    inner = [without_none(get_args(one)[0])[0] if get_origin(one) is tuple else one for one in inner]
    return {"host", "port"} <= set(names) or any(dataclasses.is_dataclass(one) and _addressed(one) for one in inner)


def with_endpoints(api: str, version: int, nodes: list[tuple[str, int]]) -> Any:
    """A reply behind whose records brokers are named."""
    ends = [
        {"node_id": number, "host": host, "port": port, "rack": None} for number, (host, port) in enumerate(nodes)
    ]
    if api == "Produce":
        one = {"index": 1, "error_code": 6, "error_message": "moved", "record_errors": [{"batch_index": 1}]}
        name = {"topic_id": None} if version >= 13 else {"name": "essays"}
        topics = [{**name, "partition_responses": [one]}]
        return made("reply", api, version, responses=topics, node_endpoints=ends)
    if api == "Fetch":
        one = {"partition_index": 3, "error_code": 6, "records": b"r" * 300}
        one |= {"aborted_transactions": [{"producer_id": 4, "first_offset": 5}]}
        name = {"topic_id": None} if version >= 13 else {"topic": "essays"}
        topics = [{**name, "partitions": [one, one | {"records": None}]}]
        return made("reply", api, version, responses=topics, node_endpoints=ends)
    one = {
        "partition_index": 3,
        "error_message": "m",
        "records": b"r" * 300,
        "acquired_records": [{"first_offset": 1}],
    }
    return made("reply", api, version, error_message="x", responses=[{"partitions": [one, one]}], node_endpoints=ends)


SINCE = {"Produce": 10, "Fetch": 16, "ShareFetch": 0}
BEHIND = [
    (NAMES[key], version)
    for key in sorted(HIDDEN)
    for version in VERSIONS[key]
    if SINCE[NAMES[key]] <= version <= highest(key)
]


@pytest.mark.parametrize(("api", "version"), BEHIND)
@settings(max_examples=6, deadline=None)
@given(places=st.lists(st.integers(0, 2000), max_size=6), count=st.sampled_from([0, 1, 2, 200]))
@example(places=[727], count=200)  # between the two bytes of the count, in ShareFetch 1
def test_what_stands_behind_records_is_hidden_at_equal_length(api, version, places, count) -> None:
    entity = with_endpoints(api, version, (NODES * count)[:count])
    data = reply(entity)
    passed = through(cut(data, places), asked(KEYS[api], version))
    assert len(passed) == len(data)
    if not count:
        assert passed == data
        return
    (was, before), (now, after) = (_read_whole(type(entity), one) for one in (data, passed))
    if api == "ShareFetch":
        assert now == {**was, "node_endpoints": []}
        changed = 8
    else:
        assert now == was
        assert ([tag for _, tag in before], [tag for _, tag in after]) == ([0], [127])
        changed = 1
    assert sum(one != other for one, other in zip(data, passed, strict=True)) <= changed


def _read_whole(kind: Any, data: bytes) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Its fields and its tags. kio's own reader does not skip tags that it does not know, as Kafka's protocol wants."""
    body = data[8:]
    cursor = Cursor(body)
    cursor.tags()
    fields, whole = read(kind, cursor)
    assert (whole, cursor.at) == (True, len(body))
    return fields, cursor.tagged


@pytest.mark.parametrize("exchange", [one for one in EXCHANGES if one[1] != "ApiVersions"], ids=lambda e: e[1])
def test_everything_else_passes_byte_for_byte(exchange) -> None:
    said = reply(exchange[3])
    assert through([said[:9], said[9:30], said[30:]], request(exchange[0])) == said


def test_a_fetch_passes_while_it_comes() -> None:
    data = reply(made("reply", "Fetch", 17, responses=[{"partitions": [{"records": bytes(5 << 20)}]}]))
    assert through([data[i : i + 65536] for i in range(0, len(data), 65536)], asked(1, 17)) == data


def test_a_long_reply_to_metadata_passes_behind_its_brokers() -> None:
    topics = [{"name": "t" * 20000, "partitions": []}] * 100
    brokers = [{"node_id": 1, "host": "b", "port": 1}]
    data = reply(made("reply", "Metadata", 9, brokers=brokers, topics=topics))
    assert len(data) > LARGEST
    through_ = {"node_id": 1, "host": THROUGH[1][0], "port": THROUGH[1][1]}
    expected = reply(made("reply", "Metadata", 9, brokers=[through_], topics=topics))
    assert through([data[i : i + 65536] for i in range(0, len(data), 65536)], asked(3, 9)) == expected


@pytest.mark.parametrize("version", [0, 3, 4])
def test_a_client_is_told_of_no_version_that_a_tap_does_not_know(version) -> None:
    keys = [(3, highest(3)), (1, highest(1) + 1), (60, 99), (9999, 99)]
    parts = [{"api_key": key, "min_version": 0, "max_version": most} for key, most in keys]
    data = reply(made("reply", "ApiVersions", version, api_keys=parts))
    lowered = [part | {"max_version": min(part["max_version"], highest(part["api_key"]))} for part in parts[:3]]
    expected = reply(made("reply", "ApiVersions", version, api_keys=[*lowered, parts[3]]))
    assert through(cut(data, [5, 20, 33]), asked(18, version)) == expected


def test_an_older_broker_that_does_not_know_the_request_is_lowered_too() -> None:
    parts = [{"api_key": 18, "min_version": 0, "max_version": 2}, {"api_key": 3, "min_version": 0, "max_version": 99}]
    data = reply(made("reply", "ApiVersions", 0, error_code=35, api_keys=parts))
    parts[1]["max_version"] = highest(3)
    assert through([data], asked(18, 99)) == reply(made("reply", "ApiVersions", 0, error_code=35, api_keys=parts))


@pytest.mark.parametrize(
    ("ask", "said", "why"),
    [
        (asked(3, 99), b"x" * 40, "Metadata of version 99"),
        (asked(8, 99), b"x" * 40, "OffsetCommit of version 99"),
        (asked(9999, 0), b"x" * 40, "API 9999 of version 0"),
        (asked(18, 99), b"\0" * 40, "ApiVersions of version 99"),
        (asked(3, 9), b"\xff" * 40, "a reply to Metadata of version 9"),
        (asked(10, 4), b"\0\0\0\0\0\xff\xff\xff\xff\x07", "a reply to FindCoordinator of version 4"),
        (asked(1, 17), b"\0" * 7 + b"\0\0\0\0\xff\xff\xff\xff\x07", "a reply to Fetch of version 17"),
        (asked(78, 1), b"\0" * 12 + b"\xff" * 9, "a reply to ShareFetch of version 1"),
        (asked(0, 10), b"\0" * (LARGEST + 1), "a reply to Produce of version 10"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_does_not_pass(ask, said, why) -> None:
    with pytest.raises(NotUnderstood, match=why):
        through([framed(struct.pack(">i", 7), said)], ask)


def test_a_broker_that_no_proxy_leads_to_does_not_pass() -> None:
    data = reply(with_brokers("Metadata", 9, [("broker-2", 9092)]))
    with pytest.raises(NotUnderstood, match=r"a broker at broker-2:9092 .*: no proxy leads to it"):
        through([data], asked(3, 9))


@pytest.mark.parametrize("api", ["Metadata", "FindCoordinator", "Fetch", "ShareFetch", "Produce", "ApiVersions"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_the_bytes_nothing_passes_that_names_another_broker(api, data) -> None:
    version = min(highest(KEYS[api]), 9)
    version = highest(KEYS[api]) if api in {"Fetch", "ShareFetch", "Produce"} else version
    if api == "ApiVersions":
        version = 0
        whole = reply(made("reply", api, 0, api_keys=[{"api_key": 3, "max_version": 99}]))
    elif KEYS[api] in ADDRESSED:
        whole = reply(with_brokers(api, version, NODES))
    else:
        whole = reply(with_endpoints(api, version, NODES))
    said = bytearray(whole)
    for at, byte in data.draw(st.lists(st.tuples(st.integers(8, len(said) - 1), st.integers(0, 255)), max_size=4)):
        said[at] = byte
    try:
        passed = through(
            cut(bytes(said), data.draw(st.lists(st.integers(0, 999), max_size=4))), asked(KEYS[api], version)
        )
    except NotUnderstood:
        return
    kind = kind_of("reply", KEYS[api], version)
    cursor = Cursor(passed[8:])
    if flexible_header(kind):
        cursor.tags()
    fields, fits = read(kind, cursor)
    named = [value for name, _, _, value in cursor.noted if name == "host"]
    if KEYS[api] in ADDRESSED:
        assert {host for host in named if host} <= {host for host, _ in THROUGH}
    elif api == "ApiVersions":
        told = [(one["api_key"], one["max_version"]) for one in fields.get("api_keys") or ()]
        assert all(most <= highest(key) for key, most in told if key in NAMES and highest(key) >= 0)
    elif api == "ShareFetch":
        assert not fields.get("node_endpoints")
    elif fits:  # or its client cannot read it either
        assert 0 not in [tag for _, tag in cursor.tagged]


async def reached(tap_to: Any, **more: Any) -> tuple[Notes, Tap, Any, asyncio.Server]:
    """A tap before a server that is ``tap_to(reader, writer)``: its notes, itself, its port and the server."""
    server = await asyncio.start_server(tap_to, "127.0.0.1", 0)
    free = await asyncio.start_server(tap_to, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()
    notes, upstream = Notes(), f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    routes = {f"{host}:{at}": f"{to}:{port}" for (host, at), (to, port) in ROUTES.items()}
    tap = Tap("consumer#1->kafka", "kafka", f"127.0.0.1:{port}", upstream, notes, routes=routes, **more)
    await tap.open()
    return notes, tap, port, server


def answering(*said: bytes) -> Any:
    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            for one in said:
                await reader.readexactly(len(ASK))
                writer.write(one)
            await reader.read(1)
        writer.close()

    return serve


ASK = request(made("request", "Metadata", 9))


@pytest.mark.parametrize("quiet", [False, True])
async def test_a_client_gets_the_proxies_addresses(quiet) -> None:
    met = Trigger(side="reply", patterns=["Metadata"], links=["consumer#1->kafka"])
    expected = reply(with_brokers("Metadata", 9, THROUGH))
    notes, tap, port, server = await reached(answering(reply(with_brokers("Metadata", 9, NODES))), quiet=quiet)
    tap.triggers = (met,)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        (await met.met()).release()
        assert await reader.readexactly(len(expected)) == expected
        writer.close()
        await tap.close()
        server.close()
    assert [phase for phase, _ in notes.records] == ([] if quiet else ["answered"])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (reply(with_brokers("Metadata", 9, [("elsewhere", 1)])), "no proxy leads to it"),
        (b"\x16\x03\x01\0\xa5", "TLS"),
    ],
)
async def test_a_link_whose_replies_cannot_be_read_ends_its_connections_and_says_why_once(said, why) -> None:
    notes, tap, port, server = await reached(answering(said))
    async with asyncio.timeout(60):
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(ASK)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        await tap.close()
        server.close()
    failed = [fields["error"] for phase, fields in notes.records if phase == "failed"]
    assert len(failed) == 1
    assert why in failed[0]
    assert not tap.plain


async def test_a_part_of_a_reply_does_not_pass() -> None:
    """Its addresses are those of brokers, whatever the client makes of them."""

    async def serve(reader, writer):
        await reader.readexactly(len(ASK))
        writer.write(reply(with_brokers("Metadata", 9, NODES))[:60])
        writer.close()

    _, tap, port, server = await reached(serve)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await tap.close()
        server.close()


def test_a_parser_says_that_it_can() -> None:
    parser = KafkaParser()
    parser.reroute(ROUTES)
    assert isinstance(parser.replies, Rerouted)
