"""Admits essays one by one; the last essay of a pass requests the assessment."""

import asyncio
from dataclasses import asdict

import rfc8785
import sqlalchemy as sa

from reference_impl.cj_assessment.features import Features, measure
from reference_impl.cj_assessment.ranking import rank
from reference_impl.common_core.enums import ContentType
from reference_impl.common_core.events import (
    BatchAssessmentCompletedV1,
    BatchAssessmentRequestedV1,
    EssaySpellcheckCompletedV1,
)
from reference_impl.service_libs import ledger
from reference_impl.service_libs.consumer import Subscription
from reference_impl.service_libs.database import ENTRY, METADATA, Database, Migration, insert_if_absent
from reference_impl.service_libs.idempotency import Apply, Idempotency, idempotent_consumer
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.protocols import ContentServiceClientProtocol
from reference_impl.service_libs.settings import ConsumerSettings
from reference_impl.service_libs.teller import Teller

CONSUMER = "cj_assessment"

ASSESSMENT = sa.Table(
    "assessment",
    METADATA,
    sa.Column("pipeline_id", sa.String, primary_key=True),
    sa.Column("batch_id", sa.String, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("admitted", sa.Integer, nullable=False),
    sa.Column("result_storage_id", sa.String),
)

ADMISSION = sa.Table(
    "admission",
    METADATA,
    sa.Column("entry", ENTRY, primary_key=True, autoincrement=True),
    sa.Column("pipeline_id", sa.String, nullable=False),
    sa.Column("essay_id", sa.String, nullable=False),
    sa.Column("words", sa.Integer, nullable=False),
    sa.Column("distinct_words", sa.Integer, nullable=False),
    sa.Column("sentences", sa.Integer, nullable=False),
    sa.Column("corrections", sa.Integer, nullable=False),
    sa.Index("admission_of_pass", "pipeline_id"),
)
"""Only ``entry`` is unique, here and in ``RANKING``: a constraint would hide a duplicate effect."""

RANKING = sa.Table(
    "ranking",
    METADATA,
    sa.Column("entry", ENTRY, primary_key=True, autoincrement=True),
    sa.Column("pipeline_id", sa.String, nullable=False),
    sa.Column("essay_id", sa.String, nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("strength_ppm", sa.Integer, nullable=False),
)

MIGRATION = Migration("cj_assessment", [ASSESSMENT, ADMISSION, RANKING])

_COUNT = (
    sa.update(ASSESSMENT)
    .where(ASSESSMENT.c.pipeline_id == sa.bindparam("passed"))
    .values(admitted=ASSESSMENT.c.admitted + 1)
    .returning(ASSESSMENT.c.size, ASSESSMENT.c.admitted)
)


class PassContradiction(Exception):
    """An event contradicts what earlier ones said about its pass."""


def assessment_consumer(
    settings: ConsumerSettings,
    idempotency: Idempotency,
    content: ContentServiceClientProtocol,
    database: Database,
    teller: Teller,
) -> Subscription:
    """Make the consumer of corrected essays and of its own ranking requests, which share a topic with the rankings."""
    topic = settings.topic_rankings

    @idempotent_consumer(
        idempotency,
        consumer=CONSUMER,
        accepts=(EssaySpellcheckCompletedV1, BatchAssessmentRequestedV1),
        ttl_seconds=settings.ttl_seconds,
    )
    async def handle(message: Message) -> Apply:
        match message.data:
            case EssaySpellcheckCompletedV1() as data:
                text = (await content.fetch_content(data.corrected_text_storage_id)).decode()
                return _admitting(message, data, measure(text, data.corrections), teller, topic)
            case BatchAssessmentRequestedV1() as data:
                completed = await _assess(data, content, database)
                return _concluding(message, completed, teller, topic)
            case other:
                raise TypeError(f"neither a corrected essay nor a request: {type(other).__name__}")

    return Subscription([settings.topic_spelling, topic], handle)


def _admitting(
    message: Message, data: EssaySpellcheckCompletedV1, features: Features, teller: Teller, topic: str
) -> Apply:
    def apply(transaction: sa.Connection) -> None:
        complete = _admit(transaction, data, features)
        ledger.record(transaction, message, data.business_key)
        if complete:
            request = BatchAssessmentRequestedV1(batch_id=data.batch_id, pipeline_id=data.pipeline_id)
            teller.tell(transaction, message, request, topic=topic, key=data.batch_id)

    return apply


def _admit(transaction: sa.Connection, data: EssaySpellcheckCompletedV1, features: Features) -> bool:
    """Admit an essay; return whether it was the last of its pass."""
    same = {"pipeline_id": data.pipeline_id}
    transaction.execute(sa.insert(ADMISSION), {**same, "essay_id": data.essay_id, **asdict(features)})
    new = {"batch_id": data.batch_id, "size": data.pipeline_size, "admitted": 0}
    insert_if_absent(transaction, ASSESSMENT, **same, **new)
    size, admitted = transaction.execute(_COUNT, {"passed": data.pipeline_id}).one()
    if size != data.pipeline_size or admitted > size:
        claim = f"{data.essay_id} says it has {data.pipeline_size}"
        raise PassContradiction(f"pass {data.pipeline_id} has {admitted} of {size} essays, and {claim}")
    return bool(admitted == size)


async def _assess(
    data: BatchAssessmentRequestedV1, content: ContentServiceClientProtocol, database: Database
) -> BatchAssessmentCompletedV1:
    """Rank the admitted essays, and store the result."""
    query = sa.select(ADMISSION).where(ADMISSION.c.pipeline_id == data.pipeline_id)
    rows = await database.read(lambda connection: connection.execute(query).all())
    ranking = await asyncio.to_thread(
        rank, {row.essay_id: Features(row.words, row.distinct_words, row.sentences, row.corrections) for row in rows}
    )
    essays = [essay.model_dump() for essay in ranking.essays]
    result = data.model_dump() | {"essays": essays, "comparisons": ranking.comparisons}
    return BatchAssessmentCompletedV1(
        **data.model_dump(),
        result_storage_id=await content.store_content(rfc8785.dumps(result), ContentType.ASSESSMENT_RESULT),
        ranking=ranking.essays,
    )


def _concluding(message: Message, completed: BatchAssessmentCompletedV1, teller: Teller, topic: str) -> Apply:
    def apply(transaction: sa.Connection) -> None:
        same = ASSESSMENT.c.pipeline_id == completed.pipeline_id
        transaction.execute(sa.update(ASSESSMENT).where(same).values(result_storage_id=completed.result_storage_id))
        rows = [{"pipeline_id": completed.pipeline_id, **essay.model_dump()} for essay in completed.ranking]
        transaction.execute(sa.insert(RANKING), rows)
        ledger.record(transaction, message, completed.business_key)
        teller.tell(transaction, message, completed, topic=topic, key=completed.batch_id)

    return apply
