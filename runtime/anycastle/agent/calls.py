"""Calls from the agent to the control plane: what they have in common."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable

import aiohttp

from anycastle.model import codec
from anycastle.model.api import Error

LONGEST_ERROR = 64 << 10

FAILURES = (aiohttp.ClientError, OSError, TimeoutError)
"""What a call raises when there is no answer, beside Refused."""


class Refused(Exception):
    """The control plane answered with an error. status: HTTP's. code: see docs/api.md."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(f"{message} ({status} {code})")

    @property
    def is_final(self) -> bool:
        """Is the request itself at fault, so that repeating it is of no use?"""
        return 400 <= self.status < 500 and self.status not in (401, 403, 408, 429)


async def check(response: aiohttp.ClientResponse) -> None:
    """Raises Refused unless the call went well."""
    if response.status < 400:
        return
    data = await response.content.read(LONGEST_ERROR)
    try:
        error = codec.from_json(data, Error).error
    except codec.ModelError:
        raise Refused(response.status, "unknown", f"HTTP {response.status}") from None
    raise Refused(response.status, error.code, error.message)


def explain(error: BaseException) -> str:
    """In words for the one who reads the node's log: what failed, and whose fault it is."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            "the control plane's certificate is not trusted, it belongs to another deployment"
            f" or control-ca.pem is wrong: {error.certificate_error}"
        )
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection broke off"
    reason = _tls_reason(error)
    if "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason:
        return "the control plane refuses this node's certificate: it is another deployment's"
    if "CERTIFICATE_EXPIRED" in reason:
        return "the control plane refuses this node's certificate: it has expired"
    return str(error) or type(error).__name__


def _tls_reason(error: BaseException | None) -> str:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error.reason or ""
        error = error.__cause__ or error.__context__ or getattr(error, "os_error", None)
    return ""


class Backoff:
    """Growing pauses with jitter, so that many nodes don't come back at one moment.

    lowest, highest: seconds. chance: a number in [0, 1) each time.
    """

    def __init__(
        self, lowest: float, highest: float, chance: Callable[[], float] = random.random
    ) -> None:
        self._lowest = lowest
        self._highest = highest
        self._chance = chance
        self._next = lowest

    def reset(self) -> None:
        self._next = self._lowest

    def pause(self) -> float:
        """Seconds to wait now: half to all of a value that doubles each time."""
        value = self._next
        self._next = min(self._highest, value * 2)
        return value * (0.5 + self._chance() / 2)
