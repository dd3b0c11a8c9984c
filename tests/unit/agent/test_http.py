import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from anycastle.agent.asking import lines
from anycastle.agent.health.dampening import History
from anycastle.agent.health.machine import Machine
from anycastle.agent.health.probe import Severity
from anycastle.agent.health.rounds import Result
from anycastle.agent.http import Answers, application
from anycastle.agent.metrics import Metrics
from anycastle.agent.report import node_report
from anycastle.agent.sessions import Owned
from anycastle.agent.takeover_facts import TakeoverFacts
from anycastle.model import codec
from anycastle.model.addresses import Endpoint
from anycastle.model.deployment import Health
from anycastle.model.status import NodeReport, NodeState
from tests.support.node import ANYCAST4, client, key, node_spec

RESULTS = (
    Result("device", Severity.FATAL, "", 0.001),
    Result("disk", Severity.SOFT, "is full", 0.5),
)
OWNED = Owned(client(0), key(0), Endpoint(ANYCAST4, 4000), 100.0, 150.0, 10, 20)


def report(machine: Machine) -> NodeReport:
    return node_report(
        node_spec(),
        machine,
        RESULTS,
        [OWNED],
        revision=7,
        wireguard="userspace",
        at=160.0,
        takeover=TakeoverFacts(path="bpf"),
    )


UP = Machine(Health(), state=NodeState.UP, reason="", announcing=True)
DOWN = Machine(Health(), reason="disk: is full", history=History(penalty=2.0))


@dataclass
class Node:
    machine: Machine = UP
    stuck: str = ""
    metrics: Metrics = field(default_factory=Metrics)

    def text(self) -> bytes:
        return self.metrics.render(
            report(self.machine),
            self.machine,
            RESULTS,
            clients=3,
            feed_connected=False,
            feed_age=-1.0,
        )


@pytest.fixture
async def served() -> AsyncIterator[tuple[Node, TestClient]]:  # type: ignore[type-arg]
    node = Node()
    answers = Answers(lambda: node.stuck, lambda: report(node.machine), node.text)
    async with TestClient(TestServer(application(answers))) as asker:
        assert isinstance(asker.session, ClientSession)
        yield node, asker


async def test_healthz(served: tuple[Node, TestClient]) -> None:  # type: ignore[type-arg]
    node, asker = served
    assert (await asker.get("/healthz")).status == 200
    node.stuck = "the loop handled nothing for 9 s"
    answer = await asker.get("/healthz")
    assert (answer.status, await answer.text()) == (503, "the loop handled nothing for 9 s\n")


async def test_readyz(served: tuple[Node, TestClient]) -> None:  # type: ignore[type-arg]
    node, asker = served
    answer = await asker.get("/readyz")
    assert answer.status == 200
    assert (await answer.json())["ready"] is True
    node.machine = DOWN
    answer = await asker.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {
        "ready": False,
        "state": "DOWN",
        "announcing": False,
        "reason": "disk: is full",
        "revision": 7,
        "probes": [
            {"name": "device", "healthy": True, "detail": ""},
            {"name": "disk", "healthy": False, "detail": "is full"},
        ],
        "drain": None,
    }


@pytest.mark.parametrize("state", [NodeState.DEMOTED, NodeState.DRAINING, NodeState.DOWN])
async def test_only_up_is_ready(
    served: tuple[Node, TestClient],  # type: ignore[type-arg]
    state: NodeState,
) -> None:
    node, asker = served
    node.machine = replace(UP, state=state)
    assert (await asker.get("/readyz")).status == 503


async def test_status_is_the_report(served: tuple[Node, TestClient]) -> None:  # type: ignore[type-arg]
    _, asker = served
    body = await (await asker.get("/v1/status")).read()
    assert codec.from_json(body, NodeReport) == report(UP)


async def test_metrics(served: tuple[Node, TestClient]) -> None:  # type: ignore[type-arg]
    node, asker = served
    node.machine = DOWN
    answer = await asker.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    shown = (await answer.text()).splitlines()
    for line in (
        'anycastle_state{state="UP"} 0.0',
        'anycastle_state{state="DOWN"} 1.0',
        "anycastle_announced 0.0",
        "anycastle_penalty 2.0",
        "anycastle_sessions 1.0",
        'anycastle_session_bytes{direction="sent"} 20.0',
        "anycastle_clients 3.0",
        'anycastle_probe_healthy{probe="disk"} 0.0',
        "anycastle_feed_revision 7.0",
        "anycastle_feed_age_seconds -1.0",
    ):
        assert line in shown


def test_a_report_for_people() -> None:
    shown = lines(json.loads(codec.to_json(report(DOWN))))
    assert shown == [
        "ams-1 in ams: DOWN, not announcing (disk: is full)",
        "version 0.1.0, bird, userspace WireGuard",
        "revision 7, 1 sessions",
        "  good  device",
        "  bad   disk is full",
    ]


def test_the_reason_of_a_node_that_is_up_is_empty() -> None:
    assert report(replace(UP, reason="left over")).reason == ""
