"""A BGP speaker in a process of its own, steered by lines of JSON. Run with -m.

In: {"clients": [[prefix, endpoint, confirmed_at], …]}, {"withdraw": [prefix, …]},
{"complete": true}, {"anycast": "up" | "demoted" | null}, {"bulk": [first, count]},
{"stop": true}, {"ask": [prefix, …]}. Out: one line of JSON for each "ask".
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import structlog

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.bgp.speaker import Speaker
from anycastle.model.addresses import Endpoint, nth
from anycastle.model.codec import from_json
from anycastle.model.node import NodeSpec


def _announce(spec: NodeSpec, speaker: Speaker, line: dict[str, Any]) -> None:
    if "clients" in line:
        speaker.announce_clients(
            ClientRoute(ip_network(prefix), Endpoint.parse(endpoint), at)
            for prefix, endpoint, at in line["clients"]
        )
    if "bulk" in line:
        first, count = line["bulk"]
        endpoint, now = Endpoint.parse("203.0.113.1:4500"), time.time()
        speaker.announce_clients(
            ClientRoute(ip_network(nth(spec.pools.v4, first + i)), endpoint, now + i / 1e6)
            for i in range(count)
        )
    if "withdraw" in line:
        speaker.withdraw_clients(map(ip_network, line["withdraw"]))
    if line.get("complete"):
        speaker.clients_complete()
    if "anycast" in line and line["anycast"] is None:
        speaker.withdraw_anycast()
    elif "anycast" in line:
        speaker.announce_anycast(demoted=line["anycast"] == "demoted")


def _answer(speaker: Speaker, prefixes: list[str], changes: int) -> dict[str, Any]:
    others = {}
    for prefix in prefixes:
        found = speaker.others(ip_network(prefix))
        others[prefix] = [[str(r.owner), str(r.endpoint), r.confirmed_at] for r in found]
    return {
        "established": speaker.established,
        "announcers": {str(node): demoted for node, demoted in speaker.announcers().items()},
        "announcers_known": speaker.announcers_known,
        "others": others,
        "learned": len(speaker.learned()),
        "changes": changes,
    }


async def main(path: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    spec = from_json(await asyncio.to_thread(Path(path).read_bytes), NodeSpec)
    changes: list[object] = []
    speaker = Speaker(spec, changes.append, lambda: None)
    running = asyncio.create_task(speaker.run())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while text := await reader.readline():
        line = json.loads(text)
        _announce(spec, speaker, line)
        if "ask" in line:
            print(json.dumps(_answer(speaker, line["ask"], len(changes))), flush=True)
        if line.get("stop"):
            await speaker.stop()
            break
    await running


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
