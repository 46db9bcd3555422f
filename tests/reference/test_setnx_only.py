"""The variant is shown to lose and to double, and its flaw to be the only difference."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.service_libs import ledger
from reference_impl.service_libs.errors import ContentUnavailable
from reference_impl.service_libs.idempotency import idempotent_consumer
from reference_impl.variants.__main__ import providers
from reference_impl.variants.setnx_only import SetnxGuard

EFFECTS = "SELECT * FROM effect_ledger"


@pytest.fixture
def consume(idempotency, database, redis, waits):
    idempotency = replace(idempotency, guard=SetnxGuard(database, redis))

    @idempotent_consumer(idempotency, consumer="c", accepts=UPLOAD_OUTCOMES)
    async def handle(message):
        await waits.wait()

        def apply(transaction):
            ledger.record(transaction, message, "u1")

        return apply

    return handle


async def test_without_faults_it_looks_right(consume, delivered, rows):
    for _ in range(3):
        await consume(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_killed_after_the_claim_it_loses_the_event(*, consume, delivered, rows, redis, waits, until):
    waits.clear()
    task = asyncio.create_task(consume(delivered()))
    await until(lambda: redis.keys)
    redis.down = True  # a killed process takes no claim back
    task.cancel()
    await asyncio.wait([task])
    redis.down = False
    waits.set()
    await consume(delivered())
    assert await rows(EFFECTS) == []


async def test_once_redis_has_forgotten_it_doubles_the_effect(consume, delivered, rows, redis):
    await consume(delivered())
    redis.keys.clear()
    await consume(delivered())
    assert len(await rows(EFFECTS)) == 2


async def test_while_redis_is_down_it_doubles_the_effect(consume, delivered, rows, redis):
    redis.down = True
    for _ in range(2):
        await consume(delivered())
    assert len(await rows(EFFECTS)) == 2


async def test_an_error_takes_the_claim_back(consume, delivered, rows, waits, monkeypatch):
    failures = [ContentUnavailable("down")]

    async def once():
        if failures:
            raise failures.pop()

    monkeypatch.setattr(waits, "wait", once)
    await consume(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_the_claim_lives_a_day(consume, delivered, redis):
    await consume(delivered())
    assert list(redis.ttl.values()) == [86_400]


def test_services_without_a_guard_stay_as_they_are():
    from reference_impl.file_service import di

    assert [type(each) for each in providers("setnx_only", "file_service")] == [type(e) for e in di.providers()]
