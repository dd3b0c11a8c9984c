"""AWS for tests: moto's server behind a real HTTP port, and answers that it never gives."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from anycastle.aws.client import client

REGION = "eu-west-1"


@dataclass(frozen=True)
class Aws:
    """url: of the server. Made as an account without access control unless told."""

    url: str

    def client(self, service: str, region: str = REGION) -> Any:
        """As our code makes it, but for the address."""
        return client(service, region, endpoint_url=self.url)

    def setup(self, service: str, region: str = REGION) -> Any:
        """A plain boto3 client, to prepare what a test needs."""
        session = boto3.session.Session(region_name=region)
        return session.client(service, endpoint_url=self.url)

    def tell(self, what: str, body: str = "") -> None:
        """moto's own interface: `reset`, `reset-auth` (calls until policies are asked for)."""
        request = urllib.request.Request(
            f"{self.url}/moto-api/{what}",
            data=body.encode(),
            method="POST",
            headers={"content-type": "text/plain"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200


@contextmanager
def aws() -> Iterator[Aws]:
    """A new, empty account."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        made = Aws(f"http://{host}:{port}")
        made.tell("reset")  # accounts live as long as the process otherwise
        yield made
    finally:
        server.stop()


@dataclass
class Refusing:
    """A server whose every answer is one error. asked: how often it was asked."""

    code: str
    status: int = 400
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def client(self, service: str, region: str = REGION) -> Any:
        return client(service, region, endpoint_url=self.url)


@contextmanager
def refusing(code: str, status: int = 400) -> Iterator[Refusing]:
    """What AWS says where moto has no such answer: throttling, ended credentials.

    In JSON where a call is a POST, in XML (S3) else.
    """
    told = Refusing(code, status)

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            told.asked.append(self.headers.get("x-amz-target", ""))
            text = f'{{"__type": "{code}", "message": "as told by the test"}}'
            self._answer("application/x-amz-json-1.1", text)

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            told.asked.append(self.path)
            text = f"<Error><Code>{code}</Code><Message>as told by the test</Message></Error>"
            self._answer("application/xml", text)

        do_PUT = do_GET  # noqa: N815 - the library's names

        def do_HEAD(self) -> None:
            """Where the bucket is instead, which botocore asks by itself: nobody knows."""
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

        def _answer(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
