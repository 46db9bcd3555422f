"""What a trigger matches, and how it counts."""

from __future__ import annotations

import pytest

from harness.taps.trigger import Pattern, Trigger
from tests.standin import StandIn


@pytest.mark.parametrize(
    ("pattern", "command", "key", "matches"),
    [
        ("SET *", "SET", "claim:a", True),
        ("SET", "SET", "", True),
        ("set claim:*", "SET", "claim:a", True),
        ("SET claim:*", "SET", "done:a", False),
        ("SET *", "SETEX", "a", False),
        ("SET* a", "SETEX", "a", True),
        ("* *billing*", "EVAL", "lease:billing:1", True),
        ("POST /v1/content", "POST", "/v1/content/7", False),
        ("GET a.b", "GET", "axb", False),
        ("GET with space", "GET", "with space", True),
        ("GET a*", "GET", "a\nb", True),
        ("SET claim:{id}", "SET", "claim:0f9b-17.a_~", True),
        ("SET claim:{id}", "SET", "claim:17:done", False),
        ("SET claim:{id}", "SET", "claim:", False),
        ("SET claim:{id}", "SET", "claim:{id}", False),
        ("SET {id}:{id}:done", "SET", "claim:17:done", True),
        ("SET {{id}}:*", "SET", "{17}:claim:done", True),
        ("GET /v1/{id}", "GET", "/v1/17/lines", False),
    ],
)
def test_a_pattern(pattern, command, key, matches) -> None:
    assert Pattern(pattern).matches(command, key) is matches


def meets(trigger, *, link="a->redis", side="request", command="SET"):
    return trigger.meets(link, side, command, "k")


async def test_the_nth_alone_and_then_the_next_if_it_is_wanted() -> None:
    trigger = Trigger(side="request", patterns=["SET *"], links=["a->redis"], nth=3)
    assert [meets(trigger) for _ in range(5)] == [False, False, True, False, False]
    trigger.again()
    assert [meets(trigger) for _ in range(2)] == [True, False]


async def test_each_nth_unless_it_is_shut() -> None:
    trigger = Trigger(side="request", patterns=["SET *"], links=["a->redis"], every=2)
    assert [meets(trigger) for _ in range(4)] == [False, True, False, True]
    trigger.shut = True
    assert [meets(trigger) for _ in range(4)] == [False] * 4
    trigger.shut = False
    assert [meets(trigger) for _ in range(2)] == [False, True]


async def test_only_what_is_meant_is_counted() -> None:
    trigger = Trigger(side="reply", patterns=["SET *", "EVAL *"], links=["a->redis"], nth=2)
    assert not meets(trigger, side="request")
    assert not meets(trigger, side="reply", link="b->redis")
    assert not meets(trigger, side="reply", command="GET")
    assert not meets(trigger, side="reply", command="EVAL")
    assert meets(trigger, side="reply")


async def test_only_each_keys_so_many_th_message_counts_from_the_first_one_on() -> None:
    trigger = Trigger(side="request", patterns=["EVAL *"], links=["a->redis"], nth=2, per_key=2)
    trigger.early = True
    assert not trigger.meets("a->redis", "request", "EVAL", "early")
    assert not trigger.meets("a->redis", "request", "EVAL", "over")
    assert not trigger.meets("a->redis", "request", "EVAL", "over")
    trigger.early = False
    assert [trigger.meets("a->redis", "request", "EVAL", key) for key in ("early", "b", "b")] == [False, False, True]


async def test_a_message_held_for_nothing_gives_its_turn_to_the_next_like_it() -> None:
    """A service that gave it up meanwhile sends it again: by then it is that key's second."""
    trigger = Trigger(side="reply", patterns=["SET *"], links=["a->redis"], per_key=1)
    assert [trigger.meets("a->redis", "reply", "SET", key) for key in ("a", "a", "b")] == [True, False, False]
    trigger.again()
    assert [trigger.meets("a->redis", "reply", "SET", key) for key in ("b", "a", "a")] == [False, True, False]


async def test_the_key_that_was_used_least_recently_is_forgotten(monkeypatch) -> None:
    monkeypatch.setattr("harness.taps.trigger.MOST_KEYS", 2)
    trigger = Trigger(side="request", patterns=["EVAL *"], links=["a->redis"], per_key=2)
    keys = ["a", "b", "c", "a", "a"]
    assert [trigger.meets("a->redis", "request", "EVAL", key) for key in keys] == [False] * 4 + [True]


async def test_closing_releases_what_nobody_took() -> None:
    class Held(StandIn):
        released = False

        def release(self):
            self.released = True

    trigger = Trigger(side="request", patterns=["SET *"], links=["a->redis"])
    taken, late = Held(), Held()
    trigger._take(taken)
    trigger.close()
    trigger._take(late)
    assert taken.released
    assert late.released
    assert not meets(trigger)
