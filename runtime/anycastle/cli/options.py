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
    """Add --url, --token, --ca and --stack to a command and call it with an open `Api` first."""

    @click.option("--url", envvar="ANYCASTLE_URL", metavar="URL", help="Address of the API.")
    @click.option("--token", envvar="ANYCASTLE_TOKEN", metavar="TOKEN", help="Operator token.")
    @click.option("--ca", envvar="ANYCASTLE_CA", metavar="FILE", help="The deployment's CA (PEM).")
    @click.option(
        "--stack",
        envvar="ANYCASTLE_STACK",
        metavar="NAME",
        help="Pulumi stack to take the three above from.",
    )
    @functools.wraps(function)
    def command(
        *args: Any,
        url: str | None,
        token: str | None,
        ca: str | None,
        stack: str | None,
        **rest: Any,
    ) -> Any:
        with open_of(stack, url, token, ca) if stack else open_api(url, token, ca) as api:
            return function(api, *args, **rest)

    return command  # type: ignore[return-value]  # click adds the four, the caller never sees them


def open_of(stack: str, url: str | None, token: str | None, ca: str | None) -> Api:
    """As `open_api`, with what the stack's outputs say, but for what stands on the command line:
    variables of another deployment, sourced before, do not count. Raises Failure."""
    from anycastle.cli.stack import outputs  # noqa: PLC0415 - few commands ask Pulumi

    known = outputs(stack, edges().run)
    return open_api(
        url if _on_command_line("url") else known.api,
        token if _on_command_line("token") else known.operator_token,
        ca if _on_command_line("ca") else None,
        pem=known.control_ca,
    )


def _on_command_line(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def open_api(url: str | None, token: str | None, ca: str | None, *, pem: str = "") -> Api:
    """Check what the operator gave. Raises Failure that names the option at fault.

    pem: the CA itself, where no file is given.
    """
    from anycastle.cli.api import Access, Api  # noqa: PLC0415 - httpx takes 0.1 s to import

    if not url:
        raise _missing("the API's address", "--url", "ANYCASTLE_URL")
    if not re.fullmatch(r"https://[^/\s]+/?", url):
        raise Failure(Exit.USAGE, f"--url: {url!r} is not like https://192.0.2.10:8443")
    if not token:
        raise _missing("the operator token", "--token", "ANYCASTLE_TOKEN")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Failure(Exit.USAGE, "--token: not a token (it has spaces or other odd characters)")
    if not ca and not pem:
        raise _missing("the deployment's CA file", "--ca", "ANYCASTLE_CA")
    access = Access(url.rstrip("/"), token, Path(ca) if ca else None, pem)
    return Api(access, transport=edges().transport)


def _missing(what: str, option: str, variable: str) -> Failure:
    return Failure(
        Exit.USAGE,
        f"{what} is not known: give {option} or set {variable}, or name the stack with --stack "
        "(in a lab: source .lab/env)",
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
