"""Prometheus metrics of the agent; docs/metrics.md describes each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from anycastle.agent.apply import ApplyResult
from anycastle.agent.health.machine import Machine
from anycastle.agent.health.rounds import Result
from anycastle.agent.takeover_facts import TakeoverMetrics
from anycastle.model.status import NodeReport, NodeState

STATES = (NodeState.UP, NodeState.DEMOTED, NodeState.DRAINING, NodeState.DOWN)
AGES = (15, 30, 60, 90, 120, 150, 180)
"""Seconds: a live session's last handshake is younger than three minutes."""


class Metrics:
    """Counters are moved as things happen; what describes a state is set at each scrape."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        def gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(f"anycastle_{name}", text, labels, registry=registry)

        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(f"anycastle_{name}", text, labels, registry=registry)

        self._build = gauge(
            "build_info", "Constant 1.", ("version", "node", "datacentre", "routing", "wireguard")
        )
        self._state = gauge("state", "1 for the state that the node is in.", ("state",))
        self._announced = gauge("announced", "Are the anycast prefixes announced?")
        self._hold = gauge("penalty", "Points of flap dampening at the last failure.")
        self._sessions = gauge("sessions", "Sessions that this node owns.")
        self._ages = gauge(
            "session_handshake_age_seconds",
            "Owned sessions whose last handshake is at most this old.",
            ("le",),
        )
        self._session_bytes = gauge("session_bytes", "Bytes of owned sessions.", ("direction",))
        self._clients = gauge("clients", "Enrolled clients that the node knows.")
        self._probe = gauge("probe_healthy", "Is the probe's last result good?", ("probe",))
        self._probe_seconds = gauge("probe_seconds", "Duration of the last check.", ("probe",))
        self._revision = gauge("feed_revision", "Revision that the kernel holds.")
        self._feed_age = gauge("feed_age_seconds", "Since the last frame; -1: none yet.")
        self._feed_connected = gauge("feed_connected", "Is the control feed connected?")
        self.bgp = gauge("bgp_session_up", "The agent's sessions with the daemon.", ("session",))
        self.announcers = gauge("announcers", "Other nodes announcing.", ("demoted",))
        self.lag = Histogram(
            "anycastle_loop_lag_seconds",
            "From an event's arrival to its handling.",
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0),
            registry=registry,
        )
        self.apply_seconds = Histogram(
            "anycastle_apply_duration_seconds",
            "Carrying operations out.",
            ("kind",),
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
            registry=registry,
        )
        self._operations = counter("apply_operations", "Operations, by result.", ("result",))
        self.errors = counter("errors", "Things that went wrong.", ("kind",))
        self.events = counter("events", "Events, by kind.", ("kind",))
        self.takeover = TakeoverMetrics(registry)
        self.sample_seconds = gauge("sample_seconds", "Duration of the last sample.")

    def applied(self, kind: str, result: ApplyResult) -> None:
        """kind: `reconcile` or `change`."""
        self.apply_seconds.labels(kind).observe(result.duration)
        self._operations.labels("done").inc(len(result.done))
        self._operations.labels("failed").inc(len(result.failed))
        self._operations.labels("refused").inc(len(result.refused))
        if result.failed:
            self.errors.labels("apply").inc(len(result.failed))

    def render(
        self,
        report: NodeReport,
        machine: Machine,
        results: Sequence[Result],
        *,
        clients: int,
        feed_connected: bool,
        feed_age: float,
    ) -> bytes:
        """The text of /metrics."""
        self._build.clear()
        self._build.labels(
            report.version, report.name, report.datacentre, report.routing, report.wireguard
        ).set(1)
        for state in STATES:
            self._state.labels(state.value).set(state is report.state)
        self._announced.set(report.announcing)
        self._hold.set(machine.history.penalty)
        for result in results:
            self._probe.labels(result.name).set(result.healthy)
            self._probe_seconds.labels(result.name).set(result.seconds)
        self._clients.set(clients)
        self._revision.set(report.revision)
        self._feed_connected.set(feed_connected)
        self._feed_age.set(feed_age)
        self._of_sessions(report)
        return generate_latest(self.registry)

    def _of_sessions(self, report: NodeReport) -> None:
        now = time.time()
        ages = [now - one.latest_handshake for one in report.sessions]
        self._sessions.set(len(ages))
        for limit in AGES:
            self._ages.labels(str(limit)).set(sum(age <= limit for age in ages))
        self._session_bytes.labels("received").set(sum(s.received for s in report.sessions))
        self._session_bytes.labels("sent").set(sum(s.sent for s in report.sessions))
