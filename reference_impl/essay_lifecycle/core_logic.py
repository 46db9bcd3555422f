"""What the outcomes of uploads do to an essay."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable

from reference_impl.common_core.events import UPLOAD_OUTCOMES, EssayContentProvisionedV1, EssayValidationFailedV1
from reference_impl.essay_lifecycle.protocols import ContentServiceClientProtocol
from reference_impl.essay_lifecycle.state_machine import EssayState, check
from reference_impl.service_libs import ledger
from reference_impl.service_libs.database import METADATA, Migration, insert_if_absent
from reference_impl.service_libs.idempotency import Apply, Consume, Idempotency, idempotent_consumer
from reference_impl.service_libs.message import Message

CONSUMER = "essay_lifecycle"

ESSAY = Table(
    "essay",
    METADATA,
    Column("essay_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("raw_file_storage_id", String, nullable=False),
    Column("text_storage_id", String),
    Column("characters", Integer),
    Column("words", Integer),
    Column("reason", String),
)

MIGRATION = Migration("essay", (CreateTable(ESSAY),))


def essay_consumer(idempotency: Idempotency, content: ContentServiceClientProtocol, ttl_seconds: int) -> Consume:
    """The consumer of both outcomes. An essay is known by its upload's id."""

    @idempotent_consumer(idempotency, consumer=CONSUMER, accepts=UPLOAD_OUTCOMES, ttl_seconds=ttl_seconds)
    async def handle(message: Message) -> Apply:
        essay_id, values = await _prepare(message, content)

        async def apply(transaction: AsyncConnection) -> None:
            await _set_state(transaction, essay_id, values)
            await ledger.record(transaction, message, essay_id)

        return apply

    return handle


async def _prepare(message: Message, content: ContentServiceClientProtocol) -> tuple[str, dict[str, object]]:
    """The essay's id and the columns that the event sets."""
    match message.event.data if message.event else None:
        case EssayContentProvisionedV1() as data:
            text = (await content.fetch_content(data.text_storage_id)).decode()
            return data.upload_id, {
                "state": EssayState.READY,
                "raw_file_storage_id": data.raw_file_storage_id,
                "text_storage_id": data.text_storage_id,
                "characters": len(text),
                "words": len(text.split()),
                "reason": None,
            }
        case EssayValidationFailedV1() as data:
            return data.upload_id, {
                "state": EssayState.REJECTED,
                "raw_file_storage_id": data.raw_file_storage_id,
                "reason": data.reason.value,
            }
        case other:
            raise TypeError(f"no outcome of an upload: {type(other).__name__}")


async def _set_state(transaction: AsyncConnection, essay_id: str, values: dict[str, object]) -> None:
    same = ESSAY.c.essay_id == essay_id
    present = (await transaction.execute(select(ESSAY.c.state).where(same))).scalar()
    check(essay_id, EssayState(present) if present is not None else None, EssayState(str(values["state"])))
    if not await insert_if_absent(transaction, ESSAY, essay_id=essay_id, **values):
        await transaction.execute(update(ESSAY).where(same).values(**values))
