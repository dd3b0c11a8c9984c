"""What every resource of a region has in common: the provider, tags, options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from anycastle.model.aws import Aws


@dataclass(frozen=True, kw_only=True)
class Regional:
    """A region of one deployment's stack. place: a datacentre's name, or what else it is for."""

    deployment: str
    place: str
    region: str
    settings: Aws
    provider: aws.Provider

    def tags(self, name: str) -> dict[str, str]:
        """Tags of the resource `name`: the operator's, and ours over them."""
        return {
            **self.settings.tags,
            "Name": name,
            "anycastle:deployment": self.deployment,
            "anycastle:stack": pulumi.get_stack(),
            "anycastle:datacentre": self.place,
        }

    def under(
        self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = ()
    ) -> pulumi.ResourceOptions:
        """Options below a parent that has no provider of its own to hand on."""
        return pulumi.ResourceOptions(
            parent=parent, provider=self.provider, depends_on=[*depends_on]
        )


def regional(deployment: str, place: str, region: str, settings: Aws) -> Regional:
    """With a provider of its own, which refuses any other account."""
    provider = aws.Provider(
        f"{place}/provider", region=region, allowed_account_ids=[settings.account]
    )
    return Regional(
        deployment=deployment, place=place, region=region, settings=settings, provider=provider
    )


def child(
    parent: pulumi.Resource,
    *,
    protect: bool = False,
    depends_on: list[pulumi.Resource] | None = None,
) -> pulumi.ResourceOptions:
    """Options of a component's resource; the provider comes from the parent.

    protect: holds data or addresses that nobody can bring back.
    """
    return pulumi.ResourceOptions(parent=parent, protect=protect or None, depends_on=depends_on)
