"""Enrolling a client over the API, as `anycastle client add` does.

The keys are made on this machine; the public key and the pre-shared key are sent.

Plain functions over property maps (`name`, `url`, `authority`, `token`, `epoch`,
`spec`, and the outputs `configuration`, `addresses`, `private_key`, `preshared_key`).
Every call is one HTTPS request to the API, verified with the deployment's own CA.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from anycastle.model import wg_quick
from anycastle.model.api import ClientCreate, ClientCreated, ClientView, Connection, Error
from anycastle.model.codec import Key, ModelError, from_json, to_json
from components import keys

Properties = Mapping[str, Any]

TIMEOUT = 10.0
"""Seconds for one request."""

INPUTS = ("name", "url", "authority", "token", "epoch", "spec")
OUTPUTS = ("configuration", "addresses", "private_key", "preshared_key")


class EnrolmentError(Exception):
    """The control plane refused, or could not be reached. The message says which and why."""


@dataclass(frozen=True)
class Difference:
    """replaces: inputs that make it another client."""

    changed: bool
    replaces: tuple[str, ...]


def difference(olds: Properties, news: Properties) -> Difference:
    """What a change of inputs means.

    Another name is another client; another epoch is a control plane that has
    forgotten this one. The rest is what the client is told, or how the API is called.
    """
    changed = [name for name in INPUTS if olds.get(name) != news.get(name)]
    return Difference(bool(changed), tuple(n for n in changed if n in {"name", "epoch"}))


def enrol(props: Properties) -> dict[str, Any]:
    """Make keys and enrol. Raises EnrolmentError."""
    private, preshared = keys.private_key(), keys.preshared_key()
    body = ClientCreate(
        name=props["name"], public_key=keys.public_key(private), preshared_key=preshared
    )
    created = from_json(_call(props, "POST", "/v1/clients", to_json(body)), ClientCreated)
    return _outputs(props, created.client, created.connection, private, preshared)


def refreshed(olds: Properties, news: Properties) -> dict[str, Any]:
    """The same client, told what the control plane says now. Raises EnrolmentError."""
    client = from_json(_call(news, "GET", f"/v1/clients/{news['name']}"), ClientView)
    connection = from_json(_call(news, "GET", "/v1/connection"), Connection)
    private, preshared = (Key.from_text(olds[name]) for name in ("private_key", "preshared_key"))
    return _outputs(news, client, connection, private, preshared)


def exists(props: Properties) -> bool:
    """Does the control plane know the client? While it can't be asked, the answer is yes."""
    try:
        return request(props, "GET", f"/v1/clients/{props['name']}").status_code != 404
    except httpx.HTTPError:
        return True


def remove(props: Properties) -> None:
    """Cut the client off. One that is gone already is fine. Raises EnrolmentError."""
    path = f"/v1/clients/{props['name']}"
    try:
        answer = request(props, "DELETE", path)
    except httpx.HTTPError as error:
        raise _unreachable(props, error) from None
    if answer.status_code != 404:
        _expect_success(props, answer)


def _outputs(
    props: Properties, client: ClientView, connection: Connection, private: Key, preshared: Key
) -> dict[str, Any]:
    created = ClientCreated(client=client, connection=connection, revision=0)
    return {
        **{name: props[name] for name in INPUTS},
        "configuration": wg_quick.render(created, private, preshared),
        "addresses": [str(address) for address in client.addresses],
        "private_key": private.text,
        "preshared_key": preshared.text,
    }


def _call(props: Properties, method: str, path: str, body: bytes | None = None) -> bytes:
    try:
        answer = request(props, method, path, body)
    except httpx.HTTPError as error:
        raise _unreachable(props, error) from None
    _expect_success(props, answer)
    return answer.content


def request(props: Properties, method: str, path: str, body: bytes | None = None) -> httpx.Response:
    """One call of the API. props: `url`, `authority`, `token`. Raises httpx.HTTPError."""
    headers = {"Authorization": f"Bearer {props['token']}", "Content-Type": "application/json"}
    context = ssl.create_default_context(cadata=props["authority"])
    # trust_env off: a proxy of the operator's shell must not see the deployment's API
    with httpx.Client(verify=context, timeout=TIMEOUT, trust_env=False) as session:
        return session.request(method, props["url"] + path, headers=headers, content=body)


def _expect_success(props: Properties, answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        reason = from_json(answer.content, Error).error.message
    except ModelError:
        reason = f"HTTP status {answer.status_code}"
    raise EnrolmentError(f"client {props['name']!r}: the control plane refused: {reason}")


def _unreachable(props: Properties, error: httpx.HTTPError) -> EnrolmentError:
    return EnrolmentError(
        f"client {props['name']!r}: no answer from the control plane at {props['url']}: {error}"
    )
