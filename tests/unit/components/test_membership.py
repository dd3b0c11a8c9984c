"""A node's membership over the API: what is called, in which order, and when it is given up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from components import membership
from components.membership import MembershipError, admit, leave, take_turn

PROPS: Mapping[str, Any] = {
    "name": "dub-1",
    "url": "https://api.example.net:8443",
    "authority": "PEM",
    "token": "operator",
    "epoch": "i-1",
}
NODE = {
    "name": "dub-1",
    "datacentre": "dub",
    "state": "DRAINING",
    "announcing": False,
    "sessions": 0,
    "revision": 1,
    "routing": "bird",
    "wireguard": "kernel",
    "version": "1",
}


def drain(phase: str | None, sessions: int = 0) -> dict[str, Any]:
    return {
        "since": "2026-01-01T00:00:00Z",
        "deadline": "2026-01-01T00:02:00Z",
        "seconds_left": 100.0,
        "sessions": sessions,
        "phase": phase,
        "ready": True,
    }


class Api:
    """Answers calls from lists; the last answer of a call stands for all later ones.

    answers: by method. nodes, tokens: the lists of all.
    """

    def __init__(
        self,
        nodes: list[list[Any]] | None = None,
        tokens: list[list[Any]] | None = None,
        **answers: list[tuple[int, Any]],
    ) -> None:
        self.answers = answers | {
            "/v1/nodes": [(200, listed) for listed in nodes or [[]]],
            "/v1/tokens": [(200, listed) for listed in tokens or [[]]],
        }
        self.calls: list[tuple[str, str, Any]] = []
        self.time = 0.0

    def request(
        self, props: Mapping[str, Any], method: str, path: str, body: bytes | None = None
    ) -> httpx.Response:
        assert props is PROPS
        self.calls.append((method, path, json.loads(body) if body else None))
        left = self.answers[path if method == "GET" and path in self.answers else method]
        status, content = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(status, json=content)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def leave(self, mode: str = "wait") -> None:
        leave(PROPS, mode, now=self.now, sleep=self.sleep)

    def take_turn(self, mode: str = "wait") -> None:
        take_turn(PROPS, mode, now=self.now, sleep=self.sleep)

    @property
    def words(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.calls]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    def api(**answers: Any) -> Api:
        made = Api(**answers)
        monkeypatch.setattr(membership, "request", made.request)
        return made

    return api


def refused(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def token(secret: str) -> dict[str, Any]:
    view = {
        "id": "1",
        "kind": "join",
        "name": "join dub-1",
        "role": None,
        "node": "dub-1",
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": None,
        "used_at": None,
        "revoked_at": None,
    }
    return {"token": view, "secret": secret}


def unused(node: str, **changed: Any) -> dict[str, Any]:
    """A join token as the list shows it."""
    view: dict[str, Any] = token("")["token"]
    return view | {"node": node, "expires_at": "2999-01-01T00:00:00Z"} | changed


def test_a_join_token_is_for_one_node(serve: Any) -> None:
    api = serve(POST=[(201, token("jt_secret"))])
    assert admit(PROPS) == "jt_secret"
    ((_, path, body),) = api.calls
    assert path == "/v1/tokens"
    assert (body["kind"], body["node"], body["expires_in"]) == ("join", "dub-1", 7 * 86400.0)


def test_a_node_drains_before_it_is_forgotten(serve: Any) -> None:
    states = [NODE | {"drain": drain(phase, 3)} for phase in (None, "leaving", "moving", "drained")]
    api = serve(POST=[(200, NODE)], GET=[(200, state) for state in states], DELETE=[(200, NODE)])
    api.leave()
    assert api.words == [
        "POST /v1/nodes/dub-1/drain",
        *["GET /v1/nodes/dub-1"] * 4,
        "DELETE /v1/nodes/dub-1",
        "GET /v1/tokens",
    ]
    assert api.calls[0][2]["force"] is False
    assert api.time == 3 * membership.POLL


@pytest.mark.parametrize(
    "state",
    [
        NODE | {"drain": drain("overdue", 5)},
        NODE | {"drain": drain(None), "state": "UNKNOWN"},
        NODE | {"drain": None},
    ],
)
def test_nobody_waits_for_nothing(serve: Any, state: dict[str, Any]) -> None:
    api = serve(POST=[(200, NODE)], GET=[(200, state)], DELETE=[(200, NODE)])
    api.leave()
    assert api.time == 0
    assert "DELETE /v1/nodes/dub-1" in api.words


def test_the_wait_ends(serve: Any) -> None:
    state = NODE | {"drain": drain("moving", 5)}
    api = serve(POST=[(200, NODE)], GET=[(200, state)], DELETE=[(200, NODE)])
    api.leave()
    assert api.time == pytest.approx(membership.DRAIN_DEADLINE, abs=membership.POLL)
    assert "DELETE /v1/nodes/dub-1" in api.words


def test_a_node_that_never_joined_is_nothing_to_wait_for(serve: Any) -> None:
    gone = (404, refused("not_found", "there is no node 'dub-1'"))
    api = serve(POST=[gone], DELETE=[gone])
    api.leave()
    assert api.words == ["POST /v1/nodes/dub-1/drain", "DELETE /v1/nodes/dub-1", "GET /v1/tokens"]


def test_the_last_node_stays_unless_somebody_insists(serve: Any) -> None:
    api = serve(POST=[(409, refused("last_node", "no other node could take over"))])
    with pytest.raises(MembershipError) as caught:
        api.leave()
    assert str(caught.value) == (
        "node 'dub-1': the control plane refused: no other node could take over "
        "(ANYCASTLE_DRAIN=force drains it all the same)"
    )
    assert len(api.calls) == 1


def test_force_says_so_to_the_api(serve: Any) -> None:
    state = NODE | {"drain": drain("drained")}
    api = serve(POST=[(200, NODE)], GET=[(200, state)], DELETE=[(200, NODE)])
    api.leave("force")
    assert api.calls[0][2]["force"] is True


def test_no_drain_is_forgetting_alone(serve: Any) -> None:
    api = serve(DELETE=[(200, NODE)])
    api.leave("no")
    assert api.words == ["DELETE /v1/nodes/dub-1", "GET /v1/tokens"]


def test_the_tokens_of_a_node_that_leaves_are_void(serve: Any) -> None:
    everybodys = [
        unused("dub-1", id="open"),
        unused("dub-1", id="used", used_at="2026-01-01T00:00:00Z"),
        unused("dub-1", id="revoked", revoked_at="2026-01-01T00:00:00Z"),
        unused("dub-1", id="over", expires_at="2026-01-01T00:00:00Z"),
        unused("dub-2", id="another's"),
        unused("dub-1", id="operator's", kind="operator"),
    ]
    api = serve(DELETE=[(200, NODE)], tokens=[everybodys])
    api.leave("no")
    assert [word for word in api.words if "token" in word] == [
        "GET /v1/tokens",
        "DELETE /v1/tokens/open",
    ]


def test_nodes_change_one_after_another(serve: Any) -> None:
    up = NODE | {"name": "dub-2", "state": "UP"}
    own = NODE | {"drain": None, "state": "DOWN"}
    api = serve(
        tokens=[[unused("dub-2")], [unused("dub-2")], []],
        nodes=[[own], [own], [own, up | {"state": "DOWN"}], [own, up]],
    )
    api.take_turn()
    assert api.time == 3 * membership.POLL


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [NODE | {"name": "dub-2", "state": "UP"}],
        [NODE | {"name": "dub-2", "state": "UNKNOWN"}],
        [NODE | {"name": "dub-2", "drain": drain("drained")}],
        [NODE | {"state": "DOWN"}],
    ],
)
def test_who_is_not_on_its_way_is_not_waited_for(serve: Any, nodes: list[Any]) -> None:
    api = serve(nodes=[nodes], tokens=[[unused("dub-1")]])
    api.take_turn()
    assert api.time == 0


def test_a_node_that_does_not_come_stops_the_others(serve: Any) -> None:
    down = NODE | {"name": "dub-3", "state": "DOWN", "reason": "no route server", "drain": None}
    api = serve(tokens=[[unused("dub-2")]], nodes=[[down]])
    with pytest.raises(MembershipError) as caught:
        api.take_turn()
    assert str(caught.value) == (
        "node 'dub-1': stays as it is, because others are on their way and don't serve: dub-2 "
        "(has not joined yet), dub-3 (DOWN no route server) (ANYCASTLE_DRAIN=force does not wait "
        "for them)"
    )
    assert api.time == pytest.approx(membership.ARRIVAL_DEADLINE, abs=membership.POLL)
    for mode in ("force", "no"):
        serve().take_turn(mode)


def test_another_word_is_an_error(serve: Any) -> None:
    with pytest.raises(MembershipError, match="ANYCASTLE_DRAIN=maybe is none of wait, force, no"):
        serve().leave("maybe")


def test_an_api_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def request(*_: Any) -> httpx.Response:
        raise httpx.ConnectTimeout("timed out")

    monkeypatch.setattr(membership, "request", request)
    with pytest.raises(MembershipError) as caught:
        admit(PROPS)
    assert "no answer from the control plane at https://api.example.net:8443: timed out" in str(
        caught.value
    )


class TestProvider:
    """What a change of inputs does."""

    @pytest.fixture
    def api(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("ANYCASTLE_DRAIN", "no")
        return serve(POST=[(201, token("new"))], DELETE=[(200, NODE)])

    def test_another_disk_leaves_and_joins_anew(self, api: Any) -> None:
        provider = membership._MembershipProvider()
        olds = {**PROPS, "epoch": "i-0", "join_token": "old"}
        assert provider.diff("dub-1", olds, dict(PROPS)).changes
        result = provider.update("dub-1", olds, PROPS)
        assert result.outs is not None
        assert result.outs["join_token"] == "new"
        assert api.words == ["DELETE /v1/nodes/dub-1", "GET /v1/tokens", "POST /v1/tokens"]

    def test_another_disk_waits_for_its_turn(
        self, api: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ANYCASTLE_DRAIN")
        api.answers["POST"] = [(404, refused("not_found", "")), (201, token("new"))]
        membership._MembershipProvider().update("dub-1", {**PROPS, "epoch": "i-0"}, PROPS)
        assert api.words[:3] == ["GET /v1/nodes", "GET /v1/tokens", "POST /v1/nodes/dub-1/drain"]

    def test_another_operator_token_calls_nobody(self, api: Any) -> None:
        olds = {**PROPS, "token": "former", "join_token": "old"}
        result = membership._MembershipProvider().update("dub-1", olds, PROPS)
        assert result.outs == {**PROPS, "join_token": "old"}
        assert api.calls == []

    def test_another_name_is_another_member(self) -> None:
        provider = membership._MembershipProvider()
        result = provider.diff("dub-1", {**PROPS, "name": "dub-0"}, dict(PROPS))
        assert result.replaces == ["name"]
        assert not provider.diff("dub-1", dict(PROPS), dict(PROPS)).changes
