"""Exactly one effect from deliveries that come at least once.

    1  identity of the event                malformed: dead letter
    2  hint says done with this digest      skip
    3  lease, best effort
    4  prepare: reads, calls, computes      no transaction open; an attempt, counted before
    5  one transaction: the inbox row first, then the effect, its ledger row and follow-up events
    6  hint, release of the lease
    7  the offset, by the consumer, when the function below returns

Safety rests on step 5 alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.common_core.events import EventData
from reference_impl.service_libs import message as messages
from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.hints import Hints
from reference_impl.service_libs.inbox import Closing, Inbox
from reference_impl.service_libs.message import Delivery, Malformed, Message
from reference_impl.service_libs.metrics import Metrics

_log = structlog.get_logger()

Apply = Callable[[AsyncConnection], Awaitable[None]]
"""What a message changes for good, inside the transaction it is given; nothing else may be done in it."""

Handler = Callable[[Message], Awaitable[Apply]]
"""Prepares, outside any transaction, and returns what to apply."""

Consume = Callable[[Delivery], Awaitable[None]]
"""Returns when a delivery is finished for good, so that its offset may be committed."""


class AttemptsExhausted(Exception):
    """The handler has had all its attempts."""


class Work:
    """One message and its handler. ``prepare`` counts an attempt, durably, before it runs the handler."""

    def __init__(self, message: Message, handler: Handler, idempotency: Idempotency, ttl_seconds: int) -> None:
        self.message = message
        self.ttl_seconds = ttl_seconds
        self.attempts = 0
        self._handler = handler
        self._inbox = idempotency.inbox
        self._metrics = idempotency.metrics
        self._max_attempts = idempotency.max_attempts
        self._under_way = False
        self._apply: Apply | None = None

    async def prepare(self) -> None:
        """Step 4. An attempt that a dependency ended was given back."""
        if not self._under_way:
            self.attempts, last_error = await self._inbox.begin_attempt(self.message)
            self._under_way = True
            if self.attempts > self._max_attempts:
                self.attempts -= 1
                raise AttemptsExhausted(last_error or "the process ended in the middle of each attempt")
        with self._metrics.handler_seconds.time():
            self._apply = await self._handler(self.message)

    async def apply(self, transaction: AsyncConnection) -> None:
        """The effect, in the transaction that closes the message."""
        if self._apply is None:
            raise RuntimeError("apply before prepare")
        await self._apply(transaction)
        await self._inbox.forget_attempts(transaction, self.message)

    async def fail(self, error: Exception) -> None:
        """The attempt is spent; raises ``AttemptsExhausted`` if it was the last."""
        self._under_way = False
        await self._inbox.end_attempt(self.message, repr(error))
        if self.attempts >= self._max_attempts:
            raise AttemptsExhausted(repr(error)) from error

    async def abandon(self) -> None:
        """Give an unfinished attempt back: the process is asked to stop, or the partition is taken away."""
        if self._under_way:
            self._under_way = False
            await self._inbox.end_attempt(self.message, None)


class IdempotencyGuard(Protocol):
    """Sees to it that one message's work is done once. Errors of the work go through; the caller tries again."""

    async def once(self, work: Work) -> None:
        """Return when the message is closed: now, by this work, or before."""
        ...


