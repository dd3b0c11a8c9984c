"""Sessions and speaker against a daemon that a test plays, over loopback TCP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import msgspec
import pytest

from anycastle.agent.bgp.attributes import PathAttributes
from anycastle.agent.bgp.capabilities import Capabilities, GracefulRestart
from anycastle.agent.bgp.messages import (
    Decoder,
    Keepalive,
    Message,
    Notification,
    Open,
    Update,
    encode,
)
from anycastle.agent.bgp.routes import ClientRoute, encode_endpoint
from anycastle.agent.bgp.speaker import Speaker
from anycastle.agent.bgp.wire import Afi
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.node import Loopbacks
from tests.support.node import node_spec

HOME = IPv4Address("127.0.0.1")
FOUR = ip_network("10.200.0.77/32")
OTHER = IPv4Address("10.64.0.9")
ENDPOINT = Endpoint(ip_address("203.0.113.9"), 4500)
CLIENT, ANYCAST = "127.0.0.2", "127.0.0.3"


class Daemon:
    """A BGP daemon on a free port of 127.0.0.1, one connection for each agent session."""

    def __init__(self) -> None:
        self.received: dict[str, list[Message]] = {CLIENT: [], ANYCAST: []}
        self.writers: dict[str, asyncio.StreamWriter] = {}
        self.connections = 0
        self.opening = Open(
            64512,
            240,
            IPv4Address("10.64.0.1"),
            Capabilities(64512, (Afi.IPV4, Afi.IPV6), True, GracefulRestart(120)),
        )
        self.silent = False

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        for each in self.server.sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")[0]
        self.connections += 1
        self.writers[name] = writer
        self.received[name] = []
        decoder = Decoder()
        self.send(name, self.opening, Keepalive())
        alive = asyncio.create_task(self._keep_alive(name))
        try:
            while data := await reader.read(65536):
                self.received[name] += decoder.feed(data)
        finally:
            alive.cancel()
            writer.close()

    async def _keep_alive(self, name: str) -> None:
        while True:
            await asyncio.sleep(0.5)
            if not self.silent:
                self.send(name, Keepalive())

    def send(self, name: str, *messages: Message) -> None:
        self.writers[name].write(b"".join(map(encode, messages)))

    def updates(self, name: str) -> list[Update]:
        return [message for message in self.received[name] if isinstance(message, Update)]

    def table(self, name: str) -> dict[Network, PathAttributes]:
        table: dict[Network, PathAttributes] = {}
        for update in self.updates(name):
            for prefix in update.withdrawn:
                table.pop(prefix, None)
            if update.attributes:
                table |= dict.fromkeys(update.announced, update.attributes)
        return table

    def ends(self, name: str) -> list[Afi]:
        return [update.end_of_rib for update in self.updates(name) if update.end_of_rib]

    async def close(self) -> None:
        self.server.close()
        for writer in self.writers.values():
            writer.transport.abort()
        await self.server.wait_closed()


class Agent:
    """A running speaker, its daemon, and what it called back."""

    def __init__(self, daemon: Daemon, port: int) -> None:
        self.daemon = daemon
        self.changed: list[Network] = []
        self.announcers = 0
        spec = node_spec()
        loopbacks = Loopbacks(HOME, IPv6Address("fd00:64::1"))
        self.speaker = Speaker(
            msgspec.structs.replace(spec, loopbacks=loopbacks),
            self.changed.append,
            self.count,
            port=port,
        )

    def count(self) -> None:
        self.announcers += 1


async def until(what: Callable[[], object], seconds: float = 5.0) -> None:
    """Until it is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 what is waited for happens in many places
            await asyncio.sleep(0.005)


@asynccontextmanager
async def agent() -> AsyncIterator[Agent]:
    daemon = Daemon()
    made = Agent(daemon, await daemon.start())
    running = asyncio.create_task(made.speaker.run())
    try:
        await until(lambda: all(made.speaker.established.values()))
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await daemon.close()


def route(micro: int = 0, prefix: Network = FOUR) -> ClientRoute:
    return ClientRoute(prefix, ENDPOINT, 1_900_000_000 + micro / 1e6)


