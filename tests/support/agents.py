"""The agent's side of the control protocol, whole, without kernel and BGP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address

from anycastle.agent.cache import Cache
from anycastle.agent.control_client import ControlClient
from anycastle.agent.credentials import Credentials
from anycastle.agent.feed import Feed, FeedState
from anycastle.agent.identity import Identity
from anycastle.control import pki, provision
from anycastle.control.pki import Authority
from anycastle.model.deployment import Routing
from anycastle.model.feed import Change, Snapshot
from anycastle.model.node import ControlEndpoint, Loopbacks, NodeSpec
from tests.support.control_plane import World


@dataclass
class Agent:
    """A node's side of the protocol, whole: identity, cache, feed, client."""

    identity: Identity
    cache: Cache
    feed: Feed
    client: ControlClient
    frames: list[Snapshot | Change]
    states: list[FeedState]

    def names(self) -> set[str]:
        return {client.name for client in self.cache.clients.values()}

    async def reach(self, revision: int, seconds: float = 30.0) -> None:
        await until(lambda: self.feed.revision == revision, seconds)


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for it; fails loudly."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.005)


def node_spec(world: World, name: str, *urls: str) -> NodeSpec:
    return NodeSpec(
        deployment=world.spec.deployment,
        name=name,
        datacentre="ams",
        asn=64512,
        loopbacks=Loopbacks(IPv4Address("10.64.0.1"), IPv6Address("fd00:64::1")),
        anycast=world.spec.anycast,
        pools=world.spec.pools,
        routing=Routing.BIRD,
        edges=(),
        control=ControlEndpoint(urls=urls, ca_file=world.spec.ca_certificate_file),
    )


@asynccontextmanager
async def run_agent(world: World, name: str, *urls: str, join: bool = True) -> AsyncIterator[Agent]:
    """An agent on the state that an earlier one of the same name has left."""
    spec = node_spec(world, name, *urls)
    state = world.directory / name
    state.mkdir(exist_ok=True)
    token = state / "join.token"
    if join and not (state / "identity.pem").exists():
        token.write_text(await provision.join_token(world.spec, name, None))
    identity = Identity(spec, state, token)
    cache = Cache(state / "feed.state", spec.deployment)
    cache.load()
    feed = Feed(spec.control, identity, cache.position)
    agent = Agent(identity, cache, feed, ControlClient(spec.control, identity), [], [])

    def take(frame: Snapshot | Change) -> None:
        agent.frames.append(frame)
        cache.put(frame)

    works = (
        identity.run(),
        cache.run(),
        agent.client.run(),
        feed.run(take, take, agent.states.append),
    )
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield agent
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await cache.flush()
        for result in results:
            assert isinstance(result, asyncio.CancelledError), result


def issue(authority: Authority, name: str, lifetime: float = 600.0) -> Credentials:
    """A node's credentials, made without a join."""
    credentials = Credentials.new()
    request = pki.read_request(credentials.request(name, authority.organisation))
    issued = authority.issue_node(request, name, timedelta(seconds=lifetime))
    return credentials.with_certificate(issued.certificate)
