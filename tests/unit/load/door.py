"""A front door of a few lines: takes uploads, answers as it is told, can be made to keep everybody waiting."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Door:
    """``keys`` counts the requests under each Idempotency-Key; ``refusals`` are answered 503 first, all others ``answer``.

    ``bodies`` are the different ones under each key, ``targets`` what was posted to.
    """

    def __init__(self, refusals: int = 0, answer: int = 202) -> None:
        self.keys: Counter[str] = Counter()
        self.bodies: defaultdict[str, set[bytes]] = defaultdict(set)
        self.targets: set[str] = set()
        self.answer = answer
        self.refusals = refusals
        self.open = threading.Event()
        self.open.set()
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                key = self.headers["Idempotency-Key"]
                door.targets.add(self.path)
                door.bodies[key].add(self.rfile.read(int(self.headers["Content-Length"])))
                door.keys[key] += 1
                door.open.wait(30)
                door.refusals -= 1
                status = 503 if door.refusals >= 0 else door.answer
                body = json.dumps({"raw": f"blob-of-{key}"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/files"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
