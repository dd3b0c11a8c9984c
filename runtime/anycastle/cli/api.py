"""Calls to the control plane's API over HTTPS.

Every failure becomes a `Failure`: one line that names what was tried, what came
back, and what the operator can do. Nothing is retried here; `events` does so.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from anycastle import __version__
from anycastle.cli.errors import Exit, Failure
from anycastle.cli.output import safe
from anycastle.model import codec
from anycastle.model.api import Error, ErrorBody

T = TypeVar("T")

TIMEOUT = httpx.Timeout(15.0, connect=5.0)
FOLLOW_TIMEOUT = httpx.Timeout(15.0, connect=5.0, read=None)

# A followed stream may be silent for hours: TCP itself has to notice a dead peer.
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


@dataclass(frozen=True)
class Access:
    """Where the API is and what opens it. url: `https://host:port`.

    ca: a PEM file; None: `pem` is what would stand in it.
    """

    url: str
    token: str
    ca: Path | None
    pem: str = ""


class Api:
    """An open connection to the API; a context manager.

    transport: in place of the network (and then the CA file is not read).
    """

    def __init__(self, access: Access, transport: httpx.BaseTransport | None = None) -> None:
        self.access = access
        self._client = httpx.Client(
            base_url=access.url,
            headers={
                "Authorization": f"Bearer {access.token}",
                "Accept": "application/json",
                "User-Agent": f"anycastle/{__version__}",
            },
            timeout=TIMEOUT,
            transport=transport or _network(access),
            # The API is named by address and proved by its own CA: no proxy, no system CAs.
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, kind: type[T], *path: str, **parameters: str | int) -> T:
        """path: below `/v1`, one argument a segment. Raises Failure."""
        return self._value(self._call("GET", path, params=parameters).content, kind)

    def post(self, kind: type[T], body: msgspec.Struct | None, *path: str) -> T:
        """body: None for a call without one. Raises Failure."""
        headers = {"Content-Type": "application/json"}
        content = None if body is None else codec.to_json(body)
        response = self._call("POST", path, content=content, headers=headers)
        return self._value(response.content, kind)

    def delete(self, *path: str) -> None:
        """Raises Failure."""
        self._call("DELETE", path)

    def follow(self, kind: type[T], *path: str, **parameters: str | int) -> Iterator[T]:
        """The values of a stream of JSON lines, until it ends. Raises Failure."""
        request = self._client.build_request(
            "GET", _route(path), params=parameters, timeout=FOLLOW_TIMEOUT
        )
        with self._translated():
            response = self._client.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                    raise failure(response, self.access.url)
                for line in response.iter_lines():
                    if line.strip():
                        yield self._value(line, kind)
            finally:
                response.close()

    def _call(self, method: str, path: Sequence[str], **rest: Any) -> httpx.Response:
        with self._translated():
            response = self._client.request(method, _route(path), **rest)
        if response.is_error or response.is_redirect:
            raise failure(response, self.access.url)
        return response

    def _value(self, data: bytes | str, kind: type[T]) -> T:
        try:
            return codec.from_json(data, kind)
        except codec.ModelError as error:
            raise Failure(
                Exit.BROKEN,
                f"{self.access.url} answered with something unexpected ({error}): is --url the "
                f"API's, and is this command ({__version__}) as old as it?",
            ) from None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise unreachable(error, self.access) from None


def unreachable(error: httpx.TransportError, access: Access) -> Failure:
    """No HTTP answer came: the network, TLS, or a server that broke off."""
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        detail = text.partition("certificate verify failed: ")[2].rpartition(" (_ssl")[0] or text
        ca = access.ca or "what the stack says"
        advice = f"is {ca} the CA of the deployment at {access.url}, and is --url right?"
        return Failure(Exit.UNREACHABLE, f"TLS: cannot verify {access.url} ({detail}): {advice}")
    if "[SSL" in text:
        advice = "is --url the API's port?"
        return Failure(Exit.UNREACHABLE, f"TLS: {access.url} failed ({text}): {advice}")
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        advice = (
            "is the control plane running (systemctl status anycastle-control), and --url right?"
        )
        return Failure(Exit.UNREACHABLE, f"cannot reach {access.url} ({text}): {advice}")
    if isinstance(error, httpx.TimeoutException):
        return Failure(Exit.UNREACHABLE, f"{access.url} did not answer in time: try again")
    return Failure(Exit.UNREACHABLE, f"{access.url} broke off ({text}): try again")


def failure(response: httpx.Response, url: str) -> Failure:
    """An answer that is not 2xx, as the operator has to read it."""
    status, body = response.status_code, _error_body(response)
    message = safe(body.message)
    if status == 401:
        advice = "check ANYCASTLE_TOKEN, or make a new one with `anycastle token create`"
        return Failure(Exit.DENIED, f"{message}: {advice}")
    if status == 403:
        return Failure(Exit.DENIED, f"{message}: use a token whose role allows this")
    if status == 404:
        return Failure(Exit.NOT_FOUND, message)
    if status >= 500:
        advice = "see `journalctl -u anycastle-control` on the control-plane host"
        return Failure(Exit.BROKEN, f"{url} failed (HTTP {status}: {message}): {advice}")
    if 300 <= status < 400:
        return Failure(Exit.BROKEN, f"{url} redirects (HTTP {status}): --url is not the API's")
    said = f"{safe(body.field)}: {message}" if body.field else message
    return Failure(Exit.REFUSED, said, body.code)


def _error_body(response: httpx.Response) -> ErrorBody:
    try:
        return codec.from_json(response.content, Error).error
    except codec.ModelError:
        return ErrorBody(code="unknown", message=response.reason_phrase or "no reason given")


def _route(path: Sequence[str]) -> str:
    return "/v1/" + "/".join(quote(segment, safe="") for segment in path)


def _network(access: Access) -> httpx.HTTPTransport:
    given = f"--ca: {access.ca}" if access.ca else "--stack: its output control_ca"
    try:
        if access.ca:
            context = ssl.create_default_context(cafile=str(access.ca))
        else:
            context = ssl.create_default_context(cadata=access.pem)
    except FileNotFoundError:
        raise Failure(Exit.USAGE, f"{given} does not exist") from None
    except (OSError, ssl.SSLError) as error:
        raise Failure(Exit.USAGE, f"{given} is not a PEM file ({error})") from None
    return httpx.HTTPTransport(verify=context, socket_options=KEEPALIVE)
