"""`status` and `wait-ready`: ask the running agent over its HTTP port, standard library only."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from typing import Any

LAST_LINES = 30
POLL = 0.25
TIMEOUT = 2.0


class Unreachable(Exception):
    """The agent does not answer."""


def get(port: int, path: str) -> tuple[int, Any]:
    """(status, decoded JSON) of a GET to this host's agent. Raises Unreachable."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreachable(f"the agent does not answer on port {port}: {error}") from None
    finally:
        connection.close()


def status(port: int, *, as_json: bool) -> int:
    """Print the node's report. Returns the exit code: 0 when the node is UP."""
    try:
        _, report = get(port, "/v1/status")
    except Unreachable as error:
        print(f"anycastle-agent: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if as_json else "\n".join(lines(report)))
    return 0 if report["state"] == "UP" else 1


def lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    reason = f" ({report['reason']})" if report["reason"] else ""
    announcing = "announcing" if report["announcing"] else "not announcing"
    return [
        f"{report['name']} in {report['datacentre']}: {report['state']}, {announcing}{reason}",
        f"version {report['version']}, {report['routing']}, {report['wireguard']} WireGuard",
        f"revision {report['revision']}, {len(report['sessions'])} sessions",
        *(
            f"  {'good' if probe['healthy'] else 'bad '}  {probe['name']} {probe['detail']}".rstrip()
            for probe in report["probes"]
        ),
    ]


def wait_ready(port: int, timeout: float) -> int:
    """Wait until the node is UP, or out of service as an operator asked and able to serve.

    Returns the exit code, after printing why it is 1.
    """
    deadline = time.monotonic() + timeout
    last = ""
    while time.monotonic() < deadline:
        ready, last = _look(port)
        if ready:
            print(last)
            return 0
        time.sleep(POLL)
    print(f"anycastle-agent: not ready after {timeout:.0f} s: {last}", file=sys.stderr)
    print(journal(), file=sys.stderr)
    print(f"anycastle-agent: not ready after {timeout:.0f} s: {last}", file=sys.stderr)
    return 1


def _look(port: int) -> tuple[bool, str]:
    try:
        code, body = get(port, "/readyz")
    except Unreachable as error:
        return False, str(error)
    if code == 200:
        return True, f"{body['state']}, revision {body['revision']}"
    if (drain := body.get("drain")) and drain["ready"]:
        return True, (
            f"{body['state']} as asked ({body['reason']}), revision {body['revision']}: not in"
            f" service until `anycastle node resume` brings it back"
        )
    bad = [f"{p['name']}: {p['detail']}" for p in body["probes"] if not p["healthy"]]
    return False, "; ".join([f"{body['state']}: {body['reason']}", *bad])


def journal() -> str:
    """The agent's last lines, or why there are none."""
    command = ["journalctl", "-u", "anycastle-agent", "-n", str(LAST_LINES), "--no-pager", "-o"]
    try:
        done = subprocess.run(
            [*command, "short-iso"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"(no journal: {error})"
    return (done.stdout or done.stderr).rstrip()
