"""Redis makes duplicates cheap: a hint that an event is done, a lease on one in work.

Neither is needed to be right: no method here raises because of Redis, and the inbox decides.
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

    After a failure Redis is left alone for ``retry_after`` seconds, so that an outage costs each time-out once.
    """

    def __init__(
        self,
        redis: RedisClientProtocol,
        random: Random,
        epoch: Callable[[], str],
        *,
        lease_seconds: int,
        retry_after: float,
    ) -> None:
        self._redis = redis
        self._random = random
        self._epoch = epoch
        self._lease_seconds = lease_seconds
        self._retry_after = retry_after
        self._left_alone_until = 0.0

    async def done(self, message: Message) -> bool:
        """Whether this very payload is known to be applied; any other hint says nothing."""
        return await self._ask(lambda: self._redis.get(self._hint(message))) == message.digest

    async def mark_done(self, message: Message, ttl_seconds: int) -> None:
        """Leave the hint, with the digest, after the commit."""
        await self._ask(lambda: self._redis.set(self._hint(message), message.digest, ttl_seconds))

    async def lease(self, message: Message) -> str | None:
        """The token of a lease on the message; None if there is none to be had and waiting is over.

        A lease held by another is waited for, at most for the rest of its life or until the hint appears.
        """
        key = self._lease(message)
        token = f"{self._random.getrandbits(128):032x}"
        clock = asyncio.get_running_loop()
        give_up: float | None = None
        while True:
            ours = await self._ask(lambda: self._redis.set_if_not_exists(key, token, self._lease_seconds))
            if ours is None or ours:
                return token if ours else None
            if give_up is None:
                give_up = clock.time() + (await self._ask(lambda: self._redis.remaining_seconds(key)) or 0.0)
                _log.info("lease held by another", event_id=message.event_id)
            if clock.time() >= give_up or await self.done(message):
                return None
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def release(self, message: Message, token: str) -> None:
        """End the lease if it is still ours."""
        await self._ask(lambda: self._redis.delete_if_equals(self._lease(message), token))

    def _hint(self, message: Message) -> str:
        return f"done:{self._epoch()}:{message.consumer}:{message.event_id}"

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
            _log.warning("going on without redis", error=str(error))
            return None
