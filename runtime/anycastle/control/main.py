"""anycastle-control: the command line of a control-plane host.

Exit codes: 0 good; 1 the control plane can't do it (database, files, schema), the last
line says why; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import psycopg

from anycastle import __version__
from anycastle.control import export, log, migrate, pki, server
from anycastle.control import provision as provisioning
from anycastle.control.auth import Role
from anycastle.control.errors import ControlError
from anycastle.model import codec
from anycastle.model.control import ControlSpec

CONFIG = Path("/etc/anycastle/control.json")

EXAMPLES = """\
examples:
  anycastle-control migrate                   make or update the database's tables
  anycastle-control serve                     run the API (systemd does this)
  anycastle-control check                     is the configuration good, is all there?
  anycastle-control join-token ams-1          print a one-time token for node ams-1
  anycastle-control token alice --role admin  print a new operator token
  head -c 32 /dev/urandom | base64 | anycastle-control token ci --secret-from-stdin

Run it as the system user that owns the database, e.g. `runuser -u anycastle -- ...`.
"""


def main() -> None:
    arguments = _parser().parse_args()
    log.configure(sys.stderr if arguments.command != "serve" else sys.stdout)
    try:
        spec = _read_spec(arguments.config)
        asyncio.run(_COMMANDS[arguments.command](spec, arguments))
    except codec.ModelError as error:
        sys.exit(f"anycastle-control: {arguments.config}: {error}")
    except (
        migrate.SchemaError,
        pki.AuthorityError,
        export.ExportError,
        ControlError,
        OSError,
    ) as error:
        sys.exit(f"anycastle-control: {error}")
    except psycopg.Error as error:
        sys.exit(f"anycastle-control: database: {str(error).strip()}")


def _read_spec(path: Path) -> ControlSpec:
    return codec.from_json(path.read_bytes(), ControlSpec)


async def _serve(spec: ControlSpec, _: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.serve(spec, stop)


async def _migrate(spec: ControlSpec, arguments: argparse.Namespace) -> None:
    done = await migrate.migrate(spec.database, spec.deployment)
    for migration in done:
        print(f"applied {migration.number:04}_{migration.name}")
    if not done:
        print("nothing to do")
    if arguments.new_epoch:
        await migrate.renew_epoch(spec.database)
        print("new epoch: every agent takes a new snapshot")


async def _check(spec: ControlSpec, _: argparse.Namespace) -> None:
    for line in await provisioning.check(spec):
        print(line)


async def _join_token(spec: ControlSpec, arguments: argparse.Namespace) -> None:
    print(await provisioning.join_token(spec, arguments.node, arguments.expires_in))


async def _token(spec: ControlSpec, arguments: argparse.Namespace) -> None:
    secret = sys.stdin.read().strip() if arguments.secret_from_stdin else None
    made = await provisioning.operator_token(
        spec, arguments.name, Role(arguments.role), arguments.expires_in, secret
    )
    if secret is None:
        print(made)


async def _forget_node(spec: ControlSpec, arguments: argparse.Namespace) -> None:
    if arguments.drain:
        drained = await provisioning.drain_node(spec, arguments.node, arguments.drain)
        print(f"{arguments.node} was asked to leave service: {drained}")
    if not await provisioning.forget_node(spec, arguments.node):
        print(f"there was no node {arguments.node}")


async def _export_events(spec: ControlSpec, _: argparse.Namespace) -> None:
    if spec.audit is None:
        raise export.ExportError("no bucket to export to: the control spec has no `audit`")
    # Here, because boto3 is installed where it is needed only.
    from anycastle.aws.archive import Archive  # noqa: PLC0415
    from anycastle.aws.errors import AwsError  # noqa: PLC0415

    try:
        archive = Archive(spec.audit)
        archive.check()
        exported = await provisioning.export_events(spec, spec.audit, archive, print)
    except AwsError as error:
        raise export.ExportError(str(error)) from error
    print(f"{exported} events exported")


_COMMANDS = {
    "serve": _serve,
    "migrate": _migrate,
    "check": _check,
    "join-token": _join_token,
    "token": _token,
    "forget-node": _forget_node,
    "export-events": _export_events,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anycastle-control",
        description="The control plane of an Anycastle deployment.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--config", type=Path, default=CONFIG, help="control spec (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="run the API until SIGTERM")
    apply = commands.add_parser("migrate", help="apply outstanding migrations")
    apply.add_argument(
        "--new-epoch",
        action="store_true",
        help="after a backup was restored: make every agent take a new snapshot",
    )
    commands.add_parser("check", help="test configuration, CA and database; change nothing")
    join = commands.add_parser("join-token", help="print a new one-time token for a node")
    join.add_argument("node", metavar="NODE")
    join.add_argument("--expires-in", type=_seconds, default=None, metavar="SECONDS")
    commands.add_parser("export-events", help="write new events to the audit bucket")
    forget = commands.add_parser("forget-node", help="revoke a node that left the deployment")
    forget.add_argument("node", metavar="NODE")
    forget.add_argument(
        "--drain",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="have it leave service first, and wait up to so long for its sessions to move",
    )
    token = commands.add_parser("token", help="make an operator token and print it")
    token.add_argument("name", metavar="NAME")
    token.add_argument("--role", choices=[role.value for role in Role], default="admin")
    token.add_argument("--expires-in", type=_seconds, default=None, metavar="SECONDS")
    token.add_argument(
        "--secret-from-stdin",
        action="store_true",
        help="use this secret, print nothing; may be repeated; a new secret replaces the"
        " token of that name",
    )
    return parser


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")


if __name__ == "__main__":
    main()
