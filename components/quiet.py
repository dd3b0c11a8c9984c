"""Debug messages of Pulumi's SDK, which nobody reads, are not sent.

For each of them (four or five a resource) the SDK calls the engine and waits for the answer
before it goes on, whether or not the CLI was asked to show them: a sixth of the time that a
preview of a large stack takes. ANYCASTLE_DEBUG=1 sends them, for `pulumi --debug`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi.runtime.proto import engine_pb2
from pulumi.runtime.settings import get_engine

VARIABLE = "ANYCASTLE_DEBUG"


def hush(environment: Mapping[str, str]) -> None:
    """From now on, unless the environment asks for them. Other messages go on."""
    engine: Any = get_engine()
    if engine is None or environment.get(VARIABLE):
        return
    send = engine.Log

    def log(request: Any, *rest: Any, **options: Any) -> Any:
        if request.severity == engine_pb2.DEBUG:
            return None
        return send(request, *rest, **options)

    engine.Log = log
