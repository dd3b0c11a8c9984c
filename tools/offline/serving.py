"""A plugin's process: serves on a free port of the loopback and prints it, until it is interrupted."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable

import grpc.aio
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc

MAX_MESSAGE = 400 * 1024 * 1024  # the engine's own limit
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
]

Engine = engine_pb2_grpc.EngineStub
Servicer = provider_pb2_grpc.ResourceProviderServicer


async def serve(engine: str | None, make: Callable[[Engine | None], Servicer]) -> None:
    """`engine`: the address that the CLI gives to a plugin, None where it attaches later."""
    channel = grpc.aio.insecure_channel(engine, options=OPTIONS) if engine else None
    server = grpc.aio.server(options=OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(
        make(engine_pb2_grpc.EngineStub(channel) if channel else None), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # the engine interrupts a plugin to close it
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop(1)


def engine_address() -> str | None:
    """The first argument that is no option."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    return words[0] if words else None
