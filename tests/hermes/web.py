"""A web server in threads, for what a gateway talks to: JSON in, JSON or a stream of events out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tests.servers import HOST, lease_port, return_port
from tests.servers.lifecycle import Managed

__all__ = ["Answer", "Web"]

Answer = dict[str, Any] | Iterator[dict[str, Any]]
"""One document, or the events of a stream."""


class Web(Managed):
    """Listens on a port of its own; a subclass says what is answered."""

    def __init__(self) -> None:
        self._server: _Listener | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def answer(self, path: str, document: dict[str, Any]) -> Answer:
        """What a request is answered; a GET comes with an empty document."""
        raise NotImplementedError

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._port:
            return_port(self._port)
            self._port = 0

    def _open(self) -> None:
        self._port = lease_port()
        handler = type("Handler", (_Handler,), {"web": self})
        self._server = _Listener((HOST, self._port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()


class _Listener(ThreadingHTTPServer):
    # A client that keeps its connection open must not keep a test from ending.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that was killed while it waited."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: ClassVar[Web]

    def do_GET(self) -> None:  # the name that http.server calls
        self._respond({})

    def do_DELETE(self) -> None:  # the name that http.server calls
        self._respond({})

    def do_POST(self) -> None:  # the name that http.server calls
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._respond(json.loads(body or b"{}"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # as in the base class
        """Stay silent."""

    def _respond(self, document: dict[str, Any]) -> None:
        answer = self.web.answer(urlsplit(self.path).path, document)
        self.send_response(200)
        if isinstance(answer, dict):
            body = json.dumps(answer).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in answer:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True
