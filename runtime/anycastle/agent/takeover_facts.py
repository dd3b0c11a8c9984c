"""How this node's takeovers stand: for its report and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from anycastle.agent.takeover.path import PathCounters
from anycastle.agent.takeover.plan import Counts
from anycastle.model.status import Takeovers

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds. A round trip to the client at best, three attempts at worst."""
EVENTS = ("reported", "suppressed", "lost")
"""Those of PathCounters that count events; the others count packets."""
NOTHING = Counts(0, 0, 0, 0, 0, 0, {}, {})


@dataclass
class TakeoverFacts:
    """path: as `NodeReport.takeover`. problem: why the packet path is not as it should be,
    "" when it is. clock: why nothing is initiated, "" when it is. counters: of the packet
    path, when it was last looked at. counts: of the takeover itself, now.
    """

    path: str = ""
    problem: str = ""
    clock: str = "not looked at yet"
    counters: PathCounters = field(default_factory=PathCounters)
    counts: Callable[[], Counts] = lambda: NOTHING

    def takeovers(self) -> Takeovers:
        results = self.counts().results
        return Takeovers(
            confirmed=results.get("confirmed", 0),
            gave_up=results.get("gave_up", 0),
            relayed=self.counters.relayed,
            delivered=self.counters.delivered,
        )


class TakeoverMetrics(Collector):
    """Reads the facts at each scrape; only durations are told as they happen."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.facts = TakeoverFacts()
        self._seconds = Histogram(
            "anycastle_takeover_seconds",
            "From a client's first packet here to its confirmed session, or to giving up.",
            ("result",),
            buckets=BUCKETS,
            registry=registry,
        )
        registry.register(self)

    def observe(self, result: str, seconds: float | None) -> None:
        """seconds: None for a client that sent nothing; it is only counted."""
        if seconds is not None:
            self._seconds.labels(result).observe(seconds)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        facts, counts = self.facts, self.facts.counts()
        path = facts.path.partition(":")[0]
        yield _gauge("info", "Constant 1.", "path", {path: 1} if path else {})
        yield _gauge("clock_good", "Does the clock allow initiating?", "", {"": not facts.clock})
        yield _gauge("endpoints", "Endpoints with a known owner.", "", {"": counts.endpoints})
        states = {name: getattr(counts, name) for name in ("waiting", "initiating", "backing_off")}
        yield _gauge("clients", "Clients that are being taken over.", "state", states)
        results = {
            name: counts.results.get(name, 0) for name in ("started", "confirmed", "gave_up")
        }
        yield _counter("results", "Initiations, and how takeovers ended.", "result", results)
        yield _counter("ignored", "Reports without effect, by reason.", "reason", counts.ignored)
        numbers = asdict(facts.counters)
        events = {name: numbers.pop(name) for name in EVENTS}
        yield _counter("packets", "Data packets at the packet path.", "kind", numbers)
        yield _counter("reports", "Packets that the path reported.", "kind", events)


def _gauge(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    labels = [label] if label else []
    family = GaugeMetricFamily(f"anycastle_takeover_{name}", text, labels=labels)
    for value, number in values.items():
        family.add_metric([value] if label else [], number)
    return family


def _counter(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"anycastle_takeover_{name}", text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
