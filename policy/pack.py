"""Rules as policies of Pulumi's SDK."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pulumi_policy as sdk
from pulumi_policy import proxy

from policy.rule import Finding, Resource, ResourceRule, Rule, Stack, StackRule, Unknowns
from policy.settings import Level, Settings
from policy.values import UNKNOWN, UNKNOWN_SECRET, Marked, NotKnown

LEVELS = {
    Level.MANDATORY: sdk.EnforcementLevel.MANDATORY,
    Level.ADVISORY: sdk.EnforcementLevel.ADVISORY,
    Level.DISABLED: sdk.EnforcementLevel.DISABLED,
}


def policies(rules: Iterable[Rule], settings: Settings) -> list[sdk.Policy]:
    """One policy for each rule that is on."""
    return [
        policy(rule, settings) for rule in rules if settings.level(rule.name) is not Level.DISABLED
    ]


def policy(rule: Rule, settings: Settings) -> sdk.Policy:
    options: dict[str, Any] = {
        "name": rule.name,
        "description": rule.promise,
        "enforcement_level": LEVELS[settings.level(rule.name)],
        "severity": sdk.Severity(rule.severity.value),
        "remediation_steps": rule.remedy,
    }
    if isinstance(rule, ResourceRule):
        return sdk.ResourceValidationPolicy(validate=on_resource(rule, settings), **options)
    assert isinstance(rule, StackRule)
    return sdk.StackValidationPolicy(validate=on_stack(rule, settings), **options)


def on_resource(rule: ResourceRule, settings: Settings) -> sdk.ResourceValidation:
    def validate(args: sdk.ResourceValidationArgs, report: sdk.ReportViolation) -> None:
        if args.resource_type not in rule.types:
            return
        try:
            for found in resource_findings(rule, resource(args), settings):
                report(rule.message(found), None)
        except NotKnown as unknown:
            args.not_applicable(waits(unknown))

    return validate


def on_stack(rule: StackRule, settings: Settings) -> sdk.StackValidation:
    def validate(args: sdk.StackValidationArgs, report: sdk.ReportViolation) -> None:
        try:
            for found in stack_findings(rule, stack(args), settings):
                report(rule.message(found.message), found.resource.urn if found.resource else None)
        except NotKnown as unknown:
            args.not_applicable(waits(unknown))

    return validate


def resource_findings(rule: ResourceRule, subject: Resource, settings: Settings) -> Iterator[str]:
    """What a rule has against a resource. Raises NotKnown where the rule waits for a value."""
    try:
        yield from rule.check(subject, settings)
    except NotKnown as unknown:
        if rule.unknowns is Unknowns.WAIT:
            raise
        yield refusal(unknown)


def stack_findings(rule: StackRule, subject: Stack, settings: Settings) -> Iterator[Finding]:
    try:
        yield from rule.check(subject, settings)
    except NotKnown as unknown:
        if rule.unknowns is Unknowns.WAIT:
            raise
        yield Finding(refusal(unknown))


def waits(unknown: NotKnown) -> str:
    """Why a rule does not apply to a preview; Pulumi keeps it with the policy's result."""
    return f"{unknown.path} is known only after `up`; checked then"


def refusal(unknown: NotKnown) -> str:
    return f"{unknown.path} is known only after `up`, and this has to be readable before it"


def resource(args: sdk.ResourceValidationArgs) -> Resource:
    return Resource(
        type=args.resource_type,
        name=args.name,
        props=plain(args.props),
        urn=args.urn,
        secret_outputs=frozenset(args.opts.additional_secret_outputs),
        protected=args.opts.protect,
    )


def stack(args: sdk.StackValidationArgs) -> Stack:
    found = tuple(
        Resource(
            type=item.resource_type,
            name=item.name,
            props=plain(item.props),
            urn=item.urn,
            parent=item.parent.urn if item.parent else "",
            dependencies=frozenset(other.urn for other in item.dependencies),
            secret_outputs=frozenset(item.opts.additional_secret_outputs),
            protected=item.opts.protect,
        )
        for item in args.resources
    )
    return Stack(stack_name(found[0].urn) if found else "", found)


def stack_name(urn: str) -> str:
    """Of `urn:pulumi:STACK::PROJECT::TYPE::NAME`."""
    return urn.split("::", 1)[0].rsplit(":", 1)[-1]


def plain(value: Any) -> Any:
    """Without the SDK's proxies, which raise at unknown values; those become UNKNOWN."""
    if isinstance(value, Mapping):
        inner = value["__target"] if hasattr(value, "_DictProxy__target") else value
        return {key: plain(item) for key, item in inner.items()}
    if isinstance(value, list) or hasattr(value, "_ListProxy__target"):
        inner = value if isinstance(value, list) else value["__target"]
        return [plain(item) for item in inner]
    if isinstance(value, str) and proxy._is_unknown(value):  # noqa: SLF001
        return UNKNOWN_SECRET if isinstance(value, Marked) else UNKNOWN
    return value
