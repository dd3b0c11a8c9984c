"""Network namespaces for tests: made, entered, wired up, and always taken away."""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Namespace:
    """A network namespace that `ip netns` knows by its name."""

    name: str

    @classmethod
    def current(cls) -> Namespace:
        """The one that this thread is in. Raises StopIteration when it has no name."""
        here = Path("/proc/thread-self/ns/net").stat().st_ino
        named = (path.name for path in Path("/run/netns").iterdir() if path.stat().st_ino == here)
        return cls(next(named))

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a command in it; what it printed. Raises CalledProcessError with its errors."""
        return run(f"ip netns exec {self.name} {command}", check=check)

    def popen(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        """Start a command in it, its output into the file."""
        with output.open("wb") as file:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command.split()],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def batch(self, *lines: str) -> None:
        """Several `ip` commands in one process: starting them is what takes the time."""
        ip_batch(*lines, options=("-n", self.name))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in the namespace for the time; sockets made there stay there."""
        with ExitStack() as stack:
            back = stack.enter_context(Path("/proc/thread-self/ns/net").open("rb"))
            there = stack.enter_context(Path("/run/netns", self.name).open("rb"))
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(back.fileno())


def run(command: str, *, check: bool = True) -> str:
    """What the command printed. Raises AssertionError with its errors."""
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{command}: exit code {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def ip_batch(*lines: str, options: tuple[str, ...] = ()) -> None:
    """`ip` commands in one process. Raises AssertionError with the errors."""
    done = subprocess.run(
        ["ip", *options, "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"ip {lines}: exit code {done.returncode}: {done.stderr}")


@contextmanager
def namespaces(*roles: str) -> Iterator[list[Namespace]]:
    """One namespace for each role, names made unique, loopback up; deleted at the end."""
    suffix = secrets.token_hex(3)
    made: list[Namespace] = []
    try:
        for role in roles:
            space = Namespace(f"act-{role}-{suffix}")
            run(f"ip netns add {space.name}")
            made.append(space)
            space.batch("link set lo up")
        yield made
    finally:
        for space in made:
            run(f"ip netns delete {space.name}", check=False)


def unique_device(prefix: str = "actw") -> str:
    """A device name that no other test has: wireguard-go's socket is named after it."""
    return prefix + secrets.token_hex(3)


def join(left: Namespace, left_device: str, right: Namespace, right_device: str) -> None:
    """A veth pair between the two, both ends down."""
    ip_batch(
        f"link add {left_device} netns {left.name} type veth "
        f"peer name {right_device} netns {right.name}"
    )


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
