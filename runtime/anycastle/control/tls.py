"""TLS of the one port: nodes show a certificate, operators don't."""

from __future__ import annotations

import ssl
import tempfile

import structlog

from anycastle.control.pki import Authority

log = structlog.get_logger()


class _Explaining(ssl.SSLObject):
    """Lets the alert out that says why a handshake failed.

    asyncio drops the connection at once on such an error, with the alert still in its
    buffer, so the other side would see a closed connection and no reason. "Want read"
    makes it send what there is; the error follows when the other side has closed.
    """

    _refusal: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLSyscallError):
            raise
        except ssl.SSLError as error:
            self._refusal = error
            log.info("tls.refused", reason=error.reason, detail=str(error))
            raise ssl.SSLWantReadError from error


def server_context() -> ssl.SSLContext:
    """TLS 1.3; the client's certificate is asked for, each route decides on its need."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.sslobject_class = _Explaining
    return context


def load_certificate(context: ssl.SSLContext, authority: Authority, names: tuple[str, ...]) -> None:
    """Make a new server certificate; connections from now on use it."""
    issued, key = authority.issue_server(names)
    # OpenSSL reads keys from files only. This one is its owner's and gone at once.
    with tempfile.NamedTemporaryFile("w", prefix="anycastle-tls-") as file:
        file.write(issued.certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    context.load_verify_locations(cadata=authority.pem)
    log.info("tls.certificate", names=names, expires_at=issued.expires_at.isoformat())
