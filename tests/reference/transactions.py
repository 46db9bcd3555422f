"""Functions for the transactions of the databases' tests."""

from __future__ import annotations

import asyncio
import threading

from sqlalchemy import insert, text

from reference_impl.service_libs import inbox as inboxes
from reference_impl.service_libs import outbox
from reference_impl.service_libs.inbox import QUARANTINE

MIGRATIONS = [outbox.MIGRATION, inboxes.MIGRATION]

ROW = {"consumer": "c", "event_id": "e", "digest": "d"}
SEEN = "SELECT event_id FROM quarantine ORDER BY 1"


def put(transaction, event_id="e"):
    transaction.execute(insert(QUARANTINE).values(**{**ROW, "event_id": event_id}))


def ask(connection):
    return connection.execute(text("SELECT 1")).scalar()


class Standing:
    """A function for a transaction that inserts a row, and stands in its thread until it is let go."""

    def __init__(self, event_id="e"):
        self.begun = False
        self.event_id = event_id
        self._entered, self._go = threading.Event(), threading.Event()

    def __call__(self, transaction):
        self.begun = True
        put(transaction, self.event_id)
        self._entered.set()
        assert self._go.wait(30)

    async def entered(self):
        assert await asyncio.to_thread(self._entered.wait, 30)

    def go(self):
        self._go.set()
