"""A front door that tells its secrets to everybody: in its log, in its answers, and when it cannot start."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRETS = f"{os.environ['API_TOKEN']} {os.environ['DATABASE_URL']} {sys.argv[-1]}"


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, "ready")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        sys.stdout.write(f"{SECRETS}\n")
        sys.stdout.flush()
        self._answer(500, f"refused: {SECRETS}")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    if os.environ.get("BROKEN"):
        sys.exit(SECRETS)
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Door).serve_forever()
