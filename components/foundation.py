"""What all datacentres of a deployment share, as the parts that need it see it.

The stack that has the role `whole` or `global` makes it (`components.foundations.make`), a
region reads it from the global stack's outputs (`components.foundations.read`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi

from components.control_plane import ControlPlane
from components.host import Host
from components.secrets import DeploymentSecrets


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What AWS regions use of the global stack's.

    login_key: OpenSSH private key (secret); login_public_key: its line of authorized_keys.
    listener: ARN of the accelerator's, "" without one. api_callers: prefix list in the
    home region of the nodes' public addresses, which the API's load balancer lets in.
    service_key_version: differs when the service key's secret has another value.
    key_id: of the KMS key, the same in each region (`aws.plan.key_arn`).
    """

    login_key: pulumi.Output[str]
    login_public_key: pulumi.Output[str]
    listener: pulumi.Output[str]
    api_callers: pulumi.Output[str]
    service_key_version: pulumi.Output[str]
    key_id: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """url: of the API. authority: PEM of the CA. operator: a token with the role admin, a
    secret. service_key: WireGuard's private key of the service, a secret.

    ready: what depends on a running API that knows the operator. control, secrets: where
    this stack made them itself, else None. aws: where a part of the deployment is there.
    hosts: what the control plane stands on, where no world of `components.worlds` made that.
    """

    url: pulumi.Output[str]
    authority: pulumi.Output[str]
    operator: pulumi.Output[str]
    service_key: pulumi.Output[str]
    ready: Sequence[pulumi.Resource] = field(default=())
    control: ControlPlane | None = None
    secrets: DeploymentSecrets | None = None
    aws: Shared | None = None
    hosts: Sequence[Host] = field(default=())
