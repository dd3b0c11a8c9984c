"""CopyToRemote: a file, a folder or a text to a path on the host, over SFTP.

source | remote: is a folder    | is not there | is a file
-------|------------------------|--------------|---------------
dir    | remote/dir             | remote/dir   | error
dir/   | remote/x for x in dir  | remote/x     | error
file   | remote/file            | remote       | overwritten
text   | error                  | remote       | overwritten
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from tools.offline.command.report import OperationFailed


async def copy(
    connection: asyncssh.SSHClientConnection, source: Mapping[str, Any], remote: str
) -> None:
    """Raises OperationFailed, which names the path that could not be read or written."""
    try:
        async with connection.start_sftp_client() as sftp:
            if source.get("path"):
                await copy_path(sftp, str(source["path"]), remote)
            else:
                await copy_text(sftp, str(source.get("text", "")), remote)
    except (asyncssh.Error, OSError) as error:
        raise OperationFailed(f"could not copy to {remote}: {error}") from error


async def copy_text(sftp: asyncssh.SFTPClient, text: str, remote: str) -> None:
    if await sftp.isdir(remote):
        raise OperationFailed(
            f"remote path {remote} is a directory; "
            "when using a text asset, remotePath must be a file path"
        )
    async with sftp.open(remote, "wb") as file:
        await file.write(text.encode())


@dataclass(frozen=True)
class Local:
    """What is to be copied, read before anything is awaited: folders (parents first), then files."""

    path: Path
    is_folder: bool
    folders: list[Path]
    files: list[Path]


def survey(source: str) -> Local:
    """Raises OperationFailed for a source that is not there."""
    path = Path(source)
    if not path.exists():
        raise OperationFailed(f"open {source}: no such file or directory")
    inside = sorted(path.rglob("*")) if path.is_dir() else []
    folders = [entry for entry in inside if entry.is_dir()]
    return Local(path, path.is_dir(), folders, [entry for entry in inside if not entry.is_dir()])


async def copy_path(sftp: asyncssh.SFTPClient, source: str, remote: str) -> None:
    local = survey(source)
    base = remote.rstrip("/")
    if not local.is_folder:
        target = f"{base}/{local.path.name}" if await sftp.isdir(remote) else remote
        await sftp.put(str(local.path), target)
        return
    await make_folder(sftp, remote)
    target = base if source.endswith("/") else f"{base}/{local.path.name}"
    await make_folder(sftp, target)
    for folder in local.folders:
        await make_folder(sftp, f"{target}/{folder.relative_to(local.path).as_posix()}")
    for file in local.files:
        await sftp.put(str(file), f"{target}/{file.relative_to(local.path).as_posix()}")


async def make_folder(sftp: asyncssh.SFTPClient, remote: str) -> None:
    if await sftp.isdir(remote):
        return
    if await sftp.exists(remote):
        raise OperationFailed(f"remote path {remote} exists but is not a directory")
    await sftp.mkdir(remote)
