"""Exactly one effect from at-least-once delivery.

    1  identify the event                   malformed, or of an unknown version: dead letter
    2  a hint says this digest is done      look into the inbox; skip if it agrees
    3  take a lease, best effort
    4  prepare: read, call, compute         no transaction open
    5  one transaction: the inbox row first, then the effect, its ledger row and the follow-up events
    6  leave the hint, release the lease
    7  commit the offset: the consumer does, once the function below returns

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
from reference_impl.service_libs.logging import LONGEST, brief
from reference_impl.service_libs.message import Delivery, Malformed, Message, UnknownVersion
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.settings import ConsumerSettings
from reference_impl.service_libs.suspects import ProcessEnded, Suspects

_log = structlog.get_logger()

Apply = Callable[[Connection], None]
"""Applies a message's changes inside the given transaction. It cannot await, so it makes no calls."""

Handler = Callable[[Message], Awaitable[Apply]]
"""Prepares outside any transaction, and returns what to apply."""

Consume = Callable[[Delivery], Awaitable[None]]
"""Returns once a delivery is finished, so that its offset may be committed."""


@dataclass
class Work:
    """One message and its handler."""

    message: Message
    handler: Handler
    metrics: Metrics
    ttl_seconds: int
    applied: bool = False
    """Whether the last attempt applied it."""
    _apply: Apply | None = None

    async def prepare(self) -> None:
        """Step 4: prepare the effect."""
        with self.metrics.handler_seconds.time():
            self._apply = await self.handler(self.message)

    def apply(self, transaction: Connection) -> None:
        """Step 5: apply the effect, in the transaction that closes the message."""
        if self._apply is None:
            raise RuntimeError("apply called before prepare")
        self._apply(transaction)
        self.applied = True


class IdempotencyGuard(Protocol):
    """Ensures that a message's work is done once. Passes errors of the work on; the caller retries."""

    async def once(self, work: Work) -> None:
        """Return once the message is closed, by this work or before."""
        ...


@dataclass(frozen=True)
class InboxGuard:
    """Guards with the inbox: steps 2 to 6."""

    database: Database
    inbox: Inbox
    hints: Hints
    metrics: Metrics

    async def once(self, work: Work) -> None:
        """Do the work unless the inbox has the message; a hint only makes it worth looking first."""
        hinted, token = await self.hints.claim(work.message)
        # Redis may remember what the database does not, for example after a restore.
        if hinted and await self.database.read(partial(self.inbox.look, message=work.message)) is Closing.DUPLICATE:
            self.metrics.duplicates.labels("redis").inc()
            return
        try:
            await work.prepare()
            closing = await self.database.write(partial(self._close, work=work))
            self._tell(closing)
            if closing in {Closing.NEW, Closing.DUPLICATE}:  # an event that was set aside may yet be replayed
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
    """The dependencies of ``idempotent_consumer``."""

    settings: ConsumerSettings
    guard: IdempotencyGuard
    database: Database
    inbox: Inbox
    suspects: Suspects
    backoff: Backoff
    metrics: Metrics

    async def finish(self, work: Work) -> None:
        """Retry until the message is closed: by its work or, after too many attempts, by a dead letter."""
        most = self.settings.max_attempts
        failures = own = 0
        while True:
            try:
                async with self.suspects.handling(work.message):
                    await self.guard.once(work)
            except Exception as error:  # noqa: BLE001 - a dependency's or the handler's own
                failures += 1
                own = most if isinstance(error, ProcessEnded) else own + (not is_dependency_error(error))
                _log.warning("retrying", failures=failures, attempts=own, error=brief(error))
                if own >= most:
                    await self.set_aside(work.message, DeadLetterKind.POISON, brief(error), own)
                    await self.suspects.clear(work.message)
                    return
                await self.backoff.wait(failures)
            else:
                if work.applied:
                    await self.suspects.clear(work.message)
                return

    async def set_aside(self, message: Message, kind: DeadLetterKind, reason: str, attempts: int) -> None:
        """Close a message with a dead letter; retries until the database takes it."""
        delivery = message.delivery
        _log.warning(
            kind.value,
            reason=reason[:LONGEST],
            topic=delivery.topic,
            partition=delivery.partition,
            offset=delivery.offset,
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
    """Turn a handler of messages into a consumer of deliveries that applies each event once.

    A dependency's errors are retried forever. After ``MAX_ATTEMPTS`` errors of the handler's own, or deaths of the
    process while it ran, the message is set aside as a dead letter. Malformed records and unknown versions of an
    accepted type are set aside at once; events of other types are skipped. ``ttl_seconds`` is how long Redis remembers
    that an event is done.
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
