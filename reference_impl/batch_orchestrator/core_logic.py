"""Starts a pass for a complete batch, and ends it: a pass is requested, then assessed."""

from enum import StrEnum

import sqlalchemy as sa

from reference_impl.common_core.events import (
    BatchAssessmentCompletedV1,
    BatchEssaysReadyV1,
    EssaySpellcheckRequestedV1,
)
from reference_impl.service_libs import ledger
from reference_impl.service_libs.consumer import Subscription
from reference_impl.service_libs.database import METADATA, Migration, insert_if_absent
from reference_impl.service_libs.idempotency import Apply, Idempotency, idempotent_consumer
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.settings import ConsumerSettings
from reference_impl.service_libs.teller import Teller

CONSUMER = "batch_orchestrator"

PIPELINE = sa.Table(
    "pipeline",
    METADATA,
    sa.Column("pipeline_id", sa.String, primary_key=True),
    sa.Column("batch_id", sa.String, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False),
)

MIGRATION = Migration("batch_orchestrator", [PIPELINE])


class PipelineState(StrEnum):
    """The state of a pass; the states follow one another in this order."""

    REQUESTED = "requested"
    ASSESSED = "assessed"


class IllegalTransition(Exception):
    """An event requests a state that cannot follow the present one."""


def batch_consumer(settings: ConsumerSettings, idempotency: Idempotency, teller: Teller) -> Subscription:
    """Make the consumer of a pass's beginning and end: complete batches, and their rankings."""

    @idempotent_consumer(
        idempotency,
        consumer=CONSUMER,
        accepts=(BatchEssaysReadyV1, BatchAssessmentCompletedV1),
        ttl_seconds=settings.ttl_seconds,
    )
    async def handle(message: Message) -> Apply:
        def apply(transaction: sa.Connection) -> None:
            match message.data:
                case BatchEssaysReadyV1() as data:
                    _begin(transaction, data)
                    for request in _requests(data):
                        teller.tell(
                            transaction, message, request, topic=settings.topic_spelling, key=request.essay_id
                        )
                case BatchAssessmentCompletedV1() as data:
                    _end(transaction, data.pipeline_id)
                case other:
                    raise TypeError(f"neither the beginning nor the end of a pass: {type(other).__name__}")
            ledger.record(transaction, message, data.pipeline_id)

        return apply

    return Subscription([settings.topic_batches, settings.topic_rankings], handle)


def _requests(data: BatchEssaysReadyV1) -> list[EssaySpellcheckRequestedV1]:
    """Make one request per essay."""
    return [
        EssaySpellcheckRequestedV1(
            **essay.model_dump(),
            batch_id=data.batch_id,
            pipeline_id=data.pipeline_id,
            pipeline_size=len(data.essays),
        )
        for essay in data.essays
    ]


def _begin(transaction: sa.Connection, data: BatchEssaysReadyV1) -> None:
    """Begin a pass, unless it exists: preventing a second effect is the inbox's task, and showing it the ledger's."""
    new = {"pipeline_id": data.pipeline_id, "batch_id": data.batch_id, "size": len(data.essays)}
    insert_if_absent(transaction, PIPELINE, **new, state=PipelineState.REQUESTED)


def _end(transaction: sa.Connection, pipeline_id: str) -> None:
    same = PIPELINE.c.pipeline_id == pipeline_id
    ended = transaction.execute(sa.update(PIPELINE).where(same).values(state=PipelineState.ASSESSED))
    if ended.rowcount != 1:
        raise IllegalTransition(f"pass {pipeline_id} was never {PipelineState.REQUESTED} and cannot become assessed")
