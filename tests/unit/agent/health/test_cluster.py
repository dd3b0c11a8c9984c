"""Several machines that hear of each other late: what no single machine can promise.

Each node runs its probe rounds at its own phase; an announcement reaches every other
node after its own delay. The properties are about the cluster as a whole:

- a failure that all nodes share never leaves the service without an announcer for
  longer than it takes the first node to come back,
- a single failing node always ends withdrawn,
- when everything is well again, every node ends up announcing undemoted,
- drains hold to the same: whatever fails meanwhile, somebody announces.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from anycastle.agent.health.machine import (
    SOFT_PATIENCE,
    STAGGER,
    STAGGER_STEP,
    Action,
    Input,
    Machine,
    step,
)
from anycastle.model.deployment import Health
from anycastle.model.status import NodeState

HEALTH = Health()
TICK = 0.1
BOUND = STAGGER + HEALTH.interval + 0.2
"""Seconds without an announcer that a race may cost: stagger, a round, rounding."""


@dataclass
class Node:
    rank: int
    phase: float
    delay: float
    machine: Machine = field(default_factory=lambda: Machine(HEALTH))
    failing: dict[str, str] = field(default_factory=dict)
    drain: str = ""
    forced: bool = False
    said: list[tuple[float, Action]] = field(default_factory=list)

    def heard_at(self, now: float) -> Action:
        """What the others believe of this node: its newest word that had time to travel."""
        words = [word for at, word in self.said if at + self.delay <= now]
        return words[-1] if words else Action.WITHDRAW

    @property
    def says(self) -> Action:
        return self.said[-1][1] if self.said else Action.WITHDRAW


class Cluster:
    def __init__(self, shape: list[tuple[float, float]]) -> None:
        self.nodes = [Node(n, phase, delay) for n, (phase, delay) in enumerate(shape)]
        self.tick = 0
        self.silent = self.longest_silence = 0.0

    @property
    def now(self) -> float:
        return 1000 + self.tick * TICK

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.tick += 1
            for node in self.nodes:
                self._step(node)
            announced = any(node.says is not Action.WITHDRAW for node in self.nodes)
            self.silent = 0.0 if announced else self.silent + TICK
            self.longest_silence = max(self.longest_silence, self.silent)

    def _step(self, node: Node) -> None:
        since_round = (self.now - node.phase) % HEALTH.interval
        heard = [other.heard_at(self.now) for other in self.nodes if other is not node]
        others = tuple(
            word is Action.ANNOUNCE_DEMOTED for word in heard if word is not Action.WITHDRAW
        )
        given = Input(
            now=self.now,
            round=since_round < TICK,
            others=others,
            rank=node.rank,
            fatal=node.failing.get("fatal", ""),
            hard=node.failing.get("hard", ""),
            soft=node.failing.get("soft", ""),
            drain=node.drain,
            forced=node.forced,
        )
        node.machine, action = step(node.machine, given)
        if action is not None:
            node.said.append((self.now, action))

    def start(self) -> None:
        self.run(30)
        assert all(node.machine.state is NodeState.UP for node in self.nodes)
        self.silent = self.longest_silence = 0.0

    def fail(self, nodes: list[Node], severity: str) -> None:
        for node in nodes:
            node.failing = {severity: "broken"}


shapes = st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 2.0)), min_size=1, max_size=5)
severities = st.sampled_from(["fatal", "hard", "soft"])


@settings(max_examples=30, deadline=None)
@given(shape=shapes, severity=severities)
def test_a_shared_failure_leaves_an_announcer(
    shape: list[tuple[float, float]], severity: str
) -> None:
    cluster = Cluster(shape)
    cluster.start()
    cluster.fail(cluster.nodes, severity)
    cluster.run(60)
    # A node that believes late news of others waits for them to expire first.
    late = max(delay for _, delay in shape)
    assert cluster.longest_silence <= BOUND + late + STAGGER_STEP * len(shape)
    assert cluster.silent == 0.0


@settings(max_examples=30, deadline=None)
@given(shape=shapes, severity=severities, data=st.data())
def test_failures_that_spread_leave_an_announcer(
    shape: list[tuple[float, float]], severity: str, data: st.DataObject
) -> None:
    cluster = Cluster(shape)
    cluster.start()
    for node in data.draw(st.permutations(cluster.nodes)):
        cluster.fail([node], severity)
        cluster.run(data.draw(st.floats(0, 15)))
    cluster.run(30)
    late = max(delay for _, delay in shape)
    assert cluster.longest_silence <= BOUND + late + STAGGER_STEP * len(shape)
    assert cluster.silent == 0.0


@settings(max_examples=30, deadline=None)
@given(shape=shapes.filter(lambda s: len(s) > 1), severity=severities, data=st.data())
def test_a_single_failing_node_ends_withdrawn_and_disturbs_nobody(
    shape: list[tuple[float, float]], severity: str, data: st.DataObject
) -> None:
    cluster = Cluster(shape)
    cluster.start()
    victim = data.draw(st.sampled_from(cluster.nodes))
    cluster.fail([victim], severity)
    cluster.run(HEALTH.fall + SOFT_PATIENCE + 5)
    assert victim.says is Action.WITHDRAW
    assert cluster.longest_silence == 0.0
    for node in cluster.nodes:
        if node is not victim:
            assert [word for _, word in node.said] == [Action.ANNOUNCE]


@settings(max_examples=30, deadline=None)
@given(shape=shapes, severity=severities)
def test_everybody_is_up_again_when_the_cause_is_gone(
    shape: list[tuple[float, float]], severity: str
) -> None:
    cluster = Cluster(shape)
    cluster.start()
    cluster.fail(cluster.nodes, severity)
    cluster.run(40)
    for node in cluster.nodes:
        node.failing = {}
    cluster.run(HEALTH.hold_down * 2 + 5)
    assert [node.says for node in cluster.nodes] == [Action.ANNOUNCE] * len(shape)


@settings(max_examples=30, deadline=None)
@given(shape=shapes.filter(lambda s: len(s) > 1))
def test_nodes_drained_one_after_another_leave_no_gap(shape: list[tuple[float, float]]) -> None:
    cluster = Cluster(shape)
    cluster.start()
    for node in cluster.nodes:
        node.drain = "asked"
        cluster.run(5)
        assert node.says is Action.WITHDRAW
        node.drain = ""
        cluster.run(5)
        assert node.machine.state is NodeState.UP, "no hold-down"
    assert cluster.longest_silence == 0.0


@settings(max_examples=30, deadline=None)
@given(shape=shapes, severity=severities, data=st.data())
def test_drains_while_the_others_fail_leave_an_announcer(
    shape: list[tuple[float, float]], severity: str, data: st.DataObject
) -> None:
    """All are drained or fail, in any order and at any time: more than any operator can ask
    for at once, but not more than can come together."""
    cluster = Cluster(shape)
    cluster.start()
    for node in data.draw(st.permutations(cluster.nodes)):
        if data.draw(st.booleans()):
            node.drain = "asked"
        else:
            cluster.fail([node], severity)
        cluster.run(data.draw(st.floats(0, 15)))
    cluster.run(30)
    late = max(delay for _, delay in shape)
    assert cluster.longest_silence <= BOUND + late + STAGGER_STEP * len(shape)
    assert cluster.silent == 0.0
    for node in cluster.nodes:
        node.failing, node.drain = {}, ""
    cluster.run(HEALTH.hold_down * 2 + 5)
    assert [node.says for node in cluster.nodes] == [Action.ANNOUNCE] * len(shape)


@settings(max_examples=30, deadline=None)
@given(shape=shapes, severity=severities)
def test_a_forced_drain_stays_away(shape: list[tuple[float, float]], severity: str) -> None:
    cluster = Cluster(shape)
    cluster.start()
    gone = cluster.nodes[-1]
    gone.drain, gone.forced = "asked", True
    cluster.run(3)
    cluster.fail(cluster.nodes[:-1], severity)
    cluster.run(60)
    assert gone.says is Action.WITHDRAW
    assert len(shape) == 1 or cluster.silent == 0.0


@settings(max_examples=30, deadline=None)
@given(shape=shapes.filter(lambda s: len(s) > 1), period=st.floats(1.0, 12.0))
def test_a_flapping_node_is_quiet_most_of_the_time(
    shape: list[tuple[float, float]], period: float
) -> None:
    cluster = Cluster(shape)
    cluster.start()
    victim = cluster.nodes[0]
    for flap in range(60):
        cluster.fail([victim], "hard") if flap % 2 == 0 else victim.failing.clear()
        cluster.run(period)
    assert len(victim.said) <= 30
    assert cluster.longest_silence == 0.0
