"""The harness's Redis client, which bypasses the proxies."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from harness.clients.exchange import dial
from harness.clients.monitored import commands
from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from harness.clients.login import Login
    from harness.stack import Fields

_TIMEOUT = 10.0
"""Seconds to wait for one answer."""

_AGAIN = 0.05
"""Seconds until a monitor that lost its server reconnects."""

_OPTIONS_FROM = {"SET": 3, "EXPIRE": 3, "PEXPIRE": 3}
"""Command -> index of its first option."""

_WITH_VALUE = frozenset({"EX", "PX", "EXAT", "PXAT", "IFEQ", "IFNE", "IFDEQ", "IFDNE"})
_CONDITIONS = frozenset({"NX", "XX", "GT", "LT", "IFEQ", "IFNE", "IFDEQ", "IFDNE"})

_AT_ONCE = 500
"""Keys per request."""

_WHOLE: dict[str, Callable[[bytes], tuple[str | bytes, ...]]] = {
    "string": lambda key: ("GET", key),
    "hash": lambda key: ("HGETALL", key),
    "list": lambda key: ("LRANGE", key, "0", "-1"),
    "set": lambda key: ("SMEMBERS", key),
    "zset": lambda key: ("ZRANGE", key, "0", "-1"),
    "stream": lambda key: ("XRANGE", key, "-", "+"),
}
"""Type -> the command that reads all of it at one moment."""

_NOTHING: tuple[object, ...] = (None, {}, [], set())

Contents = dict[bytes, tuple[str, object]]
"""Key -> its type and its content; the content of a type that is not read is None."""

_T = TypeVar("_T")


class RedisClient:
    """The store at ``address`` (host:port); implements ``harness.stack.Redis``.

    Raises StackError if the store does not answer.
    """

    def __init__(self, address: str, login: Login | None = None, database: int = 0) -> None:
        self._address = address
        self._login = login
        self._database = database
        self._client = self._connect()

    def _connect(self) -> Redis:
        host, _, port = self._address.rpartition(":")
        # One retry, because pooled connections do not survive a restart of the server; both queries may run twice.
        return Redis(
            host=host,
            port=int(port),
            db=self._database,
            username=self._login.user if self._login is not None else None,
            password=self._login.password if self._login is not None else None,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 1),
        )

    async def size(self) -> int:
        """Return DBSIZE."""
        size: int = await self._answer(self._client.dbsize())
        return size

    async def info(self, section: str) -> Fields:
        """Return one section of INFO."""
        info: Fields = await self._answer(self._client.info(section))
        return info

    def of(self, database: int) -> RedisClient:
        """Return another client of the same store, with connections of its own."""
        return RedisClient(self._address, self._login, database)

    async def contents(self, glob: bytes) -> Contents:
        """Return key -> (type, content) of every matching key that exists throughout the scan.

        SCAN promises no more, and may return a key twice. Its cursor means nothing to a server that restarted since.
        """
        server = await self.info("server")
        if server.get("redis_mode") == "cluster":
            raise StackError(f"Redis at {self._address} is a node of a cluster, and has only some of its keys")
        begun = server.get("run_id")
        keys: set[Any] = set()
        cursor: int | None = None
        while cursor != 0:
            cursor, some = await self._answer(self._client.scan(cursor or 0, match=glob, count=_AT_ONCE))
            keys.update(some)
        found: dict[bytes, tuple[str, object]] = {}
        remaining = iter(sorted(keys))
        while batch := list(islice(remaining, _AT_ONCE)):
            kinds = [kind.decode() for kind in await self._all([("TYPE", key) for key in batch])]
            reads = [(key, kind) for key, kind in zip(batch, kinds, strict=True) if kind in _WHOLE]
            contents = await self._all([_WHOLE[kind](key) for key, kind in reads])
            # Leave out a key that was deleted meanwhile.
            found |= {
                key: (kind, None) for key, kind in zip(batch, kinds, strict=True) if kind not in {*_WHOLE, "none"}
            }
            found |= {key: (kind, it) for (key, kind), it in zip(reads, contents, strict=True) if it not in _NOTHING}
        if (await self.info("server")).get("run_id") != begun:
            raise StackError(f"Redis at {self._address} was started again while it was read")
        return found

    async def _all(self, commands: list[tuple[str | bytes, ...]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await self._answer(pipeline.execute())

    async def _answer(self, answer: Awaitable[_T]) -> _T:
        try:
            return await answer
        except (RedisError, OSError, TimeoutError) as error:
            raise StackError(f"Redis at {self._address} does not answer: {error!r}") from error

    async def monitor(self) -> AsyncIterator[tuple[float, str, str]]:
        """Yield (monotonic seconds when received, command, first key) of each command, for ever.

        A conditional command includes its condition: ``SET NX``. Reconnects when the server comes back; commands that
        it received meanwhile are missed.
        """
        while True:
            with suppress(OSError, EOFError, TimeoutError):
                async with dial(self._address) as (reader, writer):
                    writer.write(self._login.request() if self._login is not None else b"")
                    writer.write(b"MONITOR\r\n")
                    # No timeout: an idle server sends nothing.
                    async for words in commands(reader):
                        yield _told(words)
            await asyncio.sleep(_AGAIN)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _told(words: list[str]) -> tuple[float, str, str]:
    """Summarize a command just received. A script's first key follows its text and the number of keys."""
    place = 3 if words[0].upper() in {"EVAL", "EVALSHA"} else 1
    return time.monotonic(), " ".join([words[0], *_conditions(words)]), words[place] if len(words) > place else ""


def _conditions(words: list[str]) -> list[str]:
    """Return a command's conditions (``NX``, ``GT``), skipping the values of other options."""
    conditions, at = [], _OPTIONS_FROM.get(words[0].upper(), len(words))
    while at < len(words):
        option = words[at].upper()
        conditions += [option] if option in _CONDITIONS else []
        at += 2 if option in _WITH_VALUE else 1
    return conditions
