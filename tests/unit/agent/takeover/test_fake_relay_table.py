"""The fake keeps the part of the contract that needs no packets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anycastle.agent.takeover.fake import FakePath
from anycastle.agent.takeover.path import PacketPath
from tests.support.packet_path_contract import RelayTableContract


class TestFakeRelayTable(RelayTableContract):
    @pytest.fixture
    def path(self) -> Iterator[PacketPath]:
        made = FakePath()
        made.ensure(["up0"], "fabric0")
        yield made
        made.close()
