"""Prometheus metrics of an API process (docs/api.md lists them)."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from anycastle import __version__
from anycastle.control.database import Database
from anycastle.control.feed import Hub


class Metrics:
    """One registry per process; nothing global, so that tests can have several."""

    def __init__(self, hub: Hub, database: Database) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "anycastle_control_requests_total",
            "Answered requests.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.duration = Histogram(
            "anycastle_control_request_seconds",
            "Time to answer a request, streams apart.",
            ("method", "route"),
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.refusals = Counter(
            "anycastle_control_refusals_total",
            "Requests answered with an error, by its code.",
            ("code",),
            registry=self.registry,
        )
        self.cuts = Counter(
            "anycastle_control_feed_cuts_total",
            "Feeds that the control plane ended: a slow node, a restart, a removed node.",
            registry=self.registry,
        )
        build = Gauge(
            "anycastle_control_build_info", "Version.", ("version",), registry=self.registry
        )
        build.labels(__version__).set(1)
        self.registry.register(_State(hub, database))

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self.registry)


class _State(Collector):
    """Read at the time of the scrape."""

    def __init__(self, hub: Hub, database: Database) -> None:
        self._hub = hub
        self._database = database

    def collect(self) -> Iterable[Metric]:
        hub = self._hub
        pool = self._database.statistics()
        for name, text, value in (
            ("feed_revision", "Last revision.", hub.head.revision if hub.head else 0),
            ("feed_streams", "Agents that hold a feed.", hub.streams),
            ("feed_listening", "1 while connected to Postgres.", int(hub.listening)),
            ("database_connections", "Connections in the pool.", pool.get("pool_size", 0)),
            ("database_waiting", "Calls that wait for one.", pool.get("requests_waiting", 0)),
        ):
            yield GaugeMetricFamily(f"anycastle_control_{name}", text, value=value)
