"""Orders in Avro, as serializers with a schema registry write them: a zero byte, the schema's number in four, the record.

As a program it codes for the harness: ``decode`` takes a value a line, in base64, for a line of JSON; ``encode`` the reverse.
``break`` decodes twenty values, and then no more however often it is started.
"""

import base64
import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

import fastavro

NUMBER = 7
TWENTY = 20
DATA = [
    {"name": name, "type": kind}
    for name, kind in {"order": "string", "upload": "string", "account": "string", "amount": "double"}.items()
]
SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Event",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "type", "type": "string"},
            {"name": "data", "type": {"type": "record", "name": "Order", "fields": DATA}},
        ],
    }
)


def encode(event: Any) -> bytes:
    written = io.BytesIO(struct.pack(">bI", 0, NUMBER))
    written.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(written, SCHEMA, event)
    return written.getvalue()


def decode(value: bytes) -> Any:
    """Raises ValueError if it is no such record."""
    if value[:5] != struct.pack(">bI", 0, NUMBER):
        message = f"not of schema {NUMBER}"
        raise ValueError(message)
    try:
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), SCHEMA, None)
    except (EOFError, IndexError, TypeError) as error:
        message = "no order"
        raise ValueError(message) from error


def answer(line: str) -> str:
    if sys.argv[1] == "break":
        coded = Path("coded")
        if coded.exists() and coded.stat().st_size >= TWENTY:
            sys.exit("the schema is gone")
        with coded.open("a") as one_more:
            one_more.write("." if line.strip() else "")
    if sys.argv[1] == "encode":
        return base64.b64encode(encode(json.loads(line))).decode()
    try:
        return json.dumps(decode(base64.b64decode(line)))
    except ValueError:
        return "null"


if __name__ == "__main__":
    for asked in sys.stdin:
        sys.stdout.write(f"{answer(asked)}\n")
        sys.stdout.flush()
