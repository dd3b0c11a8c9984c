"""One lab for the whole suite, of its own name, gone afterwards whatever happens.

Six guests a site join its two client hosts, so that there are eight clients a site. For
the inner loop, reuse a standing lab: `LAB=dev make lab`, then
`ANYCASTLE_TEST_LAB=dev pytest tests/lab`.
"""

from __future__ import annotations

import os
import shutil
import signal
import types
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest

from tests.support import lab as labs
from tests.support.crowd import crowd
from tests.support.lab import CHECKOUT, Lab

GUESTS_PER_SITE = 6


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A settled lab with guests."""
    with (
        _terminable(),
        _standing() as standing,
        crowd(standing, GUESTS_PER_SITE) as guests,
    ):
        standing.guests = guests
        standing.forget()
        standing.settle()
        yield standing


@contextmanager
def _standing() -> Iterator[Lab]:
    if reused := os.environ.get("ANYCASTLE_TEST_LAB"):
        yield Lab(reused)
        return
    name = f"test-{os.getpid()}"
    try:
        yield labs.up(name)
    finally:
        labs.down(name)
        shutil.rmtree(CHECKOUT / ".lab" / name, ignore_errors=True)


@pytest.fixture(autouse=True)
def settled(lab: Lab) -> None:
    """Each test begins with every node UP and announcing and every client at home."""
    lab.settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when in ("setup", "call") and report.failed:
        standing = getattr(item, "funcargs", {}).get("lab")
        if isinstance(standing, Lab):
            report.sections.append(("the lab", _evidence(standing)))
    return report


def _evidence(lab: Lab) -> str:
    """What each node said last, for the one who reads the failure."""
    parts = []
    with suppress(Exception):
        parts += lab.unhealthy()
    for node in lab.nodes:
        with suppress(Exception):
            log = lab.run(node, "journalctl", "-u", "anycastle-agent", "-n15", "-o", "cat")
            parts.append(f"--- {node}\n{log}")
    return "\n".join(parts)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the suite as Ctrl-C does, so the lab is torn down."""

    def interrupt(_number: int, _frame: types.FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _dead(lab: Lab, *hosts: str) -> Iterator[None]:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda host: lab.power("kill", host), hosts))
        try:
            yield
        finally:
            list(pool.map(lambda host: lab.power("start", host), hosts))


@pytest.fixture
def dead() -> Callable[..., AbstractContextManager[None]]:
    """`with dead(lab, "ams-1", ...)`: hosts that lose their power while the block runs."""
    return _dead
