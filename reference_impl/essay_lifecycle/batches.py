"""Batches: how many of a batch's essays have their outcome, and which pass through the pipeline is the latest."""

import sqlalchemy as sa

from reference_impl.common_core.events import UploadOutcome
from reference_impl.service_libs.database import METADATA, insert_if_absent

BATCH = sa.Table(
    "essay_batch",
    METADATA,
    sa.Column("batch_id", sa.String, primary_key=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("settled", sa.Integer, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)

_COUNT = (
    sa.update(BATCH)
    .where(BATCH.c.batch_id == sa.bindparam("batch"))
    .values(settled=BATCH.c.settled + sa.bindparam("more"))
    .returning(BATCH.c.size, BATCH.c.settled)
)


class BatchContradiction(Exception):
    """An outcome does not fit what earlier ones said of its batch."""


def count(transaction: sa.Connection, outcome: UploadOutcome, *, first: bool) -> bool:
    """Count an essay's ``first`` outcome; whether every essay of the batch has one now.

    From here to its end the transaction holds the batch's row, so of two that settle the last essays at the same time
    the later one sees all that the earlier one wrote.
    """
    new = {"batch_id": outcome.batch_id, "size": outcome.batch_size, "settled": 0, "revision": 0}
    insert_if_absent(transaction, BATCH, **new)
    size, settled = transaction.execute(_COUNT, {"batch": outcome.batch_id, "more": int(first)}).one()
    if size != outcome.batch_size or settled > size:
        told = f"{outcome.upload_id} says it has {outcome.batch_size}"
        raise BatchContradiction(f"batch {outcome.batch_id} has {settled} of {size} essays, and {told}")
    return bool(settled == size)


def next_pass(transaction: sa.Connection, batch_id: str) -> str:
    """The ``pipeline_id`` of the batch's next pass, which is its latest from now on."""
    passed = transaction.execute(
        sa.update(BATCH)
        .where(BATCH.c.batch_id == batch_id)
        .values(revision=BATCH.c.revision + 1)
        .returning(BATCH.c.revision)
    )
    return f"{batch_id}/{passed.scalar_one()}"
