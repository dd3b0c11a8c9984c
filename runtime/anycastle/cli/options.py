"""Options that several nouns share, and how they become calls to the API."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anycastle.cli.edges import edges
from anycastle.cli.errors import Exit, Failure
from anycastle.model.codec import Key

if TYPE_CHECKING:
    from anycastle.cli.api import Api

F = TypeVar("F", bound=Callable[..., Any])

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def with_api(function: F) -> F:
    """Add --url, --token and --ca to a command and call it with an open `Api` first."""

    @click.option("--url", envvar="ANYCASTLE_URL", metavar="URL", help="Address of the API.")
    @click.option("--token", envvar="ANYCASTLE_TOKEN", metavar="TOKEN", help="Operator token.")
    @click.option("--ca", envvar="ANYCASTLE_CA", metavar="FILE", help="The deployment's CA (PEM).")
    @functools.wraps(function)
    def command(*args: Any, url: str | None, token: str | None, ca: str | None, **rest: Any) -> Any:
        with open_api(url, token, ca) as api:
            return function(api, *args, **rest)

    return command  # type: ignore[return-value]  # click adds the three, the caller never sees them


def open_api(url: str | None, token: str | None, ca: str | None) -> Api:
    """Check what the operator gave. Raises Failure that names the option at fault."""
    from anycastle.cli.api import Access, Api  # noqa: PLC0415 - httpx takes 0.1 s to import

    if not url:
        raise _missing("the API's address", "--url", "ANYCASTLE_URL")
    if not re.fullmatch(r"https://[^/\s]+/?", url):
        raise Failure(Exit.USAGE, f"--url: {url!r} is not like https://192.0.2.10:8443")
    if not token:
        raise _missing("the operator token", "--token", "ANYCASTLE_TOKEN")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Failure(Exit.USAGE, "--token: not a token (it has spaces or other odd characters)")
    if not ca:
        raise _missing("the deployment's CA file", "--ca", "ANYCASTLE_CA")
    return Api(Access(url.rstrip("/"), token, Path(ca)), transport=edges().transport)


def _missing(what: str, option: str, variable: str) -> Failure:
    return Failure(
        Exit.USAGE,
        f"{what} is not known: give {option} or set {variable} (in a lab: source .lab/env)",
    )


def duration(text: str) -> float:
    """Seconds of `90s`, `15m`, `12h`, `30d`; a click type."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhd])", text)
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{text!r} is not a duration like 90s, 15m, 12h or 30d")
    return float(match[1]) * SECONDS[match[2]]


def wireguard_key(text: str) -> Key:
    """A key as `wg` prints it; a click type."""
    try:
        return Key.from_text(text)
    except ValueError as error:
        raise click.BadParameter(f"not a WireGuard key ({error}); `wg pubkey` prints one") from None
