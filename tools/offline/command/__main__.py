"""`pulumi-resource-command ENGINE`: serves on a free port of the loopback and prints it, as plugins do."""

from __future__ import annotations

import asyncio
import signal
import sys

import grpc.aio
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc

from tools.offline.command.provider import Provider
from tools.offline.command.resources import Resources
from tools.offline.command.ssh import Lines

MAX_MESSAGE = 400 * 1024 * 1024  # the engine's own limit
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
]


async def serve(engine: str | None) -> None:
    lines = Lines()
    channel = grpc.aio.insecure_channel(engine, options=OPTIONS) if engine else None
    stub = engine_pb2_grpc.EngineStub(channel) if channel else None
    server = grpc.aio.server(options=OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(
        Provider(Resources(lines), stub), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # the engine interrupts a plugin to close it
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await lines.close()
    await server.stop(1)


def main() -> None:
    arguments = [word for word in sys.argv[1:] if not word.startswith("-")]
    asyncio.run(serve(arguments[0] if arguments else None))


if __name__ == "__main__":
    main()
