"""Which messages are one event's own."""

from __future__ import annotations

import pytest

from harness.taps.event import Event
from harness.taps.trigger import Trigger

ONE = Event(frozenset({"e-1", "raw_7"}), frozenset({("orders", 0, 4)}))


@pytest.mark.parametrize(
    ("key", "commits", "its_own"),
    [
        ("claim:billing:e-1", (), True),
        ("/v1/content/raw_7", (), True),
        ("claim:billing:e-11", (), False),
        ("claim:billing:xe-1", (), False),
        ("inbox,outbox", (), False),
        ("billing", [("orders", 0, 5)], True),
        ("billing", [("orders", 1, 9), ("orders", 0, 9)], True),
        ("billing", [("orders", 0, 4)], False),  # the next to read is this very record
        ("billing", [("orders", 1, 5)], False),
        ("billing", [("other", 0, 5)], False),
    ],
)
def test_its_key_names_it_or_it_commits_an_offset_behind_it(key, commits, its_own) -> None:
    assert ONE.has(key, commits) is its_own


async def test_what_follows_counts_nothing_before_it_has_its_event_and_nothing_of_others_then() -> None:
    trigger = Trigger(side="request", patterns=["SET *"], links=["a#1->redis", "a#2->redis"], per_key=2, follows=True)
    link = "a#2->redis"
    assert [trigger.meets(link, "request", "SET", "claim:e-1") for _ in range(3)] == [False] * 3
    trigger.event = ONE
    keys = ["claim:e-1", "claim:e-2", "claim:e-2", "claim:e-1", "claim:e-1"]
    assert [trigger.meets(link, "request", "SET", key) for key in keys] == [False, False, False, True, False]


async def test_what_follows_meets_the_commit_that_passes_its_event() -> None:
    trigger = Trigger(side="request", patterns=["OffsetCommit billing"], links=["a#1->kafka"], follows=True)
    trigger.event = ONE
    commits = [[("orders", 0, 4)], [("orders", 0, 6)]]
    assert [trigger.meets("a#1->kafka", "request", "OffsetCommit", "billing", one) for one in commits] == [
        False,
        True,
    ]