class InboxGuard:
    """Steps 2 to 6."""

    def __init__(self, database: Database, inbox: Inbox, hints: Hints, metrics: Metrics) -> None:
        self._database = database
        self._inbox = inbox
        self._hints = hints
        self._metrics = metrics

    async def once(self, work: Work) -> None:
        """The hint may end it; the inbox row decides."""
        done, token = await self._hints.claim(work.message)
        if done:
            self._metrics.duplicates.labels("redis").inc()
            return
        try:
            await work.prepare()
            async with self._database.transaction() as transaction:
                closing = await self._close(transaction, work)
            self._count(closing)
            if closing in {Closing.NEW, Closing.DUPLICATE}:  # what was set aside may yet be replayed
                await self._hints.settle(work.message, work.ttl_seconds, token)
                token = None
        finally:
            if token is not None:
                await self._hints.release(work.message, token)

    def _count(self, closing: Closing) -> None:
        if closing in {Closing.DUPLICATE, Closing.SET_ASIDE}:
            self._metrics.duplicates.labels("inbox").inc()
        elif closing is Closing.CONFLICT:
            self._metrics.conflicts.inc()

    async def _close(self, transaction: AsyncConnection, work: Work) -> Closing:
        closing = await self._inbox.close(transaction, work.message)
        if closing is Closing.NEW:
            await work.apply(transaction)
            return closing
        _log.info("not applied", because=closing.value)
        if closing is Closing.CONFLICT:
            await self._inbox.quarantine(transaction, work.message)
        await self._inbox.forget_attempts(transaction, work.message)
        return closing


@dataclass(frozen=True)
class Idempotency:
    """What ``idempotent_consumer`` needs of its surroundings."""

    guard: IdempotencyGuard
    inbox: Inbox
    backoff: Backoff
    metrics: Metrics
    max_attempts: int = 8


def idempotent_consumer(
    idempotency: Idempotency,
    *,
    consumer: str,
    accepts: Iterable[type[EventData]],
    ttl_seconds: int = 86_400,
) -> Callable[[Handler], Consume]:
    """Make a handler of messages a consumer of deliveries that applies each event once.

    Errors of dependencies are tried again for ever. The handler's own errors spend attempts; after the last one, the
    message is set aside as a dead letter. What is no event is set aside at once; other types than those in
    ``accepts`` are somebody else's. ``ttl_seconds`` is how long Redis remembers that an event is done; the inbox
    remembers it for ever.
    """
    accepted = tuple(accepts)

    def decorate(handler: Handler) -> Consume:
        async def consume(delivery: Delivery) -> None:
            try:
                message = messages.read(delivery, consumer, accepted)
            except Malformed as error:
                _log.warning("malformed", reason=str(error), partition=delivery.partition, offset=delivery.offset)
                message = messages.malformed(delivery, consumer)
                await _set_aside(idempotency, message, DeadLetterKind.MALFORMED, str(error), 0)
                return
            if message is None:
                return
            with structlog.contextvars.bound_contextvars(event_id=message.event_id):
                work = Work(message, handler, idempotency, ttl_seconds)
                try:
                    await _until_closed(idempotency, work)
                except AttemptsExhausted as error:
                    _log.exception("poison", attempts=work.attempts)
                    await _set_aside(idempotency, message, DeadLetterKind.POISON, str(error), work.attempts)

        return consume

    return decorate


async def _until_closed(idempotency: Idempotency, work: Work) -> None:
    failures = 0
    try:
        while True:
            try:
                await idempotency.guard.once(work)
            except AttemptsExhausted:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is one of two things
                failures += 1
                _log.warning("tried again", failures=failures, attempts=work.attempts, error=repr(error))
                if is_dependency_error(error):
                    # Given back before the wait: a kill during an outage is no failure of the handler's.
                    await idempotency.backoff.persist(work.abandon, "give an attempt back")
                else:
                    await idempotency.backoff.persist(lambda found=error: work.fail(found), "count an attempt")  # type: ignore[misc]
                await idempotency.backoff.wait(failures)
            else:
                return
    except asyncio.CancelledError:
        try:
            await asyncio.shield(work.abandon())
        except Exception as error:  # noqa: BLE001 - nothing may stand in the place of the cancellation
            _log.warning("an attempt was not given back", error=repr(error))
        raise


async def _set_aside(
    idempotency: Idempotency, message: Message, kind: DeadLetterKind, reason: str, attempts: int
) -> None:
    async def step() -> None:
        closing = await idempotency.inbox.set_aside(message, kind, reason, attempts)
        if closing is Closing.NEW:
            idempotency.metrics.dead_letters.labels(kind.value).inc()

    await idempotency.backoff.persist(step, "set a message aside")
