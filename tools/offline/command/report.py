"""What a person reads when a command fails, in the vendor's plugin's words."""

from __future__ import annotations

import json


class OperationFailed(Exception):
    """A command, a connection or a copy failed; the text is meant for a person."""


def command_failed(status: str, command: str, output: str) -> str:
    """`status` says how it ended; the whole output follows, both streams in order of arrival."""
    return f"{status}: running {json.dumps(command, ensure_ascii=False)}:\n{output}"


def local_status(returncode: int) -> str:
    return f"exit status {returncode}" if returncode >= 0 else f"signal {-returncode}"


def remote_status(exit_status: int | None, exit_signal: str | None) -> str:
    if exit_signal:
        return f"Process exited with status 128 from signal {exit_signal}"
    if exit_status is None or exit_status < 0:
        return "wait: remote command exited without exit status or exit signal"
    return f"Process exited with status {exit_status}"


def without_last_newline(text: str) -> str:
    return text.removesuffix("\n")
