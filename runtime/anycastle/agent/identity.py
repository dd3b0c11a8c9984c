"""The node's identity: a key that never leaves it and a short-lived certificate.

    no certificate ──join token──► certificate ──2/3 of its life──► renewed (mTLS)
                                        └─ended─► renewed (the old certificate and a
                                                  request signed by its key in the body)

A join token that lies there is always used, also by a node that has a certificate: it
is how an operator brings a removed node back. Nothing here stops a node: it works on
with its cached state, says what is wrong (`problem`), and tries again.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import structlog

from anycastle.agent import calls
from anycastle.agent.cache import replace_file
from anycastle.agent.calls import Backoff, Refused
from anycastle.agent.credentials import Credentials, IdentityError, verify
from anycastle.model import codec
from anycastle.model.api import Certificate, JoinRequest, RenewRequest
from anycastle.model.node import NodeSpec

__all__ = ["STATE", "TOKEN", "Identity", "IdentityError"]

STATE = Path("/var/lib/anycastle")
TOKEN = Path("/etc/anycastle/join.token")
REFUSED_PAUSE = 60.0
"""Seconds before a refused call is tried again: only an operator can help."""
LOOK = 2.0
"""Seconds between two looks for a new join token."""
TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)

log = structlog.get_logger()


class Identity:
    """problem: what keeps the node from (re)newing its certificate, empty when nothing.

    joins: how often the node joined in this process's life; a renewal is no join.
    """

    def __init__(
        self,
        spec: NodeSpec,
        state: Path = STATE,
        token_file: Path = TOKEN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spec = spec
        self._file = state / "identity.pem"
        self._token_file = token_file
        self._clock = clock
        self._ready = asyncio.Event()
        self._credentials: Credentials | None = None
        self._context: ssl.SSLContext | None = None
        self._refused_token = ""
        self.problem = ""
        self.joins = 0

    @property
    def expires_at(self) -> float | None:
        """Epoch seconds of the certificate's end; None without one."""
        return self._credentials.not_after if self._credentials else None

    async def wait_ready(self) -> None:
        """Returns when there is a certificate that is good now."""
        await self._ready.wait()

    def ssl_context(self) -> ssl.SSLContext:
        """For calls as this node; a new one after each renewal. Raises IdentityError."""
        if self._context is None:
            raise IdentityError(self.problem or "the node has no certificate yet")
        return self._context

    async def run(self) -> None:
        """Join, renew, for life; raises nothing but cancellation."""
        backoff = Backoff(0.5, 10.0)
        while True:
            try:
                self._load()
                await self._step()
                self._note("")
                backoff.reset()
                await self._wait(self._until_renewal())
            except Refused as error:
                self._note(f"the control plane refuses: {error}")
                await self._wait(REFUSED_PAUSE)
            except IdentityError as error:
                self._note(str(error))
                await self._wait(REFUSED_PAUSE)
            except calls.FAILURES as error:
                self._note(f"control plane not reached: {calls.explain(error)}")
                await asyncio.sleep(backoff.pause())

    def _load(self) -> None:
        """Take the file's identity if it is ours and whole. Raises IdentityError."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            credentials = Credentials.load(self._file)
        except OSError as error:
            raise IdentityError(f"{self._file}: {error.strerror}") from error
        try:
            verify(credentials, self._spec.name, self._spec.deployment, self._ca())
        except IdentityError as error:
            if credentials.certificate:
                log.warning("identity.unusable", path=str(self._file), reason=str(error))
            credentials = credentials.without_certificate()
        if self._credentials is None or credentials != self._credentials:
            self._use(credentials)
        if credentials.certificate and self._clock() >= credentials.not_after:
            self._context = None
            self._ready.clear()

    def _use(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._context = None
        self._ready.clear()
        if credentials.certificate and self._clock() < credentials.not_after:
            context = self._server_only()
            context.load_cert_chain(self._file)
            self._context = context
            self._ready.set()

    async def _step(self) -> None:
        """Do what is due. Raises IdentityError, Refused, or one of calls.FAILURES."""
        credentials = self._credentials
        assert credentials is not None  # _load has seen to it
        token = self._token()
        if token and token != self._refused_token:
            await self._join(credentials, token)
        elif not credentials.certificate:
            raise IdentityError(
                f"no certificate and no join token: make one for {self._spec.name} and put it"
                f" into {self._token_file}"
                if not token
                else f"the join token in {self._token_file} was refused: put a new one there"
            )
        elif self._until_renewal() <= 0:
            await self._renew(credentials)

    async def _join(self, credentials: Credentials, token: str) -> None:
        # The key first: if the answer is lost, the same key may use the token again.
        self._write(credentials)
        csr = credentials.request(self._spec.name, self._spec.deployment)
        body = JoinRequest(token=token, node=self._spec.name, csr=csr)
        try:
            answer = await self._post("/v1/join", body, self._server_only())
        except Refused as error:
            if error.status in (401, 403):
                self._refused_token = token
                if credentials.certificate:
                    log.warning("identity.join_refused", reason=str(error))
                    return
            raise
        self._store(credentials, answer)
        self._token_file.unlink(missing_ok=True)
        self.joins += 1
        log.info("identity.joined", node=self._spec.name, expires_at=answer.expires_at)

    async def _renew(self, credentials: Credentials) -> None:
        ended = self._clock() >= credentials.not_after
        csr = credentials.request(self._spec.name, self._spec.deployment)
        body = RenewRequest(csr=csr, certificate=credentials.certificate if ended else None)
        context = self._server_only() if ended else self.ssl_context()
        answer = await self._post("/v1/agent/renew", body, context)
        self._store(credentials, answer)
        log.info("identity.renewed", node=self._spec.name, expires_at=answer.expires_at)

    def _store(self, credentials: Credentials, answer: Certificate) -> None:
        renewed = credentials.with_certificate(answer.certificate)
        verify(renewed, self._spec.name, self._spec.deployment, self._ca())
        self._write(renewed)
        self._use(renewed)

    def _write(self, credentials: Credentials) -> None:
        try:
            replace_file(self._file, credentials.pem)
        except OSError as error:
            raise IdentityError(f"{self._file}: {error.strerror}") from error

    async def _post(
        self, path: str, body: JoinRequest | RenewRequest, context: ssl.SSLContext
    ) -> Certificate:
        failure: Exception = IdentityError("the node spec names no control plane")
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
            for url in self._spec.control.urls:
                try:
                    async with session.post(url + path, data=codec.to_json(body)) as response:
                        await calls.check(response)
                        return codec.from_json(await response.read(), Certificate)
                except calls.FAILURES as error:
                    failure = error
        raise failure

    async def _wait(self, seconds: float) -> None:
        """Until then, or until somebody writes another join token."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            if self._token() not in ("", self._refused_token):
                return
            await asyncio.sleep(min(LOOK, left))

    def _until_renewal(self) -> float:
        credentials = self._credentials
        return credentials.renew_at - self._clock() if credentials else 0.0

    def _token(self) -> str:
        try:
            return self._token_file.read_text().strip()
        except OSError:
            return ""

    def _server_only(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._ca().decode("ascii", "replace"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    def _ca(self) -> bytes:
        path = Path(self._spec.control.ca_file)
        try:
            return path.read_bytes()
        except OSError as error:
            raise IdentityError(f"the control plane's CA {path}: {error.strerror}") from error

    def _note(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error("identity.problem", reason=problem)
        self.problem = problem
