"""Settings from environment variables, with clear errors. The defaults are meant for production."""

import sys
from typing import ClassVar, TypeVar

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """Frozen. A field's docstring is its entry in the generated table; possible passwords stay out of the repr."""

    model_config = SettingsConfigDict(frozen=True, use_attribute_docstrings=True)


class ServiceSettings(Settings):
    """Settings of every service."""

    SERVICE: ClassVar[str]

    listen_host: str = "127.0.0.1"
    """Address to listen on; not named HOST, which shells set."""
    port: int = Field(ge=1, le=65535)
    """Port to listen on."""
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")
    """Least severe level that is logged."""


class DatabaseSettings(Settings):
    """Settings of a service with a database."""

    database_url: str = Field(description="sqlite:///PATH, or postgresql://USER@HOST:PORT/NAME", repr=False)
    database_busy_seconds: PositiveFloat = 5.0
    """Longest wait for a thread, and then for a connection or a lock."""


class ContentSettings(Settings):
    """Settings of the content service's client."""

    content_url: str
    """URL of the content service."""
    http_timeout_seconds: PositiveFloat = 5.0
    """Longest wait for an answer from the content service."""


class KafkaSettings(Settings):
    """Settings of Kafka's clients, and the names of the topics."""

    kafka: str = Field(description="HOST:PORT[,HOST:PORT]")
    kafka_request_timeout_ms: PositiveInt = 10_000
    """Longest wait for an answer from the broker."""
    kafka_backoff_ms: PositiveInt = 100
    """Pause before the client retries a request to the broker."""
    kafka_metadata_max_age_ms: PositiveInt = 60_000
    """Age at which the client refreshes its metadata: which broker leads which partition."""
    topic_essays: str = "essays"
    """Topic of the uploads' outcomes."""
    topic_batches: str = "batches"
    """Topic of the batches that are ready."""
    topic_spelling: str = "spelling"
    """Topic of the spellchecks requested and completed."""
    topic_rankings: str = "rankings"
    """Topic of the assessments requested and completed."""
    topic_dead_letters: str = "dead-letters"
    """Topic of the dead letters."""


class OutboxSettings(Settings):
    """Settings of the outbox and its relay, and of what is kept for how long."""

    relay_poll_seconds: PositiveFloat = 0.2
    """How often the relay looks for rows that another process left."""
    relay_turn_seconds: PositiveFloat = 10.0
    """How long a relay's turn lasts unless renewed."""
    relay_batch: PositiveInt = 100
    """Maximum number of rows published at once."""
    retention_hours: int = Field(14 * 24, ge=2)
    """How long sent events, and the inbox rows of applied ones, are kept, in all services: longer than any topic keeps a
    record. What the relay could not mark as published for as long, less an hour, it refuses to publish."""
    retry_first_seconds: PositiveFloat = 0.05
    """First pause before a retry; it doubles each time, with jitter."""
    retry_longest_seconds: PositiveFloat = 5.0
    """Longest pause before a retry."""


class PublisherSettings(ServiceSettings, DatabaseSettings, ContentSettings, KafkaSettings, OutboxSettings):
    """Settings of every service that publishes events."""


class RedisSettings(Settings):
    """Settings of the Redis client; correctness never depends on Redis."""

    redis_url: str = Field("redis://127.0.0.1:6379/0", repr=False)
    """URL of Redis."""
    redis_connect_timeout_seconds: PositiveFloat = 0.5
    """Longest wait for a connection to Redis."""
    redis_timeout_seconds: PositiveFloat = 0.5
    """Longest wait for an answer from Redis."""
    redis_retry_after_seconds: PositiveFloat = 1.0
    """How long Redis is left alone after a failure."""
    ttl_seconds: PositiveInt = 86_400
    """How long Redis remembers that an event is done."""
    lease_seconds: PositiveInt = 30
    """Lifetime of a lease on an event in progress."""


class ConsumerSettings(PublisherSettings, RedisSettings):
    """Settings of every consumer."""

    group: str
    """Consumer group."""
    session_timeout_ms: PositiveInt = 10_000
    """Silence after which the group reassigns a member's partitions."""
    heartbeat_interval_ms: PositiveInt = 3_000
    """How often a member sends a heartbeat."""
    fetch_max_wait_ms: PositiveInt = 250
    """How long the broker delays an empty answer. A partition that was just read may wait as long for its next records."""
    max_poll_records: PositiveInt = 50
    """Maximum number of a partition's records taken at once."""
    max_attempts: PositiveInt = 8
    """Failures of the handler's own, or deaths of the process over an event, after which the event is set aside."""


def load(settings: type[S], who: str) -> S:
    """Read the environment; if a variable is wrong or missing, say which ``who`` needs and why, and exit with 2."""
    try:
        return settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{who}: environment variable {name}: {problem['msg']}\n")
        raise SystemExit(2) from None
