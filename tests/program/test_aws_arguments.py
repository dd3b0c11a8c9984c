"""The check of arguments finds what it is there for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.program.arguments import resource_faults
from tests.program.graph import SECRET

INSTANCE = "aws:ec2/instance:Instance"
GROUP = "aws:lb/targetGroup:TargetGroup"


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        (INSTANCE, {"ami": "ami-1", "tags": {"a": "b"}, "vpcSecurityGroupIds": ["sg-1"]}),
        (INSTANCE, {"metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1}}),
        (INSTANCE, {"userData": {SECRET: "text"}, "instanceType": "c6in.large"}),
        (GROUP, {"port": 51820.0, "stickiness": {"type": "source_ip", "enabled": True}}),
        ("aws:kms/replicaKey:ReplicaKey", {"primaryKeyArn": "arn"}),
        ("aws:s3/bucketVersioning:BucketVersioning",
         {"bucket": "b", "versioningConfiguration": {"status": "Enabled"}}),
    ],
)  # fmt: skip
def test_good_arguments(token: str, inputs: dict[str, Any]) -> None:
    assert resource_faults("r", token, inputs) == []


@pytest.mark.parametrize(
    ("token", "inputs", "fault"),
    [
        ("aws:ec2/nothing:Nothing", {}, "r: pulumi_aws knows no resource aws:ec2/nothing:Nothing"),
        ("aws:nowhere/vpc:Vpc", {}, "r: pulumi_aws knows no resource aws:nowhere/vpc:Vpc"),
        (INSTANCE, {"amy": "ami-1"}, "r.amy: InstanceArgs has no such argument"),
        (INSTANCE, {"ami": 7}, "r.ami: expected str, got 7"),
        (INSTANCE, {"ebsOptimized": "yes"}, "r.ebsOptimized: expected bool, got 'yes'"),
        (INSTANCE, {"tags": ["a"]}, "r.tags: expected a map, got ['a']"),
        (INSTANCE, {"tags": {"a": 1}}, "r.tags.a: expected str, got 1"),
        (INSTANCE, {"vpcSecurityGroupIds": "sg"}, "r.vpcSecurityGroupIds: expected a list, got 'sg'"),
        (INSTANCE, {"userData": {SECRET: 1}}, "r.userData: expected str, got 1"),
        (INSTANCE, {"metadataOptions": {"httpToken": "required"}},
         "r.metadataOptions.httpToken: InstanceMetadataOptionsArgs has no such argument"),
        (INSTANCE, {"metadataOptions": {"httpPutResponseHopLimit": "1"}},
         "r.metadataOptions.httpPutResponseHopLimit: expected int, got '1'"),
        (GROUP, {"port": 51820.5}, "r.port: expected int, got 51820.5"),
        (GROUP, {"stickiness": {"enabled": True}},
         "r.stickiness.type: required by TargetGroupStickinessArgs"),
        ("aws:kms/replicaKey:ReplicaKey", {}, "r.primaryKeyArn: required by ReplicaKeyArgs"),
    ],
)  # fmt: skip
def test_bad_arguments(token: str, inputs: dict[str, Any], fault: str) -> None:
    assert resource_faults("r", token, inputs) == [fault]
