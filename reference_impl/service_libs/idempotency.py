"""Exactly one effect from deliveries that come at least once.

    1  identity of the event                malformed, or of a version not known here: dead letter
    2  hint says done with this digest      look into the inbox; skip if it says so too
    3  lease, best effort
    4  prepare: reads, calls, computes      no transaction open
    5  one transaction: the inbox row first, then the effect, its ledger row and follow-up events
    6  hint, release of the lease
    7  the offset, by the consumer, when the function below returns

Safety rests on step 5 alone.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog
from sqlalchemy import Connection

from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.common_core.events import EventData
from reference_impl.service_libs import message as messages
from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.hints import Hints
from reference_impl.service_libs.inbox import Closing, Inbox
from reference_impl.service_libs.message import Delivery, Malformed, Message, UnknownVersion
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.settings import ConsumerSettings
from reference_impl.service_libs.suspects import ProcessEnded, Suspects

_log = structlog.get_logger()

Apply = Callable[[Connection], None]
"""What a message changes for good, inside the transaction it is given. It cannot await: no call leaves it."""

Handler = Callable[[Message], Awaitable[Apply]]
"""Prepares, outside any transaction, and returns what to apply."""

Consume = Callable[[Delivery], Awaitable[None]]
"""Returns when a delivery is finished for good, so that its offset may be committed."""


@dataclass
class Work:
    """One message and its handler."""

    message: Message
    handler: Handler
    metrics: Metrics
    ttl_seconds: int
    applied: bool = False
    """Whether it was, the last time it was tried."""
    _apply: Apply | None = None

    async def prepare(self) -> None:
        """Step 4."""
        with self.metrics.handler_seconds.time():
            self._apply = await self.handler(self.message)

    def apply(self, transaction: Connection) -> None:
        """The effect, in the transaction that closes the message."""
        if self._apply is None:
            raise RuntimeError("apply before prepare")
        self._apply(transaction)
        self.applied = True


class IdempotencyGuard(Protocol):
    """Sees to it that one message's work is done once. Errors of the work go through; the caller tries again."""

    async def once(self, work: Work) -> None:
        """Return when the message is closed: now, by this work, or before."""
        ...


@dataclass(frozen=True)
class InboxGuard:
    """Steps 2 to 6."""

    database: Database
    inbox: Inbox
    hints: Hints
    metrics: Metrics

    async def once(self, work: Work) -> None:
        """The hint says that it is worth looking; the inbox row decides."""
        hinted, token = await self.hints.claim(work.message)
        # Redis may remember what the database does not: it was restored, or is another.
        if hinted and await self.database.read(partial(self.inbox.look, message=work.message)) is Closing.DUPLICATE:
            self.metrics.duplicates.labels("redis").inc()
            return
        try:
            await work.prepare()
            closing = await self.database.write(partial(self._close, work=work))
            self._tell(closing)
            if closing in {Closing.NEW, Closing.DUPLICATE}:  # what was set aside may yet be replayed
                await self.hints.settle(work.message, work.ttl_seconds, token)
                token = None
        finally:
            if token is not None:
                await self.hints.release(work.message, token)

    def _close(self, transaction: Connection, work: Work) -> Closing:
        closing = self.inbox.close(transaction, work.message)
        if closing is Closing.NEW:
            work.apply(transaction)
        return closing

    def _tell(self, closing: Closing) -> None:
        if closing is not Closing.NEW:
            _log.info("not applied", because=closing.value)
        if closing in {Closing.DUPLICATE, Closing.SET_ASIDE}:
            self.metrics.duplicates.labels("inbox").inc()
        elif closing is Closing.CONFLICT:
            self.metrics.conflicts.inc()


@dataclass(frozen=True)
class Idempotency:
    """What ``idempotent_consumer`` needs of its surroundings."""

    settings: ConsumerSettings
    guard: IdempotencyGuard
    database: Database
    inbox: Inbox
    suspects: Suspects
    backoff: Backoff
    metrics: Metrics

    async def finish(self, work: Work) -> None:
        """Try until the message is closed: by its work, or after too many attempts by a dead letter."""
        most = self.settings.max_attempts
        failures = own = 0
        while True:
            try:
                async with self.suspects.handling(work.message):
                    await self.guard.once(work)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is one of two things
                failures += 1
                own = most if isinstance(error, ProcessEnded) else own + (not is_dependency_error(error))
                _log.warning("tried again", failures=failures, attempts=own, error=repr(error))
                if own >= most:
                    await self.set_aside(work.message, DeadLetterKind.POISON, repr(error), own)
                    await self.suspects.clear(work.message)
                    return
                await self.backoff.wait(failures)
            else:
                if work.applied:
                    await self.suspects.clear(work.message)
                return

    async def set_aside(self, message: Message, kind: DeadLetterKind, reason: str, attempts: int) -> None:
        """Close a message by a dead letter, however long that takes."""
        delivery = message.delivery
        _log.warning(
            kind.value, reason=reason, topic=delivery.topic, partition=delivery.partition, offset=delivery.offset
        )
        close = partial(self.inbox.set_aside, message=message, kind=kind, reason=reason, attempts=attempts)
        if await self.backoff.persist(lambda: self.database.write(close), "set aside") is Closing.NEW:
            self.metrics.dead_letters.labels(kind.value).inc()


def idempotent_consumer(
    idempotency: Idempotency,
    *,
    consumer: str,
    accepts: Iterable[type[EventData]],
    ttl_seconds: int = 86_400,
) -> Callable[[Handler], Consume]:
    """Make a handler of messages a consumer of deliveries that applies each event once.

    Errors of dependencies are tried again for ever. After ``MAX_ATTEMPTS`` errors of the handler's own, or ends of the
    process in the middle of it, the message is set aside as a dead letter. What is no event, or a version of an
    accepted type that is not known here, is set aside at once; other types are somebody else's. ``ttl_seconds`` is how
    long Redis remembers that an event is done.
    """
    accepted = {each.EVENT_TYPE: each for each in accepts}

    def decorate(handler: Handler) -> Consume:
        async def consume(delivery: Delivery) -> None:
            try:
                message = messages.read(delivery, consumer, accepted)
            except Malformed as error:
                message = messages.malformed(delivery, consumer)
                await idempotency.set_aside(message, DeadLetterKind.MALFORMED, str(error), 0)
            except UnknownVersion as error:
                await idempotency.set_aside(error.message, DeadLetterKind.UNKNOWN_VERSION, str(error), 0)
            else:
                if message is not None:
                    with structlog.contextvars.bound_contextvars(event_id=message.event_id):
                        await idempotency.finish(Work(message, handler, idempotency.metrics, ttl_seconds))

        return consume

    return decorate
