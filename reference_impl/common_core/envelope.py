"""The one form in which every event travels."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

T = TypeVar("T")

EventType = Annotated[str, StringConstraints(pattern=r"^huleedu(\.[a-z][a-z0-9_]*){3}\.v[1-9][0-9]*$")]
"""``huleedu.<domain>.<entity>.<action>.v<n>``."""


class EventEnvelope(BaseModel, Generic[T]):
    """An event: who says what about which fact. Frozen; fields that a newer producer adds are passed over.

    ``event_id`` is deterministic (see ``event_ids``); ``event_timestamp`` and all else outside ``data`` may
    differ between two publications of the same fact.
    """

    model_config = ConfigDict(frozen=True)

    event_id: UUID
    event_type: EventType
    event_timestamp: AwareDatetime
    source_service: str
    correlation_id: str
    causation_id: str | None
    data: T
