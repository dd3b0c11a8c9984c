"""The resource `EnrolledClient`: a client that the control plane knows.

The state holds a pickle of the provider, which is a reference to its class here: keep
this module's imports few, because the process that runs the provider has them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components import enrolment

Properties = dict[str, Any]


class _EnrolmentProvider(ResourceProvider):
    """Each call is one of `components.enrolment`."""

    def create(self, props: Properties) -> CreateResult:
        outputs = enrolment.enrol(props)
        return CreateResult(outputs["name"], outputs)

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        difference = enrolment.difference(olds, news)
        return DiffResult(
            changes=difference.changed,
            replaces=list(difference.replaces),
            delete_before_replace=True,
        )

    def update(self, _id: str, olds: Properties, news: Properties) -> UpdateResult:
        return UpdateResult(enrolment.refreshed(olds, news))

    def read(self, id_: str, props: Properties) -> ReadResult:
        return ReadResult(id_ if enrolment.exists(props) else "", props)

    def delete(self, _id: str, props: Properties) -> None:
        enrolment.remove(props)


@dataclass(frozen=True, kw_only=True)
class EnrolledClientArgs:
    """name: the client's. url: of the API; authority: PEM of the CA that its certificate is from.

    token: an operator's. epoch: differs when the control plane is a new one that knows no
    client yet. spec: the control plane's configuration; it decides what clients are told.
    """

    name: str
    url: pulumi.Input[str]
    authority: pulumi.Input[str]
    token: pulumi.Input[str]
    epoch: pulumi.Input[str]
    spec: pulumi.Input[str]


class EnrolledClient(Resource, module="anycastle", name="EnrolledClient"):
    """A client that the control plane knows.

    configuration: its wg-quick file, a secret. addresses: inside the tunnel.
    """

    configuration: pulumi.Output[str]
    addresses: pulumi.Output[list[str]]

    def __init__(
        self, name: str, args: EnrolledClientArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        hidden = ["configuration", "private_key", "preshared_key", "token"]
        super().__init__(
            _EnrolmentProvider(),
            name,
            {**vars(args), **dict.fromkeys(enrolment.OUTPUTS)},
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(additional_secret_outputs=hidden)
            ),
        )
