"""One line, the right exit code, what to do: for everything that can go wrong on a call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from anycastle.cli.api import Access, unreachable

VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {} (_ssl.c:1000)"


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), 4, "cannot reach https://192.0.2.10"),
        (httpx.ConnectTimeout("timed out"), 4, "systemctl status anycastle-control"),
        (httpx.ReadTimeout("timed out"), 4, "did not answer in time"),
        (httpx.RemoteProtocolError("peer closed connection"), 4, "broke off"),
        (httpx.ConnectError(VERIFY.format("unable to get local issuer")), 4, "cannot verify"),
        (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version"), 4, "the API's port?"),
        (httpx.Response(401, json={"error": {"code": "x", "message": "the token has expired"}}),
         5, "the token has expired: check ANYCASTLE_TOKEN"),
        (httpx.Response(403, json={"error": {"code": "x", "message": "viewers only look"}}),
         5, "viewers only look: use a token"),
        (httpx.Response(500, text="<html>"), 6, "HTTP 500: Internal Server Error"),
        (httpx.Response(503, json={"error": {"code": "x", "message": "no database"}}),
         6, "HTTP 503: no database): see `journalctl -u anycastle-control`"),
        (httpx.Response(302, headers={"location": "/login"}), 6, "--url is not the API's"),
        (httpx.Response(200, text="<html>hello</html>"), 6, "answered with something unexpected"),
        (httpx.Response(200, json={"deployment": 1}), 6, "deployment"),
    ],
)  # fmt: skip
def test_failures_of_a_call(api: Any, answer: Any, code: int, says: str) -> None:
    api.answers["GET /v1/status"] = answer
    result = api.run("status")
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"ANYCASTLE_URL": None}, "give --url or set ANYCASTLE_URL"),
        ({"ANYCASTLE_TOKEN": None}, "give --token or set ANYCASTLE_TOKEN"),
        ({"ANYCASTLE_CA": None}, "give --ca or set ANYCASTLE_CA"),
        ({"ANYCASTLE_URL": "http://192.0.2.10:8443"}, "is not like https://"),
        ({"ANYCASTLE_URL": "192.0.2.10"}, "is not like https://"),
        ({"ANYCASTLE_TOKEN": "a token"}, "--token"),
        ({"ANYCASTLE_TOKEN": "a\ntoken"}, "--token"),
    ],
)
def test_what_is_missing_is_named(api: Any, env: dict[str, str | None], says: str) -> None:
    result = api.run("status", env=env)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert api.requests == []


def test_the_token_is_sent_and_never_printed(api: Any) -> None:
    result = api.run("status", "--token", "s3cret")
    assert api.requests[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in result.output


def test_mistyped_noun(api: Any) -> None:
    result = api.run("clint", "list")
    assert result.exit_code == 2
    assert "did you mean client?" in result.stderr


def test_verification_failure_names_reason_and_file() -> None:
    error = httpx.ConnectError(VERIFY.format("certificate has expired"))
    access = Access("https://192.0.2.10:8443", "t", Path("/etc/ca.pem"))
    assert unreachable(error, access).message == (
        "TLS: cannot verify https://192.0.2.10:8443 (certificate has expired): is /etc/ca.pem "
        "the CA of the deployment at https://192.0.2.10:8443, and is --url right?"
    )
