"""`anycastle client`: enrolled devices.

A key pair made here never leaves the operator's machine but for its public half,
and that only after the place for the client's file has been secured.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anycastle.cli import keys, output
from anycastle.cli.errors import Exit, Failure, nearest
from anycastle.cli.options import as_json, wireguard_key, with_api
from anycastle.cli.private_file import PrivateFile
from anycastle.model import wg_quick
from anycastle.model.addresses import Address
from anycastle.model.api import ClientCreate, ClientCreated, ClientView
from anycastle.model.codec import Key
from anycastle.model.wg_quick import Family

if TYPE_CHECKING:
    from anycastle.cli.api import Api

LIST_FIELDS = ("name", "addresses", "owner", "endpoint", "latest_handshake")


@click.group()
def client() -> None:
    """Clients: enrol, list, look at one, remove."""


@dataclass(frozen=True)
class Delivery:
    """Where the client's file goes. path: None for stdout."""

    path: Path | None
    replace: bool
    qr: bool
    as_json: bool
    family: Family


@client.command()
@click.argument("name")
@click.option("--output", "path", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the client's file there (mode 0600) instead of printing it.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--qr", is_flag=True, help="Draw a QR code for the WireGuard app, too.")
@click.option("--public-key", type=wireguard_key, metavar="KEY",
              help="Enrol a key pair made elsewhere; its private key stays there.")  # fmt: skip
@click.option("--address", "addresses", multiple=True, metavar="ADDRESS",
              help="Ask for this tunnel address (one of each family at most).")  # fmt: skip
@click.option("--over", type=click.Choice(["ipv4", "ipv6"]), default="ipv4", show_default=True,
              help="Anycast address that the file names as the endpoint.")  # fmt: skip
@as_json
@with_api
def add(  # noqa: PLR0917 - click passes them by name
    api: Api,
    name: str,
    path: Path | None,
    force: bool,
    qr: bool,
    public_key: Key | None,
    addresses: tuple[str, ...],
    over: Family,
    as_json: bool,
) -> None:
    """Enrol NAME and print the file that its WireGuard app imports.

    Its keys are made on this machine; only the public key and the pre-shared key
    are sent. Every node serves the client within a second.

    \b
    Examples:
      anycastle client add phone --qr
      anycastle client add laptop --output laptop.conf
      anycastle client add router --public-key "$(ssh router wg show wg0 public-key)"
    """
    if as_json and qr:
        raise click.UsageError("--json and --qr exclude each other")
    delivery = Delivery(path, force, qr, as_json, over)
    with _reserved(delivery) as file:
        created, text = enrol(api, name, public_key, _addresses(addresses), over)
        _deliver(created, text, delivery, file)


@client.command("list")
@as_json
@with_api
def list_(api: Api, as_json: bool) -> None:
    """All clients, and the node that serves each.

    \b
    Examples:
      anycastle client list
      anycastle client list --json | jq -r '.[] | select(.owner == null) | .name'
    """
    clients = all_clients(api)
    if as_json:
        output.print_json([output.pick(found, LIST_FIELDS) for found in clients])
        return
    rows = [
        [c.name, _joined(c), c.owner, c.endpoint, c.latest_handshake]
        for c in clients
    ]  # fmt: skip
    output.print_table(["NAME", "ADDRESSES", "OWNER", "ENDPOINT", "LATEST HANDSHAKE"], rows)


@client.command()
@click.argument("name")
@as_json
@with_api
def show(api: Api, name: str, as_json: bool) -> None:
    """One client.

    \b
    Example:
      anycastle client show phone
    """
    found = find_client(api, name)
    if as_json:
        output.print_json(found)
        return
    output.print_fields(
        {
            "name": found.name,
            "id": found.id,
            "addresses": _joined(found),
            "public key": found.public_key.text,
            "owner": found.owner,
            "endpoint": found.endpoint,
            "latest handshake": found.latest_handshake,
            "created": found.created_at,
        }
    )


@client.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@with_api
def remove(api: Api, name: str, yes: bool, as_json: bool) -> None:
    """Remove NAME; every node cuts it off within a second. Asks first.

    \b
    Examples:
      anycastle client remove phone
      anycastle client remove phone --yes
    """
    found = find_client(api, name)
    if not yes:
        _ask(found)
    api.delete("clients", name)
    if as_json:
        output.print_json({"removed": found.name})
    else:
        click.echo(f"removed {output.safe(found.name)} ({_joined(found)})")


def enrol(
    api: Api, name: str, public: Key | None, addresses: tuple[Address, ...], family: Family
) -> tuple[ClientCreated, str]:
    """Make what keys are needed and enrol them. Returns also the client's file."""
    private = None if public else keys.new_private_key()
    preshared = keys.new_preshared_key()
    body = ClientCreate(
        name=name,
        public_key=public or keys.public_key(private),  # type: ignore[arg-type]  # one is there
        preshared_key=preshared,
        addresses=addresses,
    )
    try:
        created = api.post(ClientCreated, body, "clients")
    except Failure as failure:
        if failure.reason != "name_taken":
            raise
        advice = f"take another name, or `anycastle client remove {name}` first"
        message = f"there is a client {name!r} already: {advice}"
        raise Failure(failure.code, message, failure.reason) from None
    return created, wg_quick.render(created, private, preshared, family)


def all_clients(api: Api) -> tuple[ClientView, ...]:
    return api.get(tuple[ClientView, ...], "clients")


def find_client(api: Api, name: str) -> ClientView:
    """Raises Failure with the nearest name when there is none."""
    try:
        return api.get(ClientView, "clients", name)
    except Failure as failure:
        if failure.code is not Exit.NOT_FOUND:
            raise
    hint = nearest(name, (c.name for c in all_clients(api)))
    message = f"no client is called {name!r}{hint}: see `anycastle client list`"
    raise Failure(Exit.NOT_FOUND, message)


def _ask(found: ClientView) -> None:
    served = f", served by {found.owner}" if found.owner else ""
    question = f"Remove {output.safe(found.name)} ({_joined(found)}{served})?"
    try:
        sure = click.confirm(question, err=True)
    except click.Abort:
        raise Failure(Exit.REFUSED, "nobody answered; --yes removes without asking") from None
    if not sure:
        raise Failure(Exit.REFUSED, "nothing removed")


@contextlib.contextmanager
def _reserved(delivery: Delivery) -> Iterator[PrivateFile | None]:
    if delivery.path is None:
        yield None
        return
    file = PrivateFile(delivery.path, replace=delivery.replace)
    try:
        file.__enter__()
    except FileExistsError:
        message = f"--output: {delivery.path} exists; another name, or --force to replace it"
        raise Failure(Exit.REFUSED, message) from None
    except OSError as error:
        message = f"--output: cannot write {delivery.path} ({error.strerror})"
        raise Failure(Exit.REFUSED, message) from None
    with contextlib.ExitStack() as stack:
        stack.push(file.__exit__)
        yield file


def _deliver(
    created: ClientCreated, text: str, delivery: Delivery, file: PrivateFile | None
) -> None:
    if file is not None:
        _write(file, text)
    if delivery.as_json:
        shape = {
            **output.pick(created.client, ("id", "name", "addresses", "public_key")),
            "revision": created.revision,
            "file": str(delivery.path) if file else None,
            "configuration": None if file else text,
        }
        output.print_json(shape)
        return
    if file is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"added {created.client.name} ({_joined(created.client)}): {delivery.path}")
    if delivery.qr:
        click.echo(_qr(text), nl=False)


def _write(file: PrivateFile, text: str) -> None:
    try:
        file.write(text)
    except OSError as error:
        # The client exists by now and its key nowhere else: better shown than lost.
        click.echo(text, nl=False)
        message = f"the client is enrolled, but {file.path} could not be written"
        raise Failure(Exit.REFUSED, f"{message} ({error.strerror}): keep the above") from None


def _qr(text: str) -> str:
    import segno  # noqa: PLC0415 - 40 ms that only this option needs

    canvas = io.StringIO()
    # Comments are for people who read the file, and cost modules here.
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    segno.make_qr("\n".join(lines), error="m").terminal(out=canvas, compact=True)
    return canvas.getvalue()


def _joined(found: ClientView) -> str:
    return ", ".join(str(address) for address in found.addresses)


def _addresses(texts: tuple[str, ...]) -> tuple[Any, ...]:
    if not all(re.fullmatch(r"[0-9A-Fa-f:.]+", text) for text in texts):
        raise click.UsageError("--address: an IPv4 or IPv6 address without a prefix length")
    try:
        return tuple(ip_address(text) for text in texts)
    except ValueError as error:
        raise click.UsageError(f"--address: {error}") from None
