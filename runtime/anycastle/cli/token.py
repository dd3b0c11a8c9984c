"""`anycastle token`: what lets operators call the API and nodes join it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from anycastle.cli import output
from anycastle.cli.options import as_json, duration, with_api
from anycastle.model.api import TokenCreate, TokenCreated, TokenView

if TYPE_CHECKING:
    from anycastle.cli.api import Api


@click.group()
def token() -> None:
    """Tokens of operators and joining nodes."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["admin", "viewer"]),
              help="What an operator may do: everything, or look.  [default: viewer]")  # fmt: skip
@click.option("--join", "node", metavar="NODE", help="A token for NODE's first call, used once.")
@click.option("--expires-in", type=duration, metavar="DURATION",
              help="90s, 15m, 12h, 30d. [default: operators never, nodes in 1h]")  # fmt: skip
@as_json
@with_api
def create(  # noqa: PLR0917 - click passes them by name
    api: Api,
    name: str,
    role: str | None,
    node: str | None,
    expires_in: float | None,
    as_json: bool,
) -> None:
    """Make a token and print its secret, once: it is stored hashed.

    \b
    Examples:
      anycastle token create grafana --role viewer --expires-in 90d
      anycastle token create fra-3-joins --join fra-3 > join.token
    """
    if node and role:
        raise click.UsageError("--join and --role exclude each other")
    body = TokenCreate(
        kind="join" if node else "operator",
        name=name,
        role=None if node else role or "viewer",
        node=node,
        expires_in=expires_in,
    )
    created = api.post(TokenCreated, body, "tokens")
    if as_json:
        output.print_json(created)
        return
    click.echo(created.secret)
    click.echo(f"token {created.token.id} ({_purpose(created.token)}), shown only now", err=True)


@token.command("list")
@as_json
@with_api
def list_(api: Api, as_json: bool) -> None:
    """All tokens, without their secrets.

    \b
    Example:
      anycastle token list
    """
    tokens = api.get(tuple[TokenView, ...], "tokens")
    if as_json:
        output.print_json(tokens)
        return
    rows = [
        [t.id, t.name, _purpose(t), t.created_at, t.expires_at, t.used_at, t.revoked_at]
        for t in tokens
    ]
    output.print_table(["ID", "NAME", "FOR", "CREATED", "EXPIRES", "USED", "REVOKED"], rows)


@token.command()
@click.argument("token_id", metavar="ID")
@as_json
@with_api
def revoke(api: Api, token_id: str, as_json: bool) -> None:
    """Revoke a token, at once and for good. ID: see `anycastle token list`.

    \b
    Example:
      anycastle token revoke 3fd0a1
    """
    api.delete("tokens", token_id)
    if as_json:
        output.print_json({"revoked": token_id})
    else:
        click.echo(f"revoked {token_id}")


def _purpose(found: TokenView) -> str:
    if found.kind == "join":
        return f"join of {found.node}"
    return f"operator, {found.role}"
