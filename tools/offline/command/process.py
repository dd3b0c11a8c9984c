"""Runs one command, on this machine or over SSH, and hands its output on line by line."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import asyncssh

from tools.offline.command.report import OperationFailed

CHUNK = 65536


class Stream(Protocol):
    """The reading half that asyncio's and asyncssh's streams have in common."""

    async def read(self, n: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Job:
    """A command with its surroundings; `log` gets (stream name, line) while it runs."""

    command: str
    environment: Mapping[str, str]
    stdin: str | None
    log: Callable[[str, str], None]


@dataclass
class Output:
    """What a command has printed; `both` in order of arrival."""

    log: Callable[[str, str], None]
    parts: dict[str, bytearray] = field(
        default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()}
    )
    both: bytearray = field(default_factory=bytearray)
    unfinished: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, data: bytes) -> None:
        self.parts[name] += data
        self.both += data
        *lines, self.unfinished[name] = (self.unfinished.get(name, b"") + data).split(b"\n")
        for line in lines:
            self.log(name, line.decode(errors="replace"))

    def end(self) -> None:
        for name, rest in self.unfinished.items():
            if rest:
                self.log(name, rest.decode(errors="replace"))

    def text(self, name: str) -> str:
        return bytes(self.parts[name]).decode(errors="replace")

    async def collect(self, **streams: Stream) -> None:
        async def follow(name: str, stream: Stream) -> None:
            while data := await stream.read(CHUNK):
                self.add(name, data)

        await asyncio.gather(*(follow(name, stream) for name, stream in streams.items()))
        self.end()


async def run_local(job: Job, interpreter: list[str], folder: str | None) -> tuple[int, Output]:
    """Exit status (negative: a signal) and output; a cancelled command's whole group is killed."""
    words = [*(interpreter or ["/bin/sh", "-c"]), job.command]
    try:
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE if job.stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **job.environment},
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise OperationFailed(f"could not start {words[0]}: {error}") from error
    output = Output(job.log)
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        await asyncio.gather(
            feed(child.stdin, job.stdin), output.collect(stdout=child.stdout, stderr=child.stderr)
        )
        return await child.wait(), output
    except asyncio.CancelledError:
        os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
        raise


async def feed(stdin: asyncio.StreamWriter | None, text: str | None) -> None:
    if stdin is None or text is None:
        return
    try:
        stdin.write(text.encode())
        await stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it does not read its input: its own business
    stdin.close()


async def run_remote(
    connection: asyncssh.SSHClientConnection, job: Job
) -> tuple[asyncssh.SSHCompletedProcess, Output]:
    """How it ended, and its output; a lost connection raises OperationFailed with what came before."""
    output = Output(job.log)
    process = await connection.create_process(job.command, env=dict(job.environment), encoding=None)
    try:
        if job.stdin:
            process.stdin.write(job.stdin.encode())
        process.stdin.write_eof()
        await output.collect(stdout=process.stdout, stderr=process.stderr)
        return await process.wait(check=False), output
    except (BrokenPipeError, OSError, asyncssh.Error) as error:
        said = bytes(output.both).decode(errors="replace")
        raise OperationFailed(f"lost the host while the command ran: {error}\n{said}") from error
    finally:
        process.close()
