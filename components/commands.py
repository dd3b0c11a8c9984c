"""Scripts on hosts as resources: what every use of `pulumi-command` here has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_command import remote

from components import script
from components.host import Host
from components.naming import on


def run(
    host: Host,
    what: str,
    script_name: str,
    variables: Mapping[str, pulumi.Input[str]],
    *,
    parent: pulumi.Resource,
    delete: str | None = None,
    secret: bool = False,
    depends_on: Sequence[pulumi.Resource] = (),
) -> remote.Command:
    """The resource `HOST/WHAT`: `scripts/SCRIPT_NAME.sh` on `host`.

    It runs again, in place, whenever a variable differs or the host's disk is a new
    one. delete: a command for its removal; it is skipped when the host goes with it.
    secret: nothing of what goes in or comes out is shown or stored in the clear.
    """
    described = f"{what} on {host.name}"
    text = _text(script_name, {"INCARNATION": host.incarnation, **variables})
    if secret:
        text = pulumi.Output.secret(text)
    return remote.Command(
        on(host.name, what),
        connection=host.connection(),
        create=f"{host.as_root('sh -s')} # {described}",
        delete=None if delete is None else host.as_root(delete),
        stdin=text,
        logging=remote.Logging.NONE if secret else remote.Logging.STDERR,
        opts=options(host, parent=parent, secret=secret, depends_on=depends_on),
    )


def _text(script_name: str, variables: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    """The script with its variables. What is known is kept out of outputs, which cost time."""
    known = {name: value for name, value in variables.items() if isinstance(value, str)}
    outputs = {name: value for name, value in variables.items() if name not in known}

    def compose(found: Mapping[str, str]) -> str:
        every = {**known, **found}
        return script.compose(script_name, {name: every[name] for name in variables})

    return pulumi.Output.all(**outputs).apply(compose)


def options(
    host: Host,
    *,
    parent: pulumi.Resource,
    secret: bool = False,
    depends_on: Sequence[pulumi.Resource] = (),
) -> pulumi.ResourceOptions:
    """Options of a resource that lives on `host`. What needs its links adds `host.ready`."""
    return pulumi.ResourceOptions(
        parent=parent,
        depends_on=[host.resource, *host.booted, *depends_on],
        deleted_with=None if host.outlives else host.resource,
        additional_secret_outputs=["stdin", "stdout", "stderr"] if secret else None,
    )
