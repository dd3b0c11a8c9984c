"""`make demo`: what clients notice when a node dies and when one is drained.

Uses the lab that LAB names, or stands it up and leaves it running. About three minutes;
`--short` leaves out what is held against it, the same without takeover.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from anycastle.cli.errors import Failure
from tools.demo import screen
from tools.demo.screen import Screen
from tools.demo.story import DRAIN, KILL, Outcome, tell
from tools.demo.world import RATE, DemoFault, World
from tools.measure.probing import ProberGone, probing
from tools.places import CHECKOUT
from tools.stack.workspace import DEFAULT, LabFault, Workspace

HEADS = ("", "LONGEST GAP", "PACKETS LOST", "LONGEST GAP WITHOUT", "PACKETS LOST WITHOUT")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only with takeover")
    short = parser.parse_args().short
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        name = os.environ.get("LAB") or DEFAULT
        ensure_lab(name)
        outcomes = play(World(name), short=short)
    except (DemoFault, LabFault, Failure, ProberGone) as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; `make lab` puts the lab right, `make lab-down` removes it\n")
        return 130
    print(f"\n{conclusion(outcomes)}")
    return 0


def ensure_lab(name: str) -> None:
    """Raises DemoFault when it does not come up."""
    if (Workspace(name).folder / "hosts.json").exists():
        return
    done = subprocess.run(
        [str(CHECKOUT / "tools" / "lab"), "up"], env=os.environ | {"LAB": name}, check=False
    )
    if done.returncode:
        raise DemoFault(f"the lab {name} did not come up (see above)")


def play(world: World, *, short: bool) -> list[Outcome]:
    """Everything that was broken is whole again afterwards, on every way out."""
    with screen.opened() as shown:
        try:
            # A lab that an interrupted demo left behind.
            mend(world, shown)
            with probing(world.streams()) as probe:
                return tell(world, shown, probe, short=short)
        except BaseException:
            mend(world, shown)
            raise


def mend(world: World, shown: Screen) -> None:
    """Start what is dead, resume what is drained, switch takeover on."""
    dead = [node for node in world.nodes if node not in world.view().reports]
    for node in dead:
        shown.scene(f"starting {node}")
        world.start(node)
    seen = world.wait("all nodes answer", lambda v: set(v.reports) == set(world.nodes), 60)
    for node in world.nodes:
        if seen.reports[node].drain is not None:
            shown.scene(f"resuming {node}")
            world.drain("resume", node, 30).communicate()
    if any(report.takeover == "off" for report in seen.reports.values()):
        world.takeover(enabled=True)


def conclusion(outcomes: Sequence[Outcome]) -> str:
    """The table at the end."""
    rows = []
    for what in (KILL, DRAIN):
        ours = next((each for each in outcomes if each.what == what and each.takeover), None)
        theirs = next((each for each in outcomes if each.what == what and not each.takeover), None)
        rows.append((what, *cells(ours), *cells(theirs)))
    used = 5 if any(not each.takeover for each in outcomes) else 3
    load = f"{RATE:.0f} packets a second for each client, echoed by a service behind the nodes"
    return f"{screen.table([row[:used] for row in rows], HEADS[:used])}\n\n{load}"


def cells(outcome: Outcome | None) -> tuple[str, str]:
    if outcome is None:
        return "-", "-"
    clients = f"{outcome.clients} client{'' if outcome.clients == 1 else 's'}"
    return outcome.gap_text, f"{outcome.lost} of {outcome.sent}, {clients}"


if __name__ == "__main__":
    sys.exit(main())
