"""A node's membership of its deployment, over the API: join token, drain, end.

For nodes whose hosts Pulumi can't wait for by other means than the API. Making it issues
a join token for the node's first call. Ending it, and going on with another disk, first
drains the node: it leaves service, its sessions move to other nodes, and only then are its
certificates void. So a host is replaced or removed without a packet lost, and one that is
dead already is not waited for.

Hosts that change in one `up` change one after another: before a node goes on with another
disk, everybody who was let in before it has to serve. So a new image that does not work
costs one node, and `up` ends there.

The environment of `pulumi up` may say otherwise: ANYCASTLE_DRAIN=force drains the last node
of a deployment, too, whoever else serves; ANYCASTLE_DRAIN=no waits for nothing.

Plain functions over property maps (`name`, `url`, `authority`, `token`, `epoch`, and the
output `join_token`), and the resource around them. The state holds a pickle of the
provider, which is a reference to its class here: keep this module's imports few.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from anycastle.model.api import Error, NodeDrain, NodeView, TokenCreate, TokenCreated, TokenView
from anycastle.model.codec import ModelError, from_json, to_json
from anycastle.model.status import DrainPhase, NodeState
from components.enrolment import request
from tools.offline.preview import guard

Properties = Mapping[str, Any]

JOIN_TOKEN_LIFETIME = 7 * 86400.0
"""Seconds; long enough to find out why a host fails, and to run `pulumi up` again."""
DRAIN_DEADLINE = 120.0
"""Seconds that a node's sessions have to move; idle clients are seen at their keepalive."""
ARRIVAL_DEADLINE = 900.0
"""Seconds from a node's join token to its service: first boot, bootstrap, health."""
POLL = 2.0

INPUTS = ("name", "url", "authority", "token", "epoch")
PRETENDED = "pretended-join-token"
MODE_VARIABLE = "ANYCASTLE_DRAIN"
MODES = ("wait", "force", "no")


class MembershipError(Exception):
    """The control plane refused, or could not be reached. The message says which and why."""


def admit(props: Properties) -> str:
    """A join token for the node. Raises MembershipError."""
    name = props["name"]
    body = TokenCreate(kind="join", name=f"join {name}", node=name, expires_in=JOIN_TOKEN_LIFETIME)
    answer = _call(props, "POST", "/v1/tokens", to_json(body))
    return from_json(answer.content, TokenCreated).secret