def others(prefix: Network = FOUR, *, local_pref: int = 5, owner: IPv4Address = OTHER) -> Update:
    """A route of another node as the daemon reflects it."""
    attributes = PathAttributes(
        next_hop=IPv4Address("10.67.0.9") if prefix.version == 4 else IPv6Address("fd00:67::9"),
        local_pref=local_pref,
        med=999_999,
        large_communities=encode_endpoint(64512, ENDPOINT),
        cluster_list=(HOME, owner),
    )
    return Update(announced=(prefix,), attributes=attributes)


async def test_open_messages_say_who_keeps_its_routes() -> None:
    async with agent() as a:
        client, anycast = (a.daemon.received[name][0] for name in (CLIENT, ANYCAST))
    assert isinstance(client, Open)
    assert isinstance(anycast, Open)
    both = (Afi.IPV4, Afi.IPV6)
    assert client.capabilities.graceful_restart == GracefulRestart(120, True, both)
    assert anycast.capabilities.graceful_restart == GracefulRestart(0)
    assert (client.hold_time, anycast.hold_time) == (30, 3)
    assert client.identifier != anycast.identifier


async def test_client_routes_and_end_of_rib_after_complete() -> None:
    async with agent() as a:
        a.speaker.announce_clients([route(1)])
        await until(lambda: FOUR in a.daemon.table(CLIENT))
        assert a.daemon.ends(CLIENT) == []
        a.speaker.clients_complete()
        await until(lambda: a.daemon.ends(CLIENT) == [Afi.IPV4, Afi.IPV6])
        a.speaker.announce_clients([route(1)])
        a.speaker.withdraw_clients([ip_network("10.200.0.78/32")])
        a.speaker.announce_clients([route(2)])
        await until(lambda: a.daemon.table(CLIENT)[FOUR].med == 999_997)
        a.speaker.withdraw_clients([FOUR])
        await until(lambda: not a.daemon.table(CLIENT))
        assert len(a.daemon.updates(CLIENT)) == 5


async def test_everything_is_told_again_after_the_daemon_restarted() -> None:
    async with agent() as a:
        a.speaker.announce_clients([route()])
        a.speaker.clients_complete()
        a.speaker.announce_anycast(demoted=False)
        await until(lambda: len(a.daemon.table(ANYCAST)) == 5 and a.daemon.ends(CLIENT))
        for writer in list(a.daemon.writers.values()):
            writer.transport.abort()
        await until(lambda: a.daemon.connections == 4)
        await until(lambda: len(a.daemon.table(ANYCAST)) == 5)
        await until(lambda: FOUR in a.daemon.table(CLIENT) and len(a.daemon.ends(CLIENT)) == 2)


async def test_anycast_demotion_and_withdrawal() -> None:
    async with agent() as a:
        assert not a.speaker.announcing
        a.speaker.announce_anycast(demoted=True)
        await until(lambda: len(a.daemon.table(ANYCAST)) == 5)
        assert {said.communities for said in a.daemon.table(ANYCAST).values()} == {((65535, 0),)}
        a.speaker.announce_anycast(demoted=False)
        await until(lambda: {s.communities for s in a.daemon.table(ANYCAST).values()} == {()})
        assert a.speaker.announcing
        a.speaker.withdraw_anycast()
        await until(lambda: a.daemon.table(ANYCAST) == {})


async def test_what_other_nodes_hold() -> None:
    async with agent() as a:
        a.daemon.send(CLIENT, others(), others(local_pref=6))
        await until(lambda: len(a.changed) == 2)
        (heard,) = a.speaker.others(FOUR)
        assert heard == ClientRoute(FOUR, ENDPOINT, 6.0, OTHER)
        a.daemon.send(CLIENT, others(local_pref=6))  # no news
        a.daemon.send(CLIENT, others(owner=HOME))  # FRR: our own route comes back
        await until(lambda: len(a.changed) == 3)
        assert a.speaker.others(FOUR) == []


async def test_routes_of_before_survive_a_daemons_restart_until_it_told_all() -> None:
    async with agent() as a:
        second = ip_network("10.200.0.78/32")
        a.daemon.send(CLIENT, others(), others(second))
        await until(lambda: len(a.changed) == 2)
        a.daemon.writers[CLIENT].transport.abort()
        await until(lambda: not a.speaker.established["client"])
        assert a.speaker.others(FOUR)
        await until(lambda: a.speaker.established["client"])
        a.daemon.send(CLIENT, others(), Update(end_of_rib=Afi.IPV4))
        await until(lambda: a.changed[2:] == [second])
        assert [each.prefix for each in a.speaker.learned()] == [FOUR]


