"""What the API's handlers work with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from anycastle.control.database import Database
from anycastle.control.feed import Hub
from anycastle.control.metrics import Metrics
from anycastle.control.pki import Authority
from anycastle.model.control import ControlSpec


@dataclass(frozen=True)
class Services:
    """feeds: the tasks that serve each node's feed, to end them when it is removed."""

    spec: ControlSpec
    database: Database
    authority: Authority
    hub: Hub
    metrics: Metrics
    feeds: dict[str, set[asyncio.Task[object]]] = field(default_factory=dict)

    def cut_feeds(self, node: str) -> None:
        for task in self.feeds.get(node, ()):
            task.cancel()
