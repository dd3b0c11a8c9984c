"""Machines: their metadata service and their disks."""

from __future__ import annotations

from collections.abc import Iterator

from policy.rule import Resource, ResourceRule, Severity, Unknowns
from policy.settings import Settings
from policy.values import each, look, yes

INSTANCE = "aws:ec2/instance:Instance"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
VOLUME = "aws:ebs/volume:Volume"


def imdsv2(resource: Resource, _: Settings) -> Iterator[str]:
    if look(resource.props, "metadataOptions.httpEndpoint") == "disabled":
        return
    if look(resource.props, "metadataOptions.httpTokens") != "required":
        yield "the metadata service answers without a session token (IMDSv1)"


def volumes_encrypted(resource: Resource, _: Settings) -> Iterator[str]:
    if resource.type == VOLUME:
        if not yes(resource.props, "encrypted"):
            yield "the volume is not encrypted"
        return
    if resource.type == INSTANCE and not yes(resource.props, "rootBlockDevice.encrypted"):
        yield "the root volume is not encrypted"
    for disk in each(resource.props, "ebsBlockDevices"):
        if not yes(disk, "encrypted"):
            yield f"volume {look(disk, 'deviceName', '?')} is not encrypted"
    for disk in each(resource.props, "blockDeviceMappings"):
        if not yes(disk, "ebs.encrypted"):
            yield f"volume {look(disk, 'deviceName', '?')} is not encrypted"


RULES = (
    ResourceRule(
        name="imdsv2-only",
        promise="The metadata service of a machine answers to session tokens only (IMDSv2)",
        remedy="set metadata_options with http_tokens=required",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        types=frozenset({INSTANCE, TEMPLATE}),
        check=imdsv2,
    ),
    ResourceRule(
        name="volumes-encrypted",
        promise="Every disk is encrypted",
        remedy="set encrypted=True on the root volume and on every further one",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        types=frozenset({INSTANCE, TEMPLATE, VOLUME}),
        check=volumes_encrypted,
    ),
)