def leave(
    props: Properties,
    mode: str,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Drain the node and forget it, and void its join tokens. One that is unknown is fine.

    Raises MembershipError.
    """
    _check(mode)
    if mode != "no":
        _drain(props, force=mode == "force", now=now, sleep=sleep)
    _call(props, "DELETE", f"/v1/nodes/{props['name']}", missing=True)
    for token in open_tokens(_tokens(props), datetime.now(UTC)):
        if token.node == props["name"]:
            _call(props, "DELETE", f"/v1/tokens/{token.id}", missing=True)


def take_turn(
    props: Properties,
    mode: str,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until every node that was let in before serves. Raises MembershipError."""
    _check(mode)
    if mode != "wait":
        return
    deadline = now() + ARRIVAL_DEADLINE
    while missing := _arriving(props):
        if now() >= deadline:
            who = ", ".join(f"{name} ({why})" for name, why in sorted(missing.items()))
            raise MembershipError(
                f"node {props['name']!r}: stays as it is, because others are on their way and "
                f"don't serve: {who} ({MODE_VARIABLE}=force does not wait for them)"
            )
        sleep(POLL)


def _arriving(props: Properties) -> dict[str, str]:
    nodes = from_json(_call(props, "GET", "/v1/nodes").content, list[NodeView])
    unused = open_tokens(_tokens(props), datetime.now(UTC))
    found = arriving([token.node or "" for token in unused], nodes)
    return {name: why for name, why in found.items() if name != props["name"]}


def arriving(admitted: Iterable[str], nodes: Iterable[NodeView]) -> dict[str, str]:
    """Node -> why, of those that have been let in and don't serve yet. Pure.

    admitted: nodes with a join token that they have not used. One that is silent has been
    given up, and one that was asked to drain is away on purpose.
    """
    away = {
        node.name: f"{node.state} {node.reason}".rstrip()
        for node in nodes
        if node.drain is None and node.state not in {NodeState.UP, NodeState.UNKNOWN}
    }
    return dict.fromkeys(admitted, "has not joined yet") | away


def open_tokens(tokens: Iterable[TokenView], at: datetime) -> Iterator[TokenView]:
    """Join tokens that somebody may still use. Pure."""
    for token in tokens:
        over = token.expires_at is not None and datetime.fromisoformat(token.expires_at) < at
        if token.kind == "join" and not (token.used_at or token.revoked_at or over):
            yield token


def _tokens(props: Properties) -> list[TokenView]:
    return from_json(_call(props, "GET", "/v1/tokens").content, list[TokenView])


def _check(mode: str) -> None:
    if mode not in MODES:
        raise MembershipError(f"{MODE_VARIABLE}={mode} is none of {', '.join(MODES)}")


def _drain(
    props: Properties, *, force: bool, now: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    path = f"/v1/nodes/{props['name']}"
    order = NodeDrain(
        deadline_seconds=DRAIN_DEADLINE, force=force, reason="pulumi removes its host"
    )
    if not _call(props, "POST", f"{path}/drain", to_json(order), missing=True).is_success:
        return
    deadline = now() + DRAIN_DEADLINE
    while now() < deadline:
        answer = _call(props, "GET", path, missing=True)
        if not answer.is_success or has_left(from_json(answer.content, NodeView)):
            return
        sleep(POLL)


def has_left(node: NodeView) -> bool:
    """Is there nothing to wait for: drained, overdue, or a node that says nothing any more?"""
    if node.drain is None or node.state.value == "UNKNOWN":
        return True
    return node.drain.phase in {DrainPhase.DRAINED, DrainPhase.OVERDUE}


def _call(
    props: Properties, method: str, path: str, body: bytes | None = None, *, missing: bool = False
) -> httpx.Response:
    """missing: 404 is an answer like any other."""
    name = props["name"]
    try:
        answer = request(props, method, path, body)
    except httpx.HTTPError as error:
        raise MembershipError(
            f"node {name!r}: no answer from the control plane at {props['url']}: {error} "
            f"({MODE_VARIABLE}=no removes hosts without it)"
        ) from None
    if answer.is_success or (missing and answer.status_code == 404):
        return answer
    raise MembershipError(f"node {name!r}: the control plane refused: {_reason(answer)}")


def _reason(answer: httpx.Response) -> str:
    try:
        error = from_json(answer.content, Error).error
    except ModelError:
        return f"HTTP status {answer.status_code}"
    hint = f" ({MODE_VARIABLE}=force drains it all the same)" if error.code == "last_node" else ""
    return error.message + hint


class _MembershipProvider(ResourceProvider):
    """Another epoch is another disk: the old node leaves, and a new one may join."""

    def create(self, props: Properties) -> CreateResult:
        # What a preview compares with is recorded by an `up` of pretended resources: nobody's
        # API may hear of it.
        token = PRETENDED if guard.throw_away(os.environ) else admit(props)
        return CreateResult(props["name"], self._outputs(props, token))

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        changed = [name for name in INPUTS if olds.get(name) != news.get(name)]
        return DiffResult(
            changes=bool(changed),
            replaces=[name for name in changed if name == "name"],
            delete_before_replace=True,
        )

    def update(self, _id: str, olds: Properties, news: Properties) -> UpdateResult:
        if olds["epoch"] == news["epoch"]:
            return UpdateResult(self._outputs(news, olds["join_token"]))
        mode = os.environ.get(MODE_VARIABLE, "wait")
        take_turn(news, mode)
        leave(news, mode)
        return UpdateResult(self._outputs(news, admit(news)))

    def delete(self, _id: str, props: Properties) -> None:
        leave(props, os.environ.get(MODE_VARIABLE, "wait"))

    @staticmethod
    def _outputs(props: Properties, token: str) -> dict[str, Any]:
        return {**{name: props[name] for name in INPUTS}, "join_token": token}


@dataclass(frozen=True, kw_only=True)
class MembershipArgs:
    """name: the node's. url, authority, token: of the API, as `EnrolledClientArgs` has them.

    epoch: differs when the node's disk is a new one.
    """

    name: str
    url: pulumi.Input[str]
    authority: pulumi.Input[str]
    token: pulumi.Input[str]
    epoch: pulumi.Input[str]


class Membership(Resource, module="anycastle", name="Membership"):
    """A node that may join. join_token: for its first call, a secret."""

    join_token: pulumi.Output[str]

    def __init__(
        self, name: str, args: MembershipArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            _MembershipProvider(),
            name,
            {**vars(args), "join_token": None},
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(additional_secret_outputs=["join_token", "token"])
            ),
        )
