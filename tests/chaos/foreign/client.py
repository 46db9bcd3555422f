"""A client of the shop, as a load's `command`: one line of JSON an order in, one out, several orders at a time.

    client.py http://HOST:PORT [lies | dies]

It tries again until the shop says yes or no. One that lies says of each tenth order that the shop took it, and never sends it;
one that dies ends at the tenth.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SHOP, FLAW = sys.argv[1], "".join(sys.argv[2:])
PATIENCE = 20.0
TENTH = 10
PRINTING = threading.Lock()


def order(line: dict[str, object]) -> dict[str, object]:
    """Place an order, and return the line that answers it."""
    until = time.monotonic() + PATIENCE
    error = ""
    while time.monotonic() < until:
        request = Request(f"{SHOP}/orders", json.dumps(line).encode(), {"Idempotency-Key": str(line["id"])})
        try:
            with urlopen(request, timeout=5) as answer:
                return {"id": line["id"], "ok": answer.status == 202}
        except HTTPError as refused:
            error = f"HTTP {refused.code}"
        except (OSError, HTTPException) as failure:
            error = repr(failure)
        time.sleep(0.2)
    return {"id": line["id"], "ok": None, "error": error}


def answer(line: dict[str, object]) -> None:
    tenth = int(str(line["n"])) % TENTH == 0
    said = {"id": line["id"], "ok": True} if FLAW == "lies" and tenth else order(line)
    with PRINTING:
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def main() -> None:
    with ThreadPoolExecutor(16) as orders:
        for text in sys.stdin:
            line = json.loads(text)
            if FLAW == "dies" and line["n"] == TENTH:
                sys.exit("no more orders")
            orders.submit(answer, line)


if __name__ == "__main__":
    main()
