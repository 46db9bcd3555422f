from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from reference_impl.service_libs.errors import RedisUnavailable
from reference_impl.service_libs.hints import Hints
from reference_impl.service_libs.message import Delivery, Message

MESSAGE = Message("c", "id", "digest", Delivery("essays", 0, 0, None, b""))


@pytest.fixture
def cautious(redis):
    return Hints(redis, Random(2), lease_seconds=2, retry_after=1000.0)


async def test_after_a_failure_redis_is_left_alone_for_a_while(cautious, redis):
    redis.down = True
    for _ in range(5):
        assert await cautious.claim(MESSAGE) == (False, None)
        await cautious.settle(MESSAGE, 10, "token")
    assert redis.commands == 1


async def test_a_lease_has_a_token_of_its_own_and_a_life(hints, redis):
    _, token = await hints.claim(MESSAGE)
    assert redis.keys == {"lease:c:id": token}
    assert redis.ttl == {"lease:c:id": 2}


@pytest.mark.parametrize("lost", [RedisUnavailable("no reply"), asyncio.CancelledError()], ids=repr)
async def test_a_delivery_does_not_wait_for_its_own_lease(hints, redis, monkeypatch, lost):
    """The claim was made, and the attempt did not hear of it."""
    claim = redis.claim

    async def unheard(*arguments):
        await claim(*arguments)
        raise lost

    with monkeypatch.context() as patched, suppress(asyncio.CancelledError):
        patched.setattr(redis, "claim", unheard)
        assert await hints.claim(MESSAGE) == (False, None)
    redis.held_seconds = 0.001
    _, token = await hints.claim(MESSAGE)
    assert redis.keys == {"lease:c:id": token}
    await hints.release(MESSAGE, token)
    assert redis.keys == {}


async def test_of_two_deliveries_of_an_event_in_one_process_one_holds_the_lease(hints, redis):
    redis.held_seconds = 0.001
    _, token = await hints.claim(MESSAGE)
    again = replace(MESSAGE, delivery=replace(MESSAGE.delivery, offset=1))
    assert await hints.claim(again) == (False, None)
    await hints.settle(again, 10, None)
    assert redis.keys["lease:c:id"] == token


async def test_releasing_late_does_not_release_anothers_lease(hints, redis):
    _, token = await hints.claim(MESSAGE)
    redis.keys["lease:c:id"] = "another's"  # ours ran out, and another took it
    await hints.release(MESSAGE, token)
    assert redis.keys == {"lease:c:id": "another's"}
    await hints.settle(MESSAGE, 10, token)
    assert redis.keys["lease:c:id"] == "another's"


async def test_the_hint_names_consumer_and_event(hints, redis):
    await hints.settle(MESSAGE, 10, None)
    assert redis.keys == {"done:c:id": "digest"}
    assert redis.ttl == {"done:c:id": 10}


async def test_a_claim_and_what_settles_it_cost_a_round_trip_each(hints, redis):
    _, token = await hints.claim(MESSAGE)
    await hints.settle(MESSAGE, 10, token)
    assert redis.commands == 2
    assert await hints.claim(MESSAGE) == (True, None)
