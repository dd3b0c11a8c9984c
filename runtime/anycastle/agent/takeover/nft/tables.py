"""The edge to nf_tables and tc: programs for what is rare, netlink for what is frequent."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from anycastle.agent.netlink.attributes import MalformedAttribute
from anycastle.agent.netlink.socket import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NetlinkError,
    NetlinkSocket,
)
from anycastle.agent.takeover.nft import messages
from anycastle.agent.takeover.path import PathError
from anycastle.model.addresses import Endpoint

T = TypeVar("T")

_PER_TRANSACTION = 1000
"""Elements: an attribute holds 64 KiB, and an element of IPv6 takes 44 bytes."""
_TIMEOUT = 30.0


class NftTable:
    """One table of family netdev. Every call may raise PathError."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self._socket = NetlinkSocket(NETLINK_NETFILTER)
        except OSError as error:
            raise PathError(f"this kernel has no nfnetlink: {error.strerror}") from error

    def run(self, script: str) -> None:
        """Carry out an nft script, all of it or nothing."""
        if script:
            run_program(["nft", "-f", "-"], script)

    def chains(self) -> set[str]:
        """Names; empty when there is no such table."""
        names = (
            messages.chain_of(body, self.name)
            for body in self._dump(messages.GET_CHAIN, messages.dump_request())
        )
        return {name for name in names if name is not None}

    def counters(self) -> dict[str, int]:
        """Packets by the counter's name."""
        found = (
            messages.counter_of(body, self.name)
            for body in self._dump(messages.GET_OBJECT, messages.dump_request())
        )
        return dict(one for one in found if one is not None)

    def elements(self, name: str) -> dict[Endpoint, int]:
        """All of a map from endpoint to mark."""
        request = messages.elements_request(self.name, name)
        bodies = self._dump(messages.GET_ELEMENT, request)
        try:
            return dict(one for body in bodies for one in messages.elements_of(body))
        except (MalformedAttribute, KeyError, ValueError) as error:
            raise PathError(f"map {name} holds what is not ours: {error}") from error

    def put(self, name: str, values: Mapping[Endpoint, int], stale: Iterable[Endpoint]) -> None:
        """Set elements of a map. stale: those of them that it holds with another value."""
        old = set(stale)
        for part in _parts(values.items()):
            requests = []
            if replaced := [endpoint for endpoint, _ in part if endpoint in old]:
                requests.append(self._deletion(name, replaced))
            body = messages.put_elements(self.name, name, dict(part))
            requests.append((messages.NEW_ELEMENT, NLM_F_ACK | NLM_F_CREATE, body))
            self._transact(name, requests)

    def add(self, name: str, endpoints: Iterable[Endpoint]) -> None:
        """Add elements of a set; one that is there stays as it is."""
        for part in _parts(endpoints):
            body = messages.keys(self.name, name, part)
            request = (messages.NEW_ELEMENT, NLM_F_ACK | NLM_F_CREATE, body)
            self._transact(name, [request])

    def remove(self, name: str, endpoints: Iterable[Endpoint]) -> None:
        """Delete elements of a set or map, which must be there."""
        for part in _parts(endpoints):
            self._transact(name, [self._deletion(name, part)])

    def close(self) -> None:
        self._socket.close()

    def _deletion(self, name: str, endpoints: Iterable[Endpoint]) -> messages.Request:
        body = messages.keys(self.name, name, endpoints)
        return messages.DELETE_ELEMENT, NLM_F_ACK, body

    def _transact(self, name: str, requests: Sequence[messages.Request]) -> None:
        try:
            self._socket.transact(messages.batch(requests))
        except NetlinkError as error:
            raise PathError(
                f"the kernel refused a change of {name} in table {self.name}: {error.strerror}"
            ) from error

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        try:
            return self._socket.dump(kind, body)
        except NetlinkError as error:
            raise PathError(f"table {self.name} can't be read: {error.strerror}") from error


def run_program(command: Sequence[str], script: str = "") -> str:
    """What a program printed. Raises PathError with its complaint."""
    try:
        done = subprocess.run(
            command, input=script, capture_output=True, text=True, check=True, timeout=_TIMEOUT
        )
    except FileNotFoundError:
        raise PathError(f"this host has no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise PathError(f"{command[0]} hangs") from None
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout).strip() or f"exit code {error.returncode}"
        raise PathError(f"{' '.join(command)}: {words}") from None
    return done.stdout


def _parts(items: Iterable[T]) -> Iterable[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, _PER_TRANSACTION)):
        yield part
