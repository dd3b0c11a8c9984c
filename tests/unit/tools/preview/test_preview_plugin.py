"""The preview-only plugin without an engine: what it knows of resources, and where it may pretend."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from tools.offline.preview import functions, guard, package, stand_ins
from tools.offline.preview.package import Output
from tools.offline.preview.provider import default_tags, ignored
from tools.offline.preview.replacing import CONDITIONAL, REPLACING, replaces

INSTANCE = "aws:ec2/instance:Instance"
TEXT = Output("text", True)


def test_outputs_come_from_the_installed_package() -> None:
    found = package.outputs("aws:lb/loadBalancer:LoadBalancer")
    assert found["arn"] == Output("text", True)
    assert found["clientKeepAlive"] == Output("number", False)
    assert found["accessLogs"] == Output("map", False)
    assert found["subnets"].kind == "list"
    assert found["internal"] == Output("truth", True)
    assert package.outputs("command:remote:Command")["stdout"] == Output("text", True)
    assert package.outputs("command:remote:Command")["logging"] == Output("text", False)


@pytest.mark.parametrize("token", ["aws:lb/none:None", "nocloud:a/b:C", "aws:lb/x:lb"])
def test_an_unknown_type_is_named(token: str) -> None:
    with pytest.raises(package.UnknownType, match=token):
        package.outputs(token)


@pytest.mark.parametrize("token", sorted(REPLACING))
def test_the_table_of_replacing_properties_has_real_names(token: str) -> None:
    known = set(package.outputs(token))
    listed = {entry.partition(".")[0] for entry in REPLACING[token]}
    listed |= {name for pair in CONDITIONAL.get(token, {}).items() for name in pair}
    assert listed <= known, f"{token} has no {listed - known}"


@pytest.mark.parametrize(
    ("path", "inputs", "expected"),
    [
        ("ami", {}, True),
        ("instanceType", {}, False),
        ("rootBlockDevice.encrypted", {}, True),
        ("rootBlockDevice.volumeSize", {}, False),
        ("networkInterfaces[0].deviceIndex", {}, True),
        ("tags.ami", {}, False),
        ("region", {}, True),
        ("userData", {}, False),
        ("userData", {"userDataReplaceOnChange": True}, True),
    ],
)
def test_what_replaces_an_instance(path: str, inputs: dict[str, Any], expected: bool) -> None:
    assert replaces(INSTANCE, path, inputs) is expected


def test_types_of_other_packages_have_no_region() -> None:
    assert not replaces("command:remote:Command", "region", {})
    assert replaces("command:remote:Command", "triggers[0]", {})


@pytest.mark.parametrize(
    ("prop", "expected"),
    [
        ("arn", "arn:aws:ec2:eu-west-1:000000000000:Instance/pretended-a-b"),
        ("region", "eu-west-1"),
        ("keyName", "pretended-a/b-keyName"),
        ("publicDns", "a-b.publicdns.pretended.invalid"),
    ],
)
def test_stand_ins_are_marked(prop: str, expected: str) -> None:
    assert stand_ins.value(INSTANCE, "a/b", prop, TEXT, "eu-west-1") == expected


def test_stand_ins_have_the_form_of_what_they_stand_for() -> None:
    address = stand_ins.value(INSTANCE, "a", "privateIp", TEXT, "r")
    assert ipaddress.ip_address(address) in stand_ins.ADDRESSES4
    assert address == stand_ins.value(INSTANCE, "a", "privateIp", TEXT, "r")
    assert address != stand_ins.value(INSTANCE, "b", "privateIp", TEXT, "r")
    endpoint = "aws:vpc/routeServerEndpoint:RouteServerEndpoint"
    eni = stand_ins.value(endpoint, "a", "eniAddress", TEXT, "r")
    assert ipaddress.ip_address(eni) in stand_ins.ADDRESSES4
    block = stand_ins.value("aws:ec2/vpc:Vpc", "v", "ipv6CidrBlock", TEXT, "r")
    assert ipaddress.IPv6Network(block).prefixlen == 56
    assert block != stand_ins.value("aws:ec2/vpc:Vpc", "w", "ipv6CidrBlock", TEXT, "r")
    assert stand_ins.value(INSTANCE, "a", "x", Output("list", True), "r") == []


def test_data_sources_answer_with_marked_values_or_say_what_to_do() -> None:
    zones = functions.answer("aws:index/getAvailabilityZones:getAvailabilityZones", {}, "r")
    assert zones["names"] == ["ra", "rb", "rc"]
    assert functions.answer("aws:ec2/getAmi:getAmi", {"owners": ["1"]}, "r")["imageId"] == (
        "ami-pretended"
    )
    with pytest.raises(functions.NoAnswer, match="Pin the value in the stack's file"):
        functions.answer("aws:ec2/getVpc:getVpc", {}, "r")


def test_pretending_needs_the_marked_backend_and_the_variable(tmp_path: Path) -> None:
    backend = tmp_path / "a state"
    guard.mark(backend)
    right = {guard.VARIABLE: str(backend), "PULUMI_BACKEND_URL": backend.as_uri()}
    assert guard.throw_away(right) == backend
    for wrong in (
        {**right, guard.VARIABLE: ""},
        {**right, "PULUMI_BACKEND_URL": ""},
        {**right, "PULUMI_BACKEND_URL": "s3://bucket/a state"},
        {**right, "PULUMI_BACKEND_URL": f"file://host{backend}"},
        {**right, "PULUMI_BACKEND_URL": tmp_path.as_uri()},
        {guard.VARIABLE: str(tmp_path), "PULUMI_BACKEND_URL": tmp_path.as_uri()},
    ):
        assert guard.throw_away(wrong) is None
    (backend / guard.MARKER).unlink()
    assert guard.throw_away(right) is None


def test_default_tags_are_text_inside_of_text() -> None:
    assert default_tags('{"tags": {"a": "b"}}') == {"a": "b"}
    assert default_tags({"tags": {"a": "b"}}) == {"a": "b"}
    assert default_tags(None) == {}
    assert default_tags("{}") == {}


def test_ignored_changes() -> None:
    assert ignored("tags.a", ["tags"])
    assert ignored("list[0]", ["list"])
    assert not ignored("tagsAll", ["tags"])
