from __future__ import annotations

import asyncio
from random import Random

import pytest

from reference_impl.service_libs.backoff import Backoff, until_set
from reference_impl.service_libs.errors import RedisUnavailable


def test_delays_double_up_to_the_longest_with_jitter():
    backoff = Backoff(1.0, 5.0, Random(1))
    for failures, whole in ((1, 1), (2, 2), (3, 4), (4, 5), (1000, 5)):
        delays = {backoff.delay(failures) for _ in range(50)}
        assert whole / 2 <= min(delays) < max(delays) <= whole


async def test_a_dependencys_errors_are_tried_again(backoff):
    errors = [RedisUnavailable(), TimeoutError(), ConnectionResetError()]

    async def step():
        if errors:
            raise errors.pop()
        return "done"

    assert await backoff.persist(step, "a step") == "done"


async def test_other_errors_go_through(backoff):
    async def step():
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await backoff.persist(step, "a step")


async def test_a_cancellation_that_a_driver_swallowed_is_not_lost(backoff):
    async def step():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionResetError from None

    task = asyncio.create_task(backoff.persist(step, "a step"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_as_the_event_is_set_is_not_lost():
    event = asyncio.Event()
    task = asyncio.create_task(until_set(event, 1000))
    await asyncio.sleep(0)
    event.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_waiting_for_an_event_ends():
    await until_set(asyncio.Event(), 0.001)
