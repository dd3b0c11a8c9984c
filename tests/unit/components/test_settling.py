import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from components.settling import settled


def resource(future: "asyncio.Future[str]") -> Any:
    """As much of a resource as is looked at."""

    async def wait() -> str:
        return await future

    return SimpleNamespace(urn=SimpleNamespace(future=wait))


async def test_it_waits_for_all() -> None:
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    waiting = asyncio.create_task(settled([resource(first), resource(second)]))
    first.set_result("urn:first")
    await asyncio.sleep(0.01)
    assert not waiting.done()
    second.set_result("urn:second")
    await asyncio.wait_for(waiting, 5)


async def test_a_failure_ends_the_wait_and_is_left_to_the_sdk() -> None:
    loop = asyncio.get_running_loop()
    failed, never = loop.create_future(), loop.create_future()
    failed.set_exception(RuntimeError("no such subnet"))
    await asyncio.wait_for(settled([resource(failed), resource(never)]), 5)
    with pytest.raises(RuntimeError, match="no such subnet"):
        failed.result()


async def test_without_nodes_there_is_nothing_to_wait_for() -> None:
    await settled([])
