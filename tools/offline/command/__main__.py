"""`pulumi-resource-command ENGINE`."""

from __future__ import annotations

import asyncio

from tools.offline import serving
from tools.offline.command.provider import Provider
from tools.offline.command.resources import Resources
from tools.offline.command.ssh import Lines


async def run() -> None:
    lines = Lines()
    await serving.serve(serving.engine_address(), lambda engine: Provider(Resources(lines), engine))
    await lines.close()


def main() -> None:
    asyncio.run(run())


if __name__ == "__main__":
    main()
