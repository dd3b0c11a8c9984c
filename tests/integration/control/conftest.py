"""One Postgres for the session; a database, and a control plane, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.control_plane import Api, World, make_world, run_api
from tests.support.postgres import Postgres, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with cluster() as running:
        yield running


@pytest.fixture
async def world(postgres: Postgres, tmp_path: Path) -> World:
    return await make_world(postgres, tmp_path)


@pytest.fixture
async def api(world: World) -> AsyncIterator[Api]:
    async with run_api(world) as running:
        yield running
