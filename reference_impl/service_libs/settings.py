"""Settings from environment variables: safe defaults, clear errors. The defaults are meant for production."""

from __future__ import annotations

import sys
from typing import ClassVar, TypeVar

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="ServiceSettings")


class ServiceSettings(BaseSettings):
    """What every service has."""

    model_config = SettingsConfigDict(frozen=True)
    SERVICE: ClassVar[str]

    listen_host: str = "127.0.0.1"
    """Not named HOST: shells set that, and a service would listen where nobody meant it to."""
    port: int = Field(ge=1, le=65535)
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")


class DatabaseSettings(BaseSettings):
    """Where a service keeps what it must not forget."""

    database_url: str = Field(description="sqlite:///PATH")
    database_busy_seconds: PositiveFloat = 5.0


class ContentSettings(BaseSettings):
    """How the content service is reached."""

    content_url: str
    http_timeout_seconds: PositiveFloat = 5.0


class KafkaSettings(BaseSettings):
    """How Kafka is reached, and by which names its topics go."""

    kafka: str = Field(description="HOST:PORT[,HOST:PORT]")
    kafka_request_timeout_ms: PositiveInt = 10_000
    kafka_backoff_ms: PositiveInt = 100
    kafka_metadata_max_age_ms: PositiveInt = 60_000
    topic_essays: str = "essays"
    topic_batches: str = "batches"
    topic_spelling: str = "spelling"
    topic_rankings: str = "rankings"
    topic_dead_letters: str = "dead-letters"


class OutboxSettings(BaseSettings):
    """How the relay takes turns and looks for rows."""

    relay_poll_seconds: PositiveFloat = 0.2
    relay_turn_seconds: PositiveFloat = 10.0
    relay_batch: PositiveInt = 100
    retry_first_seconds: PositiveFloat = 0.05
    retry_longest_seconds: PositiveFloat = 5.0


class RedisSettings(BaseSettings):
    """How Redis is reached; it is never needed for an answer to be right."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_connect_timeout_seconds: PositiveFloat = 0.5
    redis_timeout_seconds: PositiveFloat = 0.5
    redis_retry_after_seconds: PositiveFloat = 1.0
    ttl_seconds: PositiveInt = 86_400
    lease_seconds: PositiveInt = 30


class ConsumerSettings(
    ServiceSettings, DatabaseSettings, ContentSettings, KafkaSettings, OutboxSettings, RedisSettings
):
    """What every consumer of events has."""

    group: str
    session_timeout_ms: PositiveInt = 10_000
    heartbeat_interval_ms: PositiveInt = 3_000
    fetch_max_wait_ms: PositiveInt = 50
    max_poll_records: PositiveInt = 50
    max_attempts: PositiveInt = 8


def load(settings: type[S]) -> S:
    """Read the environment; on a wrong or missing variable say which and why, and end with status 2."""
    try:
        return settings()
    except ValidationError as error:
        for found in error.errors():
            name = "_".join(str(part) for part in found["loc"]).upper()
            sys.stderr.write(f"{settings.SERVICE}: environment variable {name}: {found['msg']}\n")
        raise SystemExit(2) from None
