"""Edge: sockets in other network namespaces (setns(2)).

A socket stays in the namespace that it was made in, wherever its process is.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def entered(name: str) -> Iterator[None]:
    """This thread is in the namespace that `ip netns` knows by that name. Raises OSError."""
    with ExitStack() as stack:
        back = stack.enter_context(Path("/proc/thread-self/ns/net").open("rb"))
        there = stack.enter_context(Path("/run/netns", name).open("rb"))
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(back.fileno())


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