async def test_announcers_are_known_by_their_beacons() -> None:
    def beacon(last: str, *communities: tuple[int, int]) -> Update:
        said = PathAttributes(
            next_hop=IPv6Address("fd00:67::9"), local_pref=100, communities=communities
        )
        return Update(announced=(ip_network(f"100::{last}/128"),), attributes=said)

    async with agent() as a:
        assert not a.speaker.announcers_known
        a.daemon.send(ANYCAST, beacon("a40:9"), beacon("a40:a", (65535, 0)))
        a.daemon.send(ANYCAST, beacon("7f00:1"))  # our own
        a.daemon.send(ANYCAST, Update(end_of_rib=Afi.IPV6))
        await until(lambda: a.speaker.announcers_known)
        assert a.speaker.announcers() == {OTHER: False, IPv4Address("10.64.0.10"): True}
        a.daemon.send(ANYCAST, Update(withdrawn=(ip_network("100::a40:9/128"),)))
        await until(lambda: OTHER not in a.speaker.announcers())
        a.daemon.writers[ANYCAST].transport.abort()
        await until(lambda: not a.speaker.announcers())
        assert not a.speaker.announcers_known


async def test_stop_withdraws_then_leaves_each_session_as_it_has_to() -> None:
    async with agent() as a:
        a.speaker.announce_clients([route()])
        a.speaker.announce_anycast(demoted=False)
        await until(lambda: len(a.daemon.table(ANYCAST)) == 5 and a.daemon.table(CLIENT))
        await a.speaker.stop()
        await until(lambda: isinstance(a.daemon.received[ANYCAST][-1], Notification))
        assert a.daemon.table(ANYCAST) == {}
        # Graceful restart: nothing but the end of the connection.
        assert not any(isinstance(each, Notification) for each in a.daemon.received[CLIENT])
        assert FOUR in a.daemon.table(CLIENT)
        assert a.speaker.established == {"client": False, "anycast": False}


async def test_a_daemon_that_speaks_nonsense_is_told_so_and_tried_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with agent() as a:
        connections = a.daemon.connections
        before = a.daemon.received[CLIENT]
        a.daemon.writers[CLIENT].write(b"\0" * 19)
        await until(lambda: a.daemon.connections > connections)
        assert before[-1] == Notification(1, 1)
    assert "the daemon is at fault: the marker is not all ones" in capsys.readouterr().out


async def test_a_malformed_update_costs_its_prefixes_only() -> None:
    async with agent() as a:
        a.daemon.send(CLIENT, others())
        await until(lambda: a.speaker.others(FOUR))
        broken = encode(others()).replace(bytes.fromhex("40010100"), bytes.fromhex("40010107"))
        a.daemon.writers[CLIENT].write(broken)
        await until(lambda: not a.speaker.others(FOUR))
        assert a.speaker.established["client"]
        assert a.daemon.connections == 2


async def test_a_daemon_of_another_as_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    async with agent() as a:
        a.daemon.opening = replace(
            a.daemon.opening,
            asn=65000,
            capabilities=replace(a.daemon.opening.capabilities, asn=65000),
        )
        a.daemon.writers[CLIENT].transport.abort()
        await until(lambda: Notification(2, 2) in a.daemon.received[CLIENT])
        assert not a.speaker.established["client"]
    assert "AS 65000, the node spec says 64512" in capsys.readouterr().out


async def test_a_slow_daemon_holds_the_sender_back() -> None:
    """With nobody reading, no more is encoded than fits the sockets."""
    async with agent() as a:
        writer = a.daemon.writers[CLIENT]
        transport = a.speaker._client.session._transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        a.speaker.announce_clients(
            route(n, IPv4Network((0x0AC80100 + n, 32))) for n in range(20_000)
        )
        await asyncio.sleep(0.5)
        assert not a.speaker._client.out.idle
        assert a.speaker.established["anycast"]
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        await until(lambda: len(a.daemon.updates(CLIENT)) == 20_000, seconds=30)


async def test_silence_ends_the_anycast_session_after_its_hold_time() -> None:
    async with agent() as a:
        a.daemon.silent = True
        await until(lambda: Notification(4, 0) in a.daemon.received[ANYCAST], seconds=6)
        assert a.speaker.established["client"]
        kept = [m for m in a.daemon.received[ANYCAST] if isinstance(m, Keepalive)]
        assert len(kept) >= 3
