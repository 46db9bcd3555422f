"""What the shared parts are to one another: small protocols, so that each can be tested against a fake."""

from typing import Any, NamedTuple, Protocol

from reference_impl.common_core.enums import ContentType


class Claim(NamedTuple):
    """What a claim found: done with this digest; or a lease held by another, for so many seconds yet; or it is ours."""

    done: bool
    held_seconds: float = 0.0


class RedisClientProtocol(Protocol):
    """Redis, as far as the services need it.

    Every method raises ``RedisUnavailable`` if there is no answer in time; what was asked may have been done all the
    same.
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
    """Kafka's publishing side.

    Methods raise ``KafkaUnavailable``, and the record may have been written all the same; ``publish`` also
    ``KafkaRefused``.
    """

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def publish(self, topic: str, key: str, value: bytes) -> None: ...


class ContentServiceClientProtocol(Protocol):
    """The content service. Methods raise ``ContentUnavailable``; ``fetch_content`` also ``ContentMissing``."""

    async def store_content(self, content: bytes, content_type: ContentType) -> str: ...
    async def fetch_content(self, storage_id: str) -> bytes: ...
