"""What clients said to real dependencies, as ``tests.recorded.record`` recorded it, is understood to its last byte."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from harness.taps import parser_type
from harness.taps.message import Message
from tests.unit.taps.spans import cut

RECORDED = sorted((Path(__file__).parents[2] / "recorded").glob("*.jsonl"))
SEEN = {
    "kafka": {
        "ApiVersions",
        "Metadata",
        "Produce",
        "FindCoordinator",
        "JoinGroup",
        "SyncGroup",
        "Fetch",
        "OffsetCommit",
    },
    "redis": {"SET", "GET", "HSET", "MULTI", "EXEC", "EVAL", "XADD"},
    "postgres": {"BEGIN", "COMMIT", "INSERT", "SELECT"},
}
"""Protocol -> commands that each of its clients used."""

NEWER = {("ApiVersions", 5)}
"""Versions that kio does not have; they pass, unread."""


def pieces(path: Path) -> tuple[str, dict[int, list[tuple[str, bytes]]]]:
    """The protocol, and what came on each connection, in order."""
    head, *lines = map(json.loads, path.read_text().splitlines())
    connections: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
    for line in lines:
        connections[line["connection"]].append((line["side"], b64decode(line["data"])))
    return head["protocol"], connections


def understood(protocol: str, connection: list[tuple[str, bytes]], random: Random | None) -> dict[str, list[Message]]:
    """The messages of each direction that ended, with each piece cut at random."""
    parser = parser_type(protocol)()
    sides = {"request": parser.requests, "reply": parser.replies}
    ended: dict[str, list[Message]] = {"request": [], "reply": []}
    for side, data in connection:
        places = [random.randrange(len(data)) for _ in range(3)] if random else []
        for chunk in cut(data, places):
            ended[side] += [message for message in sides[side].feed(chunk) if message.end is not None]
    return ended


@pytest.mark.parametrize("seed", [None, *range(20)])
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_byte_belongs_to_a_message_that_is_understood(path: Path, seed: int | None) -> None:
    protocol, connections = pieces(path)
    seen: set[str] = set()
    for connection in connections.values():
        ended = understood(protocol, connection, Random(seed) if seed is not None else None)
        for side, messages in ended.items():
            assert [message.start for message in messages] == [0, *(message.end for message in messages[:-1])]
            assert messages[-1].end == sum(len(data) for one, data in connection if one == side)
        seen |= {message.command for message in ended["request"]}
        if protocol == "kafka":
            unread = {(one.command, one.memo.version) for one in ended["request"] if one.memo.body is None}
            assert unread <= NEWER, "all others were read to their end"
    assert {command for command in SEEN[protocol] if not any(one.startswith(command) for one in seen)} == set()


def test_there_are_clients_of_each_protocol() -> None:
    assert {pieces(path)[0] for path in RECORDED} == set(SEEN)
