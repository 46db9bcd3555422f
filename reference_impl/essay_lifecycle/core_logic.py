"""Applies the outcomes of uploads to essays and their batches."""

from enum import StrEnum

import sqlalchemy as sa
import structlog

from reference_impl.common_core.events import (
    UPLOAD_OUTCOMES,
    BatchEssaysReadyV1,
    EssayContentProvisionedV1,
    EssayValidationFailedV1,
    ReadyEssay,
    UploadOutcome,
)
from reference_impl.essay_lifecycle import batches
from reference_impl.essay_lifecycle.batches import BATCH
from reference_impl.service_libs import ledger
from reference_impl.service_libs.consumer import Subscription
from reference_impl.service_libs.database import METADATA, Migration, insert_if_absent
from reference_impl.service_libs.idempotency import Apply, Idempotency, idempotent_consumer
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.protocols import ContentServiceClientProtocol
from reference_impl.service_libs.settings import ConsumerSettings
from reference_impl.service_libs.teller import Teller

_log = structlog.get_logger()

CONSUMER = "essay_lifecycle"

ESSAY = sa.Table(
    "essay",
    METADATA,
    sa.Column("essay_id", sa.String, primary_key=True),
    sa.Column("batch_id", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("occurrence", sa.Integer, nullable=False),
    sa.Column("raw_file_storage_id", sa.String, nullable=False),
    sa.Column("text_storage_id", sa.String),
    sa.Column("characters", sa.Integer),
    sa.Column("words", sa.Integer),
    sa.Column("reason", sa.String),
    sa.Index("essay_of_batch", "batch_id"),
)

MIGRATION = Migration("essay", [ESSAY, BATCH])


class EssayState(StrEnum):
    """The state of an essay. Either may follow the other: extracted again, a text may pass after all, or no longer."""

    READY = "ready"
    REJECTED = "rejected"


def essay_consumer(
    settings: ConsumerSettings, idempotency: Idempotency, content: ContentServiceClientProtocol, teller: Teller
) -> Subscription:
    """Make the consumer of the uploads' outcomes. The upload's id is the essay's id."""

    @idempotent_consumer(idempotency, consumer=CONSUMER, accepts=UPLOAD_OUTCOMES, ttl_seconds=settings.ttl_seconds)
    async def handle(message: Message) -> Apply:
        outcome, values = await _prepare(message, content)

        def apply(transaction: sa.Connection) -> None:
            ready = _settle(transaction, outcome, values)
            ledger.record(transaction, message, outcome.upload_id)
            if ready is not None:
                teller.tell(transaction, message, ready, topic=settings.topic_batches, key=ready.batch_id)

        return apply

    return Subscription([settings.topic_essays], handle)


async def _prepare(
    message: Message, content: ContentServiceClientProtocol
) -> tuple[UploadOutcome, dict[str, object]]:
    """Return the outcome and the column values that it sets."""
    match message.data:
        case EssayContentProvisionedV1() as data:
            text = (await content.fetch_content(data.text_storage_id)).decode()
            return data, {
                "state": EssayState.READY,
                "text_storage_id": data.text_storage_id,
                "characters": len(text),
                "words": len(text.split()),
                "reason": None,
            }
        case EssayValidationFailedV1() as data:
            return data, {
                "state": EssayState.REJECTED,
                "text_storage_id": None,
                "characters": None,
                "words": None,
                "reason": data.reason.value,
            }
        case other:
            raise TypeError(f"not an outcome of an upload: {type(other).__name__}")


def _settle(
    transaction: sa.Connection, outcome: UploadOutcome, values: dict[str, object]
) -> BatchEssaysReadyV1 | None:
    """Set the essay's state; return the event to publish if that completes its batch, or changes a complete one.

    A batch without a ready essay begins no pass, and nothing is published. If its last one is rejected after it was
    announced, the batch's latest pass, and its ranking, stay as they are.
    """
    values = values | outcome.model_dump(include={"raw_file_storage_id", "occurrence"})
    first = insert_if_absent(transaction, ESSAY, essay_id=outcome.upload_id, batch_id=outcome.batch_id, **values)
    complete = batches.count(transaction, outcome, first=first)
    changed = first or _change(transaction, outcome.upload_id, values)
    if not (complete and changed):
        return None
    essays = _ready(transaction, outcome.batch_id)
    if not essays:
        if not first:
            _log.warning(
                "no essay of the batch is ready any more; its ranking stays",
                batch_id=outcome.batch_id,
                essay_id=outcome.upload_id,
            )
        return None
    pipeline_id = batches.next_pass(transaction, outcome.batch_id)
    return BatchEssaysReadyV1(batch_id=outcome.batch_id, pipeline_id=pipeline_id, essays=essays)


def _change(transaction: sa.Connection, essay_id: str, values: dict[str, object]) -> bool:
    """Set the state of an essay that already had an outcome; return whether its state or text changed.

    An older outcome that arrives later, as a replayed dead letter does, changes nothing.
    """
    same = ESSAY.c.essay_id == essay_id
    present = sa.select(ESSAY.c.state, ESSAY.c.text_storage_id, ESSAY.c.occurrence).where(same).with_for_update()
    state, text, occurrence = transaction.execute(present).one()
    if occurrence > values["occurrence"]:
        return False
    transaction.execute(sa.update(ESSAY).where(same).values(**values))
    return (state, text) != (values["state"], values["text_storage_id"])


def _ready(transaction: sa.Connection, batch_id: str) -> tuple[ReadyEssay, ...]:
    query = sa.select(ESSAY.c.essay_id, ESSAY.c.text_storage_id).where(
        ESSAY.c.batch_id == batch_id, ESSAY.c.state == EssayState.READY
    )
    rows = transaction.execute(query).all()
    essays = [ReadyEssay(essay_id=row.essay_id, text_storage_id=row.text_storage_id) for row in rows]
    # Sorted here, because databases order strings differently and the event's digest depends on the order.
    return tuple(sorted(essays, key=lambda essay: essay.essay_id))
