"""Rules behind Pulumi's own SDK: unknown values, marks of secrets, levels."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel
from pulumi_policy import policy as sdk
from pulumi_policy.proxy import unknown_checking_proxy

from policy import secrecy
from policy.checks.instances import INSTANCE
from policy.pack import plain, policies, stack_name
from policy.rules import BOOK
from policy.settings import Level, Settings
from policy.values import UNKNOWN, UNKNOWN_SECRET, Marked

NOT_KNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
COMMAND = "command:remote:Command"
STACK = "pulumi:pulumi:Stack"


def secret(value: Any) -> dict[str, Any]:
    return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": value}


def struct(properties: dict[str, Any]) -> struct_pb2.Struct:
    return json_format.ParseDict(properties, struct_pb2.Struct())


@pytest.fixture
def marks() -> Any:
    """The SDK with marks of secrets, put back afterwards."""
    before = vars(sdk)["deserialize_properties"]
    secrecy.keep_marks()
    yield
    sdk.__dict__["deserialize_properties"] = before


def servicer(settings: Settings) -> Any:
    return sdk._PolicyAnalyzerServicer(
        "anycastle", "1.0.0", policies(BOOK.rules, settings), EnforcementLevel.MANDATORY
    )


def analyze(kind: str, properties: dict[str, Any], settings: Settings | None = None) -> Any:
    request = analyzer_pb2.AnalyzeRequest(
        type=kind, name="x", urn=f"urn:pulumi:prod::p::{kind}::x", properties=struct(properties)
    )
    return servicer(settings or Settings()).Analyze(request, None)


def analyze_stack(*resources: tuple[str, str, dict[str, Any]]) -> Any:
    request = analyzer_pb2.AnalyzeStackRequest(
        resources=[
            analyzer_pb2.AnalyzerResource(
                type=kind, name=name, urn=f"urn:pulumi:prod::p::{kind}::{name}",
                properties=struct(properties),
            )
            for kind, name, properties in resources
        ]
    )  # fmt: skip
    return servicer(Settings(tags=("stack",))).AnalyzeStack(request, None)


def by_rule(response: Any) -> dict[str, Any]:
    return {found.policyName: found for found in response.diagnostics}


@pytest.mark.usefixtures("marks")
def test_a_violation_has_promise_finding_remedy_level_and_severity() -> None:
    found = by_rule(analyze(INSTANCE, {"rootBlockDevice": {"encrypted": True}}))
    assert set(found) == {"imdsv2-only"}
    diagnostic = found["imdsv2-only"]
    assert diagnostic.message == (
        "The metadata service of a machine answers to session tokens only (IMDSv2)\n"
        "the metadata service answers without a session token (IMDSv1). "
        "What to do: set metadata_options with http_tokens=required"
    )
    assert diagnostic.enforcementLevel == analyzer_pb2.MANDATORY
    assert diagnostic.severity == analyzer_pb2.POLICY_SEVERITY_HIGH


@pytest.mark.usefixtures("marks")
def test_an_unknown_value_is_a_violation_where_the_rule_refuses() -> None:
    found = by_rule(analyze(INSTANCE, {"metadataOptions": NOT_KNOWN, "rootBlockDevice": {}}))
    assert "metadataOptions.httpEndpoint is known only after" in found["imdsv2-only"].message
    assert found["imdsv2-only"].enforcementLevel == analyzer_pb2.MANDATORY


@pytest.mark.usefixtures("marks")
def test_an_unknown_value_is_no_violation_where_the_rule_waits() -> None:
    response = analyze("aws:iam/policy:Policy", {"policy": NOT_KNOWN})
    assert not response.diagnostics
    (waiting,) = response.not_applicable
    assert (waiting.policy_name, waiting.reason) == (
        "no-wildcard-iam",
        "policy is known only after `up`; checked then",
    )


@pytest.mark.usefixtures("marks")
def test_secrets_keep_their_marks_known_or_not() -> None:
    assert not analyze(COMMAND, {"create": "sh -s", "stdin": secret("-----BEGIN PRIVATE KEY-----")}
                       ).diagnostics  # fmt: skip
    for value in ("echo x", NOT_KNOWN):
        found = by_rule(analyze(COMMAND, {"create": secret(value)}))
        assert "create holds a secret" in found["no-secret-in-commands"].message


@pytest.mark.usefixtures("marks")
def test_a_stack_s_violation_names_the_resource_to_blame() -> None:
    found = by_rule(
        analyze_stack(
            (STACK, "p-prod", {"operator_token": secret("t"), "root_password": "p"}),
            ("aws:ec2/vpc:Vpc", "net", {"tagsAll": {}}),
        )
    )
    assert set(found) == {"no-secret-in-outputs", "tags-required"}
    assert found["tags-required"].urn == "urn:pulumi:prod::p::aws:ec2/vpc:Vpc::net"
    assert "output root_password" in found["no-secret-in-outputs"].message


@pytest.mark.usefixtures("marks")
def test_levels_come_from_the_settings() -> None:
    bad: dict[str, Any] = {"rootBlockDevice": {}}
    settings = Settings(rules={"imdsv2-only": Level.ADVISORY, "volumes-encrypted": Level.DISABLED})
    found = by_rule(analyze(INSTANCE, bad, settings))
    assert set(found) == {"imdsv2-only"}
    assert found["imdsv2-only"].enforcementLevel == analyzer_pb2.ADVISORY


def test_plain_values_have_no_proxies() -> None:
    proxied = unknown_checking_proxy({"a": [{"b": NOT_KNOWN}, 1], "c": Marked(NOT_KNOWN)})
    assert plain(proxied) == {"a": [{"b": UNKNOWN}, 1], "c": UNKNOWN_SECRET}


def test_marks_reach_into_secret_objects() -> None:
    found = secrecy._deserialize({"a": secret({"b": ["x", 1]}), "c": "y"})
    assert found == {"a": {"b": ["x", 1]}, "c": "y"}
    assert isinstance(found["a"]["b"][0], Marked)
    assert not isinstance(found["c"], Marked)


def test_the_stack_s_name_is_in_every_urn() -> None:
    assert stack_name("urn:pulumi:aws-eu-west-1::anycastle::a:b:C::x") == "aws-eu-west-1"
