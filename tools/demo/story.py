"""What happens in the demo, in order, and what it cost whom.

    with takeover:      the node that serves most loses its power; when it is back, another
                        is drained and resumed
    without takeover:   the same, with takeover switched off on all nodes for the while

A scene's figures come from the prober: packets sent during it, counted at both ends.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tools.demo.screen import Row, Screen, duration
from tools.demo.world import DemoFault, View, World
from tools.measure.probing import Probing, Summary

KILL, DRAIN = "a node loses its power", "a node is drained"
QUIET = 4.0
"""Seconds of undisturbed traffic before and after what happens."""
PATIENCE = 40.0
BACK = 330.0
"""Seconds until a node that failed announces again: held down for up to 300 s if it flaps."""
DRAIN_SECONDS = 30
SLOW = 0.5
"""Seconds between two looks at the nodes."""


@dataclass(frozen=True)
class Outcome:
    """What one scene cost the clients that the node served. gap: seconds; never: some were
    still cut off when the demo went on, so the gap is longer than that."""

    what: str
    takeover: bool
    node: str
    clients: int
    gap: float
    lost: int
    sent: int
    never: bool

    @property
    def gap_text(self) -> str:
        return f"> {duration(self.gap)}" if self.never else duration(self.gap)


class Story:
    """home: brings every client to where its packets go; called when all nodes serve."""

    def __init__(
        self, world: World, probe: Probing, screen: Screen, home: Callable[[], None]
    ) -> None:
        self._home = home
        self._world = world
        self._probe = probe
        self._screen = screen
        self._seen = world.view()
        self._looked = time.monotonic()
        self._since = 0.0

    def crash(self, *, takeover: bool) -> Outcome:
        """The busiest node's power goes; it is started again."""
        seen = self._begin("everybody talks to the service in the nearest datacentre")
        node, victims = seen.busiest, seen.served_by(seen.busiest)
        self._screen.scene(f"{node}, which serves {', '.join(victims)}, loses its power")
        try:
            since = self._since = self._world.kill(node)
            never = self._until_answered(victims)
            self._pass(QUIET)
            outcome = self._outcome(KILL, takeover, node, victims, since, never=never)
        finally:
            self._screen.scene(f"{node} is started again")
            self._world.start(node)
        return outcome

    def drain(self, *, takeover: bool, avoid: str) -> Outcome:
        """The busiest node but `avoid` is drained, and resumed."""
        seen = self._begin("everybody is back")
        left = View(seen.reports, {c: n for c, n in seen.owners.items() if n != avoid})
        node, victims = left.busiest, left.served_by(left.busiest)
        self._screen.scene(f"{node}, which serves {', '.join(victims)}, is drained")
        try:
            since = self._since = time.time()
            self._command("drain", node, must=takeover)
            never = self._until_answered(victims)
            self._pass(QUIET)
            outcome = self._outcome(DRAIN, takeover, node, victims, since, never=never)
        finally:
            self._screen.scene(f"{node} is resumed")
            self._command("resume", node, must=False)
        return outcome

    # scenes ----------------------------------------------------------------

    def _begin(self, text: str) -> View:
        """Wait until all nodes serve and all clients are answered, and let some time pass."""
        self._screen.scene("waiting for all nodes and clients")
        self._until(lambda: self._world.all_serving(self._seen), "a node does not serve")
        self._home()
        self._until(self._all_answered, "a client is not served")
        self._since = time.time()
        self._screen.scene(text)
        self._pass(QUIET)
        self._look()
        return self._seen

    def _all_answered(self) -> bool:
        return not any(row.cut_off or not row.owner for row in self._rows())

    def _until(self, ready: Callable[[], bool], complaint: str) -> None:
        """Raises DemoFault when it takes too long."""
        deadline = time.monotonic() + BACK
        while not ready():
            if time.monotonic() > deadline:
                raise DemoFault(f"{complaint} after {BACK:.0f} s: see `anycastle status`")
            self._frame()

    def _until_answered(self, victims: Sequence[str]) -> bool:
        """True when some of them were not, in PATIENCE seconds."""
        deadline = time.monotonic() + PATIENCE
        while any(row.live.back is None for row in self._rows() if row.client in victims):
            if time.monotonic() > deadline:
                return True
            self._frame()
        return False

    def _command(self, verb: str, node: str, *, must: bool) -> None:
        """`anycastle node VERB NODE --wait`, with the screen going on."""
        running = self._world.drain(verb, node, DRAIN_SECONDS)
        try:
            while running.poll() is None:
                self._frame()
            if running.returncode and must:
                assert running.stderr is not None
                raise DemoFault(f"node {verb} {node}: {running.stderr.read().decode().strip()}")
        finally:
            with suppress(subprocess.TimeoutExpired):
                running.terminate()
                running.wait(5)
            if running.stderr is not None:
                running.stderr.close()

    def _outcome(
        self, what: str, takeover: bool, node: str, victims: Sequence[str], since: float,
        *, never: bool,
    ) -> Outcome:  # fmt: skip
        found: dict[str, Summary] = self._probe.summaries(since)
        theirs = [found[name] for name in victims]
        return Outcome(
            what=what,
            takeover=takeover,
            node=node,
            clients=len(victims),
            gap=max((each.gap for each in theirs), default=0.0),
            lost=sum(each.lost for each in theirs),
            sent=sum(each.sent for each in theirs),
            never=never,
        )

    # frames ----------------------------------------------------------------

    def _pass(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._frame()

    def _frame(self) -> None:
        if time.monotonic() - self._looked > SLOW:
            self._look()
        states = {
            name: self._seen.reports[name].state if name in self._seen.reports else "silent"
            for name in self._world.nodes
        }
        self._screen.show(self._rows(), states)
        time.sleep(0.1)

    def _look(self) -> None:
        self._seen = self._world.view()
        self._looked = time.monotonic()

    def _rows(self) -> list[Row]:
        live = self._probe.live(self._since)
        owners = self._seen.owners
        return [Row(name, owners.get(name, ""), live[name]) for name in self._world.clients]


@contextmanager
def without_takeover(world: World, screen: Screen) -> Iterator[None]:
    """The block sees the deployment as if takeover did not exist."""
    screen.scene("the same without takeover: switching it off")
    try:
        world.takeover(enabled=False)
        yield
    finally:
        screen.scene("switching takeover on again")
        world.takeover(enabled=True)
        world.reconnect()


def tell(world: World, screen: Screen, probe: Probing, *, short: bool) -> list[Outcome]:
    """All scenes. short: only those with takeover."""
    outcomes = scenes(Story(world, probe, screen, lambda: None), takeover=True)
    if not short:
        with without_takeover(world, screen):
            # Without takeover a client stays for two minutes where its packets no longer go.
            outcomes += scenes(Story(world, probe, screen, world.reconnect), takeover=False)
    return outcomes


def scenes(story: Story, *, takeover: bool) -> list[Outcome]:
    crash = story.crash(takeover=takeover)
    return [crash, story.drain(takeover=takeover, avoid=crash.node)]
