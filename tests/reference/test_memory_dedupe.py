"""The variant is shown to double what another process has applied, and to do nothing else wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.service_libs import ledger
from reference_impl.service_libs.errors import ContentUnavailable
from reference_impl.service_libs.idempotency import idempotent_consumer
from reference_impl.variants.memory_dedupe import MemoryGuard

EFFECTS = "SELECT * FROM effect_ledger"


@pytest.fixture
def begun():
    """The deliveries whose handler has begun."""
    return []


@pytest.fixture
def process(idempotency, database, waits, begun):
    """Makes the consumer of one more process of the service: its memory is empty."""

    def make():
        @idempotent_consumer(replace(idempotency, guard=MemoryGuard(database)), consumer="c", accepts=UPLOAD_OUTCOMES)
        async def handle(message):
            begun.append(message.delivery)
            await waits.wait()
            return lambda transaction: ledger.record(transaction, message, "u1")

        return handle

    return make


async def test_without_faults_it_looks_right(process, delivered, rows):
    consume = process()
    for _ in range(3):
        await consume(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_another_process_doubles_the_effect(process, delivered, rows):
    for consume in (process(), process()):
        await consume(delivered())
    assert len(await rows(EFFECTS)) == 2


async def test_two_deliveries_at_once_have_one_effect(*, process, delivered, rows, waits, begun, until):
    waits.clear()
    consume = process()
    both = asyncio.gather(*(consume(delivered()) for _ in range(2)))
    await until(lambda: begun)
    waits.set()
    await both
    assert len(await rows(EFFECTS)) == 1


async def test_killed_before_its_effect_it_loses_nothing(*, process, delivered, rows, waits, begun, until):
    waits.clear()
    task = asyncio.create_task(process()(delivered()))
    await until(lambda: begun)
    task.cancel()
    await asyncio.wait([task])
    waits.set()
    await process()(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_what_failed_is_not_remembered(process, delivered, rows, waits, monkeypatch):
    failures = [ContentUnavailable("down")]

    async def once():
        if failures:
            raise failures.pop()

    monkeypatch.setattr(waits, "wait", once)
    await process()(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_neither_the_inbox_nor_redis_is_asked(process, delivered, rows, redis):
    await process()(delivered())
    assert redis.commands == 0
    assert await rows("SELECT * FROM inbox") == []
