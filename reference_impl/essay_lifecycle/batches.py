"""Counts a batch's essays that have their outcome, and numbers the batch's passes through the pipeline."""

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
    """An outcome contradicts what earlier ones said about its batch."""


def count(transaction: sa.Connection, outcome: UploadOutcome, *, first: bool) -> bool:
    """Count an essay's ``first`` outcome; return whether every essay of the batch has one now.

    From here on the transaction holds the batch's row, so when two transactions settle the last essays at the same
    time, the later one sees all that the earlier one wrote.
    """
    new = {"batch_id": outcome.batch_id, "size": outcome.batch_size, "settled": 0, "revision": 0}
    insert_if_absent(transaction, BATCH, **new)
    size, settled = transaction.execute(_COUNT, {"batch": outcome.batch_id, "more": int(first)}).one()
    if size != outcome.batch_size or settled > size:
        claim = f"{outcome.upload_id} says it has {outcome.batch_size}"
        raise BatchContradiction(f"batch {outcome.batch_id} has {settled} of {size} essays, and {claim}")
    return bool(settled == size)


def next_pass(transaction: sa.Connection, batch_id: str) -> str:
    """Begin the batch's next pass, its latest from now on, and return its ``pipeline_id``."""
    revision = transaction.execute(
        sa.update(BATCH)
        .where(BATCH.c.batch_id == batch_id)
        .values(revision=BATCH.c.revision + 1)
        .returning(BATCH.c.revision)
    )
    return f"{batch_id}/{revision.scalar_one()}"
