"""Makes duplicates cheap with Redis: a hint that an event is done, a lease on an event in progress.

Correctness needs neither: no method here raises because of Redis, and the inbox decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import structlog

from reference_impl.service_libs.errors import RedisUnavailable
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.protocols import RedisClientProtocol

_log = structlog.get_logger()

_LOOK_AGAIN_SECONDS = 0.05

T = TypeVar("T")


class Hints:
    """Hints and leases, all best effort.

    After a failure Redis is left alone for ``retry_after`` seconds, so an outage costs each time-out only once.
    """

    def __init__(
        self,
        redis: RedisClientProtocol,
        random: Random,
        *,
        lease_seconds: int,
        retry_after: float,
    ) -> None:
        self._redis = redis
        self._process = f"{random.getrandbits(128):032x}"
        self._lease_seconds = lease_seconds
        self._retry_after = retry_after
        self._left_alone_until = 0.0

    async def claim(self, message: Message) -> tuple[bool, str | None]:
        """Return whether a hint says that this payload is applied and, if not, the token of a lease if one was taken.

        Waits while another delivery holds the lease, until the lease expires or the hint appears. A hint with another
        digest says nothing.
        """
        token = self._token(message)
        clock = asyncio.get_running_loop()
        give_up: float | None = None
        while True:
            claim = await self._ask(
                lambda: self._redis.claim(
                    self._hint(message), message.digest, self._lease(message), token, self._lease_seconds
                )
            )
            if claim is None or claim.done:
                return claim is not None, None
            if not claim.held_seconds:
                return False, token
            if give_up is None:
                give_up = clock.time() + claim.held_seconds
                _log.info("another delivery holds the lease", event_id=message.event_id)
            if clock.time() >= give_up:
                return False, None
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def settle(self, message: Message, ttl_seconds: int, token: str | None) -> None:
        """After the commit, leave a hint with the digest, and end the lease if it is still ours."""
        await self._ask(
            lambda: self._redis.settle(self._hint(message), message.digest, ttl_seconds, self._lease(message), token)
        )

    async def release(self, message: Message, token: str) -> None:
        """End the lease if it is still ours, without leaving a hint."""
        await self._ask(lambda: self._redis.delete_if_equals(self._lease(message), token))

    def _token(self, message: Message) -> str:
        """Return the same token for each attempt at a delivery, so none waits for a lease whose grant was not heard.

        Another delivery of the same event has another token, in this process, too: of the two one waits.
        """
        delivery = message.delivery
        return f"{self._process}:{delivery.topic}:{delivery.partition}:{delivery.offset}"

    def _hint(self, message: Message) -> str:
        return f"done:{message.consumer}:{message.event_id}"

    def _lease(self, message: Message) -> str:
        return f"lease:{message.consumer}:{message.event_id}"

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T | None:
        clock = asyncio.get_running_loop()
        if clock.time() < self._left_alone_until:
            return None
        try:
            return await command()
        except RedisUnavailable as error:
            self._left_alone_until = clock.time() + self._retry_after
            _log.warning("continuing without redis", error=str(error))
            return None
