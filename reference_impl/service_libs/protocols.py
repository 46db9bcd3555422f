"""Small protocols between the shared parts, so that tests can replace each with a fake."""

from typing import Any, NamedTuple, Protocol

from reference_impl.common_core.enums import ContentType


class Claim(NamedTuple):
    """The result of a claim: done with this digest; or leased to another for ``held_seconds`` more; or leased to us."""

    done: bool
    held_seconds: float = 0.0


class RedisClientProtocol(Protocol):
    """The part of Redis that the services need.

    Every method raises ``RedisUnavailable`` if no answer arrives in time; Redis may still have executed the command.
    """

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def set_if_not_exists(self, key: str, value: Any, ttl_seconds: int | None = None) -> bool: ...  # noqa: ANN401 - anything that Redis can store
    async def delete_key(self, key: str) -> int: ...
    async def delete_if_equals(self, key: str, value: str) -> bool: ...
    async def claim(self, done_key: str, digest: str, lease_key: str, token: str, seconds: int) -> Claim: ...
    async def settle(
        self, done_key: str, digest: str, ttl_seconds: int, lease_key: str, token: str | None
    ) -> None: ...


class KafkaBusProtocol(Protocol):
    """The publishing side of Kafka.

    Methods raise ``KafkaUnavailable``, after which the record may still have been written; ``publish`` also raises
    ``KafkaRefused``.
    """

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def publish(self, topic: str, key: str, value: bytes) -> None: ...


class ContentServiceClientProtocol(Protocol):
    """The content service. Methods raise ``ContentUnavailable``; ``fetch_content`` also raises ``ContentMissing``."""

    async def store_content(self, content: bytes, content_type: ContentType) -> str: ...
    async def fetch_content(self, storage_id: str) -> bytes: ...
