"""The deployment's KMS key: one key with a replica, and the same alias, in each region in use.

It is rotated every year by AWS; old versions stay for what they encrypted. Whoever deletes
it deletes the database, the audit trail and all secrets with it, so it is protected here, and
AWS waits for 30 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws import documents, plan
from components.aws.regional import Regional, child

WAITING_DAYS = 30
"""Between a key's deletion and its end; AWS allows no more."""


@dataclass(frozen=True, kw_only=True)
class KeysArgs:
    """regional: of the home region. others: the further regions that need the key."""

    regional: Regional
    others: Sequence[str]


class Keys(pulumi.ComponentResource):
    """arn, alias: of the key in the home region. key_id: the same in all regions.

    arns: by region. ready: what depends on the key in every region.
    """

    arn: pulumi.Output[str]
    key_id: pulumi.Output[str]
    alias: pulumi.Output[str]
    arns: dict[str, pulumi.Output[str]]
    ready: list[pulumi.Resource]

    def __init__(
        self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:Keys", name, None, opts)
        self._name, self._args = name, args
        regional = args.regional
        primary = aws.kms.Key(
            name,
            description=f"Anycastle deployment {regional.deployment}",
            enable_key_rotation=True,
            multi_region=True,
            deletion_window_in_days=WAITING_DAYS,
            policy=documents.key_policy(regional.settings.account, regional.region),
            tags=regional.tags(name),
            opts=child(self, protect=True),
        )
        alias = self._alias(name, regional.region, primary.key_id)
        self.arn, self.key_id, self.alias = primary.arn, primary.key_id, alias.name
        self.arns = {regional.region: primary.arn}
        self.ready = [alias]
        for region in args.others:
            self._replica(region)
        self.register_outputs({"arn": self.arn, "alias": self.alias})

    def _replica(self, region: str) -> None:
        regional, name = self._args.regional, f"{self._name}/{region}"
        replica = aws.kms.ReplicaKey(
            name,
            region=region,
            primary_key_arn=self.arn,
            description=f"Anycastle deployment {regional.deployment}",
            deletion_window_in_days=WAITING_DAYS,
            policy=documents.key_policy(regional.settings.account, region),
            tags=regional.tags(name),
            opts=child(self, protect=True),
        )
        self.arns[region] = replica.arn
        self.ready.append(self._alias(name, region, replica.key_id))

    def _alias(self, name: str, region: str, key_id: pulumi.Input[str]) -> aws.kms.Alias:
        return aws.kms.Alias(
            name,
            region=region,
            name=plan.key_alias(self._args.regional.deployment),
            target_key_id=key_id,
            opts=child(self),
        )
