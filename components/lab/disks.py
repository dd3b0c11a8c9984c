"""Create, read and delete a host's disk: a writable layer over the image, and who it is.

A disk is apart from the host that boots from it, as on any cloud: a dead host is
started again from the same disk, and only a new disk makes software go onto it again.
"""

from __future__ import annotations

import os
import secrets
import shutil
import uuid
from pathlib import Path

import msgspec

from anycastle.model.codec import from_json, to_json
from components.lab import disk
from components.lab.layout import Layout

_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
_SSH_DIRECTORY = "/root/.ssh"


class DiskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """image: the read-only layer below, which must stay as it is while the disk is used.

    incarnation: random; another one means another disk.
    """

    image: str
    incarnation: str


class ImageError(RuntimeError):
    """There is no image to make a disk from."""


def create(layout: Layout, host: str, image: Path, host_key: str) -> DiskRecord:
    """An empty disk whose sshd has this private key (OpenSSH text). Raises ImageError.

    What an interrupted run left of an older one goes.
    """
    if not (image / "usr/lib/systemd/systemd").exists():
        raise ImageError(f"{image} is no image of a lab host; `make setup` builds it")
    delete(layout, host)
    upper = layout.upper(host)
    upper.mkdir(parents=True)
    # The layer's top is the host's /: not closed to others by the umask.
    upper.chmod(0o755)
    disk.write(upper, image, "/etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    disk.write(upper, image, _HOST_KEY, host_key, 0o600)
    disk.make_parents(upper, image, f"{_SSH_DIRECTORY}/authorized_keys")
    (upper / _SSH_DIRECTORY.lstrip("/")).chmod(0o700)
    record = DiskRecord(image=str(image), incarnation=secrets.token_hex(8))
    layout.disk(host).write_bytes(to_json(record))
    return record


def load(layout: Layout, host: str) -> DiskRecord | None:
    """None when there is no such disk."""
    try:
        return from_json(layout.disk(host).read_bytes(), DiskRecord)
    except FileNotFoundError:
        return None


def delete(layout: Layout, host: str) -> None:
    """Remove the disk and all that is kept beside it. No host runs from it any more."""
    shutil.rmtree(layout.host(host), ignore_errors=True)


def chosen_image(layout: Layout) -> Path:
    """The root image that new disks lie upon: the environment's, else the checkout's."""
    return Path(os.environ.get("ANYCASTLE_IMAGE") or layout.directory.parent / "image").resolve()
