"""SSH connections: one per host and login, shared by all commands for it, dialled again when lost.

The vendor's plugin dials for each command; that costs a key exchange each time and is the one thing
done differently here. A failed dial is tried again, whatever its reason (a host that boots refuses
logins, too), until `dial_error_limit` further dials have failed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncssh

from tools.offline.command.inputs import Connection, Dial
from tools.offline.command.report import OperationFailed

FIRST_DELAY, DELAY_GROWTH, LONGEST_DELAY = 0.1, 1.5, 5.0
SESSIONS_PER_CONNECTION = 8  # sshd's MaxSessions is 10 by default
KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 5, 6

DIAL_ERRORS = (OSError, asyncssh.Error, asyncssh.KeyImportError, asyncio.TimeoutError)


@dataclass
class Line:
    """A connection to one host, or none yet."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sessions: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(SESSIONS_PER_CONNECTION)
    )
    connection: asyncssh.SSHClientConnection | None = None


class Lines:
    """All connections of this process."""

    def __init__(self) -> None:
        self.lines: dict[Connection, Line] = {}

    @asynccontextmanager
    async def session(self, target: Connection) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """A live connection with room for one more session; raises OperationFailed."""
        line = self.lines.setdefault(target, Line())
        async with line.sessions:
            async with line.lock:
                if line.connection is None or line.connection.is_closed():
                    line.connection = await dial(target)
            yield line.connection

    async def close(self) -> None:
        for line in self.lines.values():
            if line.connection is not None:
                line.connection.close()


async def dial(
    target: Connection, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> asyncssh.SSHClientConnection:
    """Connect and log in, with retries; raises OperationFailed with the last error."""
    failures, delay = 0, FIRST_DELAY
    while True:
        try:
            return await dial_once(target)
        except DIAL_ERRORS as error:
            failures += 1
            if gives_up(failures, target.dial_error_limit):
                raise OperationFailed(dial_failed(target, failures, error)) from error
        await sleep(delay)
        delay = min(delay * DELAY_GROWTH, LONGEST_DELAY)


def gives_up(failures: int, limit: int) -> bool:
    """Whether that many failed dials are too many; a negative limit means never."""
    return limit >= 0 and failures > limit


def dial_failed(target: Dial, failures: int, error: BaseException) -> str:
    reason = str(error) or type(error).__name__
    return f"could not log in to {target.user}@{target.host}:{target.port} ({failures} tries): {reason}"


async def dial_once(target: Connection) -> asyncssh.SSHClientConnection:
    if target.proxy is None:
        return await login(target, None)
    tunnel = await login(target.proxy, None)
    try:
        return await login(target, tunnel)
    except BaseException:
        tunnel.close()
        raise


async def login(
    target: Dial, tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    """One attempt, without any of the user's own SSH configuration."""
    agent = target.agent_socket_path or os.environ.get("SSH_AUTH_SOCK")
    return await asyncssh.connect(
        target.host,
        target.port,
        tunnel=tunnel or (),
        config=None,
        username=target.user,
        password=target.password,
        client_keys=private_keys(target) if target.private_key or agent else None,
        agent_path=agent,
        known_hosts=trusted(target.host_key),
        connect_timeout=target.per_dial_timeout or None,
        login_timeout=target.per_dial_timeout or 0,
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVE_COUNT,
        encoding=None,
    )


def private_keys(target: Dial) -> list[asyncssh.SSHKey]:
    """Raises asyncssh.KeyImportError (a ValueError) without showing the key."""
    if not target.private_key:
        return []
    return [asyncssh.import_private_key(target.private_key, target.private_key_password)]


def trusted(host_key: str | None) -> tuple[list[asyncssh.SSHKey], list[str], list[str]] | None:
    """asyncssh's form of "this host key only"; None: any, as the vendor's plugin does without one."""
    return ([asyncssh.import_public_key(host_key)], [], []) if host_key else None
