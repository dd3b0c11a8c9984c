"""The last good state can be kept: the state directory is writable and has space."""

from __future__ import annotations

import os
from pathlib import Path

from anycastle.agent.health.probe import Probe, Severity, Surroundings

ENOUGH = 32 << 20
"""Bytes: three snapshots of 100,000 clients."""


def probe(around: Surroundings) -> Probe:
    check = around.blocking(lambda: complaint(around.state_directory))
    return Probe("disk", Severity.SOFT, check, period=10.0)


def complaint(directory: Path) -> str:
    mark = directory / ".probe"
    try:
        mark.write_bytes(b"anycastle")
        mark.unlink()
        space = os.statvfs(directory)
    except OSError as error:
        return f"{directory} can't be written: {error.strerror}"
    free = space.f_bavail * space.f_frsize
    return "" if free >= ENOUGH else f"{directory} has {free >> 20} MiB left"
