"""Permissions: nothing that nobody named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from policy.rule import Resource, ResourceRule, Severity
from policy.settings import Settings
from policy.values import look

POLICY = "aws:iam/policy:Policy"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
USER_POLICY = "aws:iam/userPolicy:UserPolicy"
KEY = "aws:kms/key:Key"
SECRET_POLICY = "aws:secretsmanager/secretPolicy:SecretPolicy"  # noqa: S105 - a type
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
ATTACHED = frozenset({KEY, SECRET_POLICY, BUCKET_POLICY, ENDPOINT})
"""Policies of one resource: there, Resource `*` means that resource."""
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
BROAD = ("AdministratorAccess", "PowerUserAccess", "FullAccess", "IAMFullAccess")


def documents(resource: Resource) -> Iterator[Mapping[str, Any]]:
    """The policies that a resource holds. Raises NotKnown."""
    props = resource.props
    for field in ("policy", "assumeRolePolicy"):
        if (text := look(props, field)) is not None:
            yield parsed(text)
    for inline in look(props, "inlinePolicies", []):
        if (text := look(inline, "policy")) is not None:
            yield parsed(text)


def parsed(text: Any) -> Mapping[str, Any]:
    found = json.loads(text) if isinstance(text, str) else text
    return found if isinstance(found, Mapping) else {}


def many(value: Any) -> list[Any]:
    """IAM has one value where a list of one is meant."""
    return value if isinstance(value, list) else [] if value is None else [value]


def no_wildcards(resource: Resource, settings: Settings) -> Iterator[str]:
    if resource.type == ATTACHMENT:
        yield from broad_attachment(resource)
        return
    for document in documents(resource):
        for statement in many(document.get("Statement")):
            if statement.get("Effect") == "Allow":
                name = statement.get("Sid") or "a statement"
                found = faults(statement, settings, attached=resource.type in ATTACHED)
                yield from (f"{name} {fault}" for fault in found)


def broad_attachment(resource: Resource) -> Iterator[str]:
    name = str(look(resource.props, "policyArn", "")).rsplit("/", 1)[-1]
    if name.endswith(BROAD):
        yield f"the role has AWS's {name}"


def faults(statement: Mapping[str, Any], settings: Settings, *, attached: bool) -> Iterator[str]:
    actions = many(statement.get("Action"))
    for action in actions:
        # A key's own policy has to give its account everything: AWS refuses it otherwise.
        if "*" in action and not (attached and action == "kms:*"):
            yield f"allows the action {action}"
    for field in ("NotAction", "NotResource", "NotPrincipal"):
        if field in statement:
            yield f"allows everything but what {field} lists"
    if not attached and not set(actions) <= set(settings.unscoped_actions):
        for target in many(statement.get("Resource")):
            if is_wild(target):
                yield f"allows it on {target}"
    if anybody(statement.get("Principal")) and not statement.get("Condition"):
        yield "allows it to anybody (Principal *)"


def is_wild(target: str) -> bool:
    """A wildcard may only end a name: `…:secret:prod/node/fra-1-*`, `bucket/*`, or be the six
    characters that AWS adds to a secret's name: `…:secret:prod/node/fra-1-??????`."""
    head = target.removesuffix("-??????") if ":secret:" in target else target
    # A log group's streams: the group is named before.
    head = re.sub(r"(:log-group:[^:*]+):\*$", r"\1", head)
    head = head.removesuffix("*")
    name = head.rsplit(":", 1)[-1]
    return "*" in head or "?" in head or (head != target and not name.strip("/"))


def anybody(principal: Any) -> bool:
    named = many(principal.get("AWS")) if isinstance(principal, Mapping) else many(principal)
    return "*" in named


RULES = (
    ResourceRule(
        name="no-wildcard-iam",
        promise="Permissions name their actions and resources",
        remedy="list the actions and the ARNs; an action that AWS can't scope goes into "
        "policy/config.yaml, `unscoped_actions`",
        severity=Severity.HIGH,
        types=frozenset({POLICY, ROLE, ROLE_POLICY, USER_POLICY, ATTACHMENT, *ATTACHED}),
        check=no_wildcards,
    ),
)
