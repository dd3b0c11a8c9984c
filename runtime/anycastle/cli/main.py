"""Root of the `anycastle` command.

Nouns are imported when they are used, so `--help` and shell completion start in
a tenth of a second; their one-line descriptions therefore stand here.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import click

from anycastle import __version__
from anycastle.cli.errors import nearest

NOUNS = {
    "status": "State of the deployment: nodes, who announces, clients.",
    "node": "Nodes: list them, look at one, drain and resume one.",
    "client": "Clients: enrol, list, look at one, remove.",
    "token": "Tokens of operators and joining nodes.",
    "events": "What happened: announcements, sessions, changes.",
    "lab": "Hosts of a lab on this machine.",
}


class Nouns(click.Group):
    """A group whose commands live in `anycastle.cli.NOUN`, under the noun's name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in NOUNS:
            return None
        module = importlib.import_module(f"anycastle.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in NOUNS and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{nearest(args[0], NOUNS)}.")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Nouns,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: eval "$(_ANYCASTLE_COMPLETE=bash_source anycastle)"; also '
    "zsh_source, fish_source. Exit codes and JSON shapes: docs/cli.md.",
)
@click.version_option(__version__, prog_name="anycastle")
def cli() -> None:
    """Operate an Anycastle deployment: a WireGuard VPN on one anycast address.

    \b
    Examples:
      anycastle status
      anycastle client add phone --qr
      anycastle client add laptop --output laptop.conf
      anycastle events --follow
      anycastle lab exec ams-1 -- birdc show protocols

    The API's address, token and CA come from ANYCASTLE_URL, ANYCASTLE_TOKEN and
    ANYCASTLE_CA, or from --url, --token and --ca of each command; a lab writes
    them to .lab/env for your shell to source.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `anycastle` command."""
    cli.main(args=None if arguments is None else list(arguments), prog_name="anycastle")
