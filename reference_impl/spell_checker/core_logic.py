"""Corrects an essay on request."""

import asyncio

import sqlalchemy as sa

from reference_impl.common_core.enums import ContentType
from reference_impl.common_core.events import EssaySpellcheckCompletedV1, EssaySpellcheckRequestedV1
from reference_impl.service_libs import ledger
from reference_impl.service_libs.consumer import Subscription
from reference_impl.service_libs.database import ENTRY, METADATA, Migration
from reference_impl.service_libs.idempotency import Apply, Idempotency, idempotent_consumer
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.protocols import ContentServiceClientProtocol
from reference_impl.service_libs.settings import ConsumerSettings
from reference_impl.service_libs.teller import Teller
from reference_impl.spell_checker.spelling import Spelling

CONSUMER = "spell_checker"

SPELLCHECK = sa.Table(
    "spellcheck",
    METADATA,
    sa.Column("entry", ENTRY, primary_key=True, autoincrement=True),
    sa.Column("pipeline_id", sa.String, nullable=False),
    sa.Column("essay_id", sa.String, nullable=False),
    sa.Column("corrected_text_storage_id", sa.String, nullable=False),
    sa.Column("words", sa.Integer, nullable=False),
    sa.Column("corrections", sa.Integer, nullable=False),
)
"""Only ``entry`` is unique, as in the ledger: a constraint would turn a duplicate effect into a dead letter."""

MIGRATION = Migration("spell_checker", [SPELLCHECK])


def spelling_consumer(
    settings: ConsumerSettings,
    idempotency: Idempotency,
    content: ContentServiceClientProtocol,
    spelling: Spelling,
    teller: Teller,
) -> Subscription:
    """Make the consumer of requests; it skips the results, which share the topic."""

    @idempotent_consumer(
        idempotency, consumer=CONSUMER, accepts=[EssaySpellcheckRequestedV1], ttl_seconds=settings.ttl_seconds
    )
    async def handle(message: Message) -> Apply:
        completed = await _prepare(message, content, spelling)

        def apply(transaction: sa.Connection) -> None:
            row = completed.model_dump(include=set(SPELLCHECK.c.keys()))
            transaction.execute(sa.insert(SPELLCHECK), row)
            ledger.record(transaction, message, completed.business_key)
            teller.tell(transaction, message, completed, topic=settings.topic_spelling, key=completed.essay_id)

        return apply

    return Subscription([settings.topic_spelling], handle)


async def _prepare(
    message: Message, content: ContentServiceClientProtocol, spelling: Spelling
) -> EssaySpellcheckCompletedV1:
    """Correct the text and store the result."""
    data: EssaySpellcheckRequestedV1 = message.data
    text = (await content.fetch_content(data.text_storage_id)).decode()
    corrected = await asyncio.to_thread(spelling.correct, text)
    return EssaySpellcheckCompletedV1(
        **data.model_dump(exclude={"text_storage_id"}),
        corrected_text_storage_id=await content.store_content(corrected.text.encode(), ContentType.CORRECTED_TEXT),
        words=corrected.words,
        corrections=corrected.corrections,
    )
