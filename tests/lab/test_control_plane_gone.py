"""The control plane is dead: sessions, failover and agent restarts go on. It comes back,
and everything catches up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.support import traffic
from tests.support.lab import Lab
from tests.support.traffic import Ping
from tests.support.waiting import wait_for

Dead = Callable[..., AbstractContextManager[None]]


def reaches(lab: Lab, client: str, target: str) -> bool:
    ping = Ping(lab.netns(client), target, interval=0.2, count=2, options=("-W", "1"))
    return bool(ping.wait(5).answers)


def test_everything_but_changes_goes_on(lab: Lab, dead: Dead) -> None:
    services = {c: lab.service(lab.home(c).name).v4 for c in lab.clients}
    pings = [Ping(lab.netns(c), services[c], name=c) for c in lab.clients]
    with dead(lab, "control"):
        with traffic.running(pings):
            time.sleep(5)
            traffic.assert_lossless(traffic.stop_all(pings))

        # An agent starts from its last good state on disk.
        lab.run("ams-1", "systemctl", "restart", "anycastle-agent", timeout=60)
        lab.serve(60)
        report = lab.report("ams-1")
        assert report is not None
        assert report.revision > 0

        # A node dies and its clients find another.
        with dead(lab, "fra-2"):
            wait_for("fra-2 withdrawn", lambda: "fra-2" not in lab.announcers("fra"), 5)
            for client in lab.clients_of("site2"):
                wait_for(
                    f"{client} reaches its service",
                    lambda client=client: reaches(lab, client, services[client]),  # type: ignore[misc]
                    60,
                )
        lab.serve(90)

        refused = lab.cli("client", "list")
        assert refused.returncode == 4
        assert b"cannot reach" in refused.stderr

    wait_for("the API answers", lambda: lab.cli("status").returncode == 0, 60, every=1)
    try:
        assert lab.cli("client", "add", "afterwards").returncode == 0
        revision = lab.status().revision
        wait_for(
            "every agent caught up",
            lambda: all(r and r.revision >= revision for r in lab.reports().values()),
            60,
        )
        wait_for(
            "the control plane knows every node again",
            lambda: all(n.state == "UP" and n.announcing for n in lab.node_views()),
            40,
            every=1,
        )
    finally:
        lab.cli("client", "remove", "afterwards", "--yes")


def test_database_and_api_restart(lab: Lab) -> None:
    """Agents reconnect by themselves and miss nothing."""
    lab.run("control", "systemctl", "restart", "postgresql", timeout=60)
    lab.run("control", "systemctl", "restart", "anycastle-control", timeout=60)
    wait_for("the API answers", lambda: lab.cli("status").returncode == 0, 60, every=1)
    try:
        assert lab.cli("client", "add", "restarted").returncode == 0
        revision = lab.status().revision
        wait_for(
            "every agent has the change",
            lambda: all(r and r.revision >= revision for r in lab.reports().values()),
            60,
        )
    finally:
        lab.cli("client", "remove", "restarted", "--yes")
