"""Prints what ledger.py keeps in its database, a JSON object a line: its ``bills``, or the sums of its ``accounts``."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

QUERIES = {
    "bills": "SELECT order_number AS id, number AS effect FROM bills",
    "accounts": "SELECT account AS id, printf('%.2f', cents / 100.0) AS total FROM accounts",
}

if __name__ == "__main__":
    with closing(sqlite3.connect(f"{Path(os.environ['DATABASE']).as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        for row in database.execute(QUERIES[sys.argv[1]]):
            print(json.dumps(dict(row)))  # noqa: T201 - it is what is asked for
