"""Settings from environment variables: safe defaults, clear errors. The defaults are meant for production."""

import sys
from typing import ClassVar, TypeVar

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """Frozen; what stands below a field is its meaning in the generated table. What may hold a password is in no repr."""

    model_config = SettingsConfigDict(frozen=True, use_attribute_docstrings=True)


class ServiceSettings(Settings):
    """What every service has."""

    SERVICE: ClassVar[str]

    listen_host: str = "127.0.0.1"
    """Where it listens; not HOST, which shells set."""
    port: int = Field(ge=1, le=65535)
    """Where it listens."""
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")
    """The least important line that is written."""


class DatabaseSettings(Settings):
    """Where a service keeps what it must not forget."""

    database_url: str = Field(description="sqlite:///PATH, or postgresql://USER@HOST:PORT/NAME", repr=False)
    database_busy_seconds: PositiveFloat = 5.0
    """Longest wait for a connection or a lock."""
    retention_hours: PositiveInt = 14 * 24
    """How long sent events, and the memory of applied ones, are kept; longer than any topic keeps its records."""


class ContentSettings(Settings):
    """How the content service is reached."""

    content_url: str
    """The content service's address."""
    http_timeout_seconds: PositiveFloat = 5.0
    """Longest wait for an answer of the content service."""


class KafkaSettings(Settings):
    """How Kafka is reached, and by which names its topics go."""

    kafka: str = Field(description="HOST:PORT[,HOST:PORT]")
    kafka_request_timeout_ms: PositiveInt = 10_000
    """Longest wait for an answer of the broker."""
    kafka_backoff_ms: PositiveInt = 100
    """Pause before the client asks the broker again."""
    kafka_metadata_max_age_ms: PositiveInt = 60_000
    """Age at which the client asks anew who leads which partition."""
    topic_essays: str = "essays"
    """The uploads' outcomes."""
    topic_batches: str = "batches"
    """Batches that are ready."""
    topic_spelling: str = "spelling"
    """Spellchecks requested and completed."""
    topic_rankings: str = "rankings"
    """Assessments requested and completed."""
    topic_dead_letters: str = "dead-letters"
    """What was set aside."""


class OutboxSettings(Settings):
    """How the relay takes turns and looks for rows."""

    relay_poll_seconds: PositiveFloat = 0.2
    """How often the relay looks for rows that another process left."""
    relay_turn_seconds: PositiveFloat = 10.0
    """How long a relay's turn lasts if it is not renewed."""
    relay_batch: PositiveInt = 100
    """Most rows published at once."""
    retry_first_seconds: PositiveFloat = 0.05
    """First pause before anything is tried again; it doubles, with jitter."""
    retry_longest_seconds: PositiveFloat = 5.0
    """Longest such pause."""


class PublisherSettings(ServiceSettings, DatabaseSettings, ContentSettings, KafkaSettings, OutboxSettings):
    """What every service has that tells events."""


class RedisSettings(Settings):
    """How Redis is reached; it is never needed for an answer to be right."""

    redis_url: str = Field("redis://127.0.0.1:6379/0", repr=False)
    """Redis's address."""
    redis_connect_timeout_seconds: PositiveFloat = 0.5
    """Longest wait for a connection to Redis."""
    redis_timeout_seconds: PositiveFloat = 0.5
    """Longest wait for an answer of Redis."""
    redis_retry_after_seconds: PositiveFloat = 1.0
    """How long Redis is left alone after a failure."""
    ttl_seconds: PositiveInt = 86_400
    """How long Redis remembers that an event is done."""
    lease_seconds: PositiveInt = 30
    """How long a lease on an event in work lives."""


class ConsumerSettings(PublisherSettings, RedisSettings):
    """What every consumer of events has."""

    group: str
    """The consumer group."""
    session_timeout_ms: PositiveInt = 10_000
    """Silence after which the group gives a member's partitions to others."""
    heartbeat_interval_ms: PositiveInt = 3_000
    """How often a member says that it lives."""
    fetch_max_wait_ms: PositiveInt = 50
    """How long the broker holds back an empty answer."""
    max_poll_records: PositiveInt = 50
    """Most records of a partition taken at once."""
    max_attempts: PositiveInt = 8
    """Failures of the handler's own, or ends of the process over it, after which an event is set aside."""


def load(settings: type[S], who: str) -> S:
    """Read the environment; on a wrong or missing variable say ``who`` needs which and why, and end with status 2."""
    try:
        return settings()
    except ValidationError as error:
        for found in error.errors():
            name = "_".join(str(part) for part in found["loc"]).upper()
            sys.stderr.write(f"{who}: environment variable {name}: {found['msg']}\n")
        raise SystemExit(2) from None
