"""Waiting for what a program registered, before the program ends.

Pulumi's SDK waits by itself at the end, too: for one output after another, while it looks at
all the others that are open, which for the tens of thousands of a large stack takes longer than
all the rest of a preview (`wait_for_rpcs` in `pulumi.runtime.stack`). What is waited for here
needs one look; little is left over for the SDK, errors among it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pulumi


async def settled(resources: Iterable[pulumi.Resource]) -> None:
    """Until the engine knows these resources, or one of them failed: the SDK says why."""
    urns = [asyncio.ensure_future(resource.urn.future()) for resource in resources]
    if urns:
        await asyncio.wait(urns, return_when=asyncio.FIRST_EXCEPTION)
