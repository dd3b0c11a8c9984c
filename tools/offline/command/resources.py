"""Create, update and delete of the three resources: what runs, and the outputs that it leaves.

Outputs are the inputs again plus `stdout` and `stderr`, without their last newline. These two are
secrets as soon as any input is one, and `connection` always is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncssh

from tools.offline.command import copying, process
from tools.offline.command.inputs import Command, CopyToRemote, LocalCommand, RemoteCommand, parse
from tools.offline.command.report import (
    OperationFailed,
    command_failed,
    local_status,
    remote_status,
    without_last_newline,
)
from tools.offline.command.ssh import Lines
from tools.offline.values import has_secret, reveal, secret

Properties = Mapping[str, Any]
Log = Callable[[str, str], None]
PREVIOUS = {"stdout": "PULUMI_COMMAND_STDOUT", "stderr": "PULUMI_COMMAND_STDERR"}


@dataclass
class Resources:
    """Carries operations out. `log` arguments take (stream name, line) of a command's output."""

    lines: Lines

    async def create(self, kind: str, inputs: Properties, log: Log) -> dict[str, Any]:
        """The outputs; raises OperationFailed."""
        wanted = parse(kind, inputs)
        if isinstance(wanted, CopyToRemote):
            await self.copy(wanted)
            return outputs(inputs, {})
        assert isinstance(wanted, Command)
        return outputs(inputs, await self.run(wanted, wanted.create, {}, log))

    async def update(
        self, kind: str, inputs: Properties, old: Properties, log: Log
    ) -> dict[str, Any]:
        wanted = parse(kind, inputs)
        if isinstance(wanted, CopyToRemote):
            if copy_needed(reveal(dict(old)), wanted):
                await self.copy(wanted)
            return outputs(inputs, {})
        assert isinstance(wanted, Command)
        command = wanted.create if wanted.update is None else wanted.update
        return outputs(inputs, await self.run(wanted, command, printed(old), log))

    async def delete(self, kind: str, state: Properties, log: Log) -> None:
        inputs = {key: value for key, value in state.items() if key not in PREVIOUS}
        wanted = parse(kind, inputs)
        if isinstance(wanted, Command) and wanted.delete is not None:
            await self.run(wanted, wanted.delete, printed(state), log)

    async def run(
        self, wanted: Command, command: str | None, previous: Mapping[str, str], log: Log
    ) -> Mapping[str, str]:
        """stdout and stderr of `command`; without a command what they were before."""
        if command is None:
            return previous
        extra = {PREVIOUS[name]: text for name, text in previous.items() if text}
        environment = {**wanted.environment, **(extra if wanted.add_previous_output_in_env else {})}
        job = process.Job(command, environment, wanted.stdin, filtered(wanted, log))
        if isinstance(wanted, RemoteCommand):
            output = await self.remote(wanted, job)
        else:
            assert isinstance(wanted, LocalCommand)
            code, output = await process.run_local(job, wanted.interpreter, wanted.dir)
            check(local_status(code) if code else "", command, output)
        return {name: without_last_newline(output.text(name)) for name in PREVIOUS}

    async def remote(self, wanted: RemoteCommand, job: process.Job) -> process.Output:
        ended, output = await self.on_host(wanted, job)
        bad = ended.exit_status != 0
        status = remote_status(
            ended.exit_status, ended.exit_signal[0] if ended.exit_signal else None
        )
        check(status if bad else "", job.command, output)
        return output

    async def on_host(
        self, wanted: RemoteCommand, job: process.Job
    ) -> tuple[asyncssh.SSHCompletedProcess, process.Output]:
        async with self.lines.session(wanted.connection) as connection:
            try:
                return await process.run_remote(connection, job)
            except asyncssh.Error as error:  # no session could be opened: nothing ran yet
                raise OperationFailed(f"{wanted.connection.host}: no session: {error}") from error

    async def copy(self, wanted: CopyToRemote) -> None:
        async with self.lines.session(wanted.connection) as connection:
            await copying.copy(connection, wanted.source, wanted.remote_path)


def check(status: str, command: str, output: process.Output) -> None:
    if status:
        said = bytes(output.both).decode(errors="replace")
        raise OperationFailed(command_failed(status, command, said))


def filtered(wanted: Command, log: Log) -> Log:
    """Lets through what `logging` asks for; everything by default, as the vendor's plugin does."""
    setting = wanted.logging or "stdoutAndStderr"

    def keep(name: str, line: str) -> None:
        if setting in (name, "stdoutAndStderr"):
            log(name, line)

    return keep


def printed(state: Properties) -> dict[str, str]:
    """The output of the command before."""
    plain = reveal(dict(state))
    return {name: str(plain.get(name) or "") for name in PREVIOUS}


def copy_needed(old: Properties, wanted: CopyToRemote) -> bool:
    before = old.get("source") or {}
    same = before.get("hash") == wanted.source.get("hash") and before.get("hash")
    return not same or old.get("remotePath") != wanted.remote_path


def outputs(inputs: Properties, results: Mapping[str, str]) -> dict[str, Any]:
    """Property values for the engine."""
    hidden = has_secret(dict(inputs))
    shown = {name: secret(text) if hidden else text for name, text in results.items()}
    state = {**inputs, **shown}
    if "connection" in state:
        state["connection"] = secret(state["connection"])
    return state
