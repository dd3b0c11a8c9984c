"""anycastle-agent: the command line of a node.

Exit codes: 0 good; 1 the node is not ready, or something that `check` looks at is wrong (the
last line says what); 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from anycastle import __version__
from anycastle.agent import settings
from anycastle.agent.settings import SettingsError

EXAMPLES = """\
examples:
  anycastle-agent check                    are the node's files and its daemon good?
  anycastle-agent status                   how is the node?
  anycastle-agent status --json | jq .state
  anycastle-agent wait-ready --timeout 60  wait until the node is UP
  systemctl reload anycastle-agent         read node.json and peers.json again

exit codes:
  0  good
  1  not ready, or something is wrong; the last line says what
  2  wrong usage
"""


def main() -> None:
    arguments = parser().parse_args()
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        sys.exit(command(arguments))
    except SettingsError as error:
        sys.exit(f"anycastle-agent: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="anycastle-agent",
        description="Runs and inspects one node of an Anycastle deployment.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=__version__)
    top.add_argument(
        "--settings",
        type=Path,
        default=settings.DIRECTORY,
        metavar="DIR",
        help="directory of node.json, peers.json and service.key (default: %(default)s)",
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add(commands, "run", _run, "serve clients until SIGTERM (systemd does this)")
    _add(commands, "check", _check, "check the node's files, and that its daemon takes them")
    wait = _add(commands, "wait-ready", _wait_ready, "wait until the node is UP")
    wait.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds to wait (default: %(default)s)",
    )
    fetch = _add(
        commands, "fetch-secrets", _fetch_secrets, "fetch the node's secrets from its store"
    )
    for secret in ("service-key", "join-token"):
        text = f"secret of the {secret.replace('-', ' ')} (default: the node spec's)"
        fetch.add_argument(f"--{secret}", metavar="ARN", help=text)
    status = _add(commands, "status", _status, "print how the node is")
    status.add_argument("--json", action="store_true", help="the node's whole report as JSON")
    return top


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    command.set_defaults(command=run)
    return command


# The commands import what they need: `status` and `wait-ready` start in a fraction of the
# time that the agent itself takes.


def _run(arguments: argparse.Namespace) -> int:
    from anycastle.agent import assembly, logs  # noqa: PLC0415 see above

    logs.configure()
    asyncio.run(assembly.run(assembly.Host(settings=arguments.settings)))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from anycastle.agent import checking  # noqa: PLC0415 see above

    return asyncio.run(checking.check(arguments.settings))


def _fetch_secrets(arguments: argparse.Namespace) -> int:
    from anycastle.agent import fetch_secrets  # noqa: PLC0415 see above

    given = (arguments.service_key, arguments.join_token)
    return fetch_secrets.command(arguments.settings, settings.STATE_DIRECTORY, given)


def _wait_ready(arguments: argparse.Namespace) -> int:
    from anycastle.agent import asking  # noqa: PLC0415 see above

    port = settings.load(arguments.settings).spec.listen_port
    return asking.wait_ready(port, arguments.timeout)


def _status(arguments: argparse.Namespace) -> int:
    from anycastle.agent import asking  # noqa: PLC0415 see above

    port = settings.load(arguments.settings).spec.listen_port
    return asking.status(port, as_json=arguments.json)


if __name__ == "__main__":
    main()
