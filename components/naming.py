"""Names of resources, so that a preview reads like the deployment itself.

A resource is named after the host that it is on, and what it is there:
`ams-1`, `ams-1/agent`, `dub/nlb/listener`. A slash can't occur in a host's name,
so no two names meet.
"""

from __future__ import annotations


def on(host: str, *parts: str) -> str:
    """Name of a resource on `host`, e.g. `on("dub", "nlb", "listener")`."""
    return "/".join((host, *parts))
