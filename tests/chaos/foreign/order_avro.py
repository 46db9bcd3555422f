"""Orders in Avro, as serializers with a schema registry write them: a zero byte, the schema's number in four, the record.

As a program it decodes for the harness: a value a line, in base64, for a line of JSON.
"""

import base64
import io
import json
import struct
import sys
from typing import Any

import fastavro

NUMBER = 7
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


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            answer = json.dumps(decode(base64.b64decode(line)))
        except ValueError:
            answer = "null"
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
