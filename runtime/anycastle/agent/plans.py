"""Carries the takeover's plans out: in the data path's worker, in their order.

While some are being carried out the next ones are gathered and go together, so that a
hundred thousand routes at a start are some calls and not as many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence

from anycastle.agent.datapath import Steps
from anycastle.agent.desired import client_peers
from anycastle.agent.inbox import Inbox, TookOver
from anycastle.agent.netlink.edge import NetworkError
from anycastle.agent.state import State
from anycastle.agent.takeover.plan import Plan
from anycastle.agent.wireguard.edge import Initiate, PeerConfig, WireGuardError
from anycastle.model.client import Client


class Plans:
    """What is to be done to WireGuard and the packet path. Its results are notices
    (`TookOver`), after each of which `carried_out` has to be called."""

    def __init__(
        self,
        state: State,
        inbox: Inbox,
        start: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self._state = state
        self._inbox = inbox
        self._start = start
        self._waiting: list[Plan] = []
        self._trust = False
        self._carrying = False

    def add(self, plan: Plan) -> None:
        """To be done after all before it, with what of it concerns the kernel."""
        last = self._waiting[-1] if self._waiting else None
        # An initiation that is followed by a reset must not be carried out after it.
        if last is None or (last.initiate and (plan.reset or plan.forget)):
            self._waiting.append(plan)
        else:
            last.merge(plan)
        self._go_on()

    def trust(self) -> None:
        """When all that waits has been done, the packet path may relay."""
        self._trust = True
        self._go_on()

    def carried_out(self) -> None:
        """What was under way is done, perhaps in part."""
        self._carrying = False
        self._go_on()

    def _go_on(self) -> None:
        if self._carrying or not (self._waiting or self._trust):
            return
        self._carrying = True
        steps = [self._steps(plan) for plan in self._waiting]
        if self._trust:
            steps.append(Steps(trust=True))
        self._waiting, self._trust = [], False
        self._start(self._carry_out(steps))

    async def _carry_out(self, steps: Sequence[Steps]) -> None:
        try:
            errors = await self._state.edges.data_path.take_over(steps)
        except (WireGuardError, NetworkError) as error:
            errors = [str(error)]
        restarted = [key for each in steps for key in each.restarted]
        self._inbox.put(TookOver(tuple(restarted), tuple(errors)))

    def _steps(self, plan: Plan) -> Steps:
        """With the clients as they are now: one that was removed must not come back."""
        enrolled, now = self._state.cache.clients, time.time()

        def peers(client: Client) -> list[PeerConfig]:
            return client_peers(enrolled[client.id], now) if client.id in enrolled else []

        return Steps(
            forget=plan.forget,
            reset=[peer for client in plan.reset for peer in peers(client)],
            initiate=[
                Initiate(peer, one.endpoint, one.anew)
                for one in plan.initiate
                for peer in peers(one.client)
                if peer.public_key == one.credential.public_key
            ],
            remove_relays=plan.remove_relays,
            put_relays=plan.put_relays,
        )
