"""Secrets stay where nobody reads over a shoulder: not in user data, outputs or command lines."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from policy.rule import Finding, Resource, ResourceRule, Severity, Stack, StackRule
from policy.settings import Settings
from policy.values import NotKnown, Unknown, is_secret, leaves

INSTANCE = "aws:ec2/instance:Instance"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
COMMANDS = frozenset({"command:local:Command", "command:remote:Command"})

SHAPES = {
    "a private key": re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"),
    "a WireGuard key": re.compile(
        r"(?:PrivateKey|PresharedKey|SERVICE_KEY|private_key)['\"]?\s*[=:]\s*['\"]?[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
    ),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a password in a URL": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@"),
}
NAMES = re.compile(r"(?:^|_)(?:token|secret|password|passphrase|private_key)$")


def shape(text: str) -> str | None:
    """What secret a text looks like, None for none. A bare key may be a public one: not judged."""
    return next((what for what, pattern in SHAPES.items() if pattern.search(text)), None)


def inside(resource: Resource, *names: str) -> Iterator[tuple[str, str | Unknown]]:
    """(path, leaf) of some properties; what is known comes first. Raises NotKnown at the end."""
    found = [item for name in names for item in leaves(resource.props.get(name), name)]
    hidden = [path for path, leaf in found if isinstance(leaf, Unknown) and not leaf.secret]
    yield from (item for item in found if item[0] not in hidden)
    if hidden:
        raise NotKnown(hidden[0])


def exposed(resource: Resource, *names: str) -> Iterator[str]:
    """What secrets properties hold that should hold none."""
    for path, leaf in inside(resource, *names):
        if is_secret(leaf):
            yield f"{path} holds a secret"
        elif isinstance(leaf, str) and (what := shape(leaf) or shape(decoded(leaf))):
            yield f"{path} holds {what}"


def user_data(resource: Resource, _: Settings) -> Iterator[str]:
    yield from exposed(resource, "userData", "userDataBase64")


def commands(resource: Resource, _: Settings) -> Iterator[str]:
    """Command lines are seen by every process of the host, and shown when they fail."""
    yield from unmarked(resource)
    yield from exposed(resource, "create", "update", "delete")


def unmarked(resource: Resource) -> Iterator[str]:
    """What commands read may be secret, but has to be marked; what is unknown is looked at later."""
    names = [name for name in ("stdin", "environment") if name not in resource.secret_outputs]
    for name in names:
        for path, leaf in leaves(resource.props.get(name), name):
            if isinstance(leaf, str) and not is_secret(leaf) and (what := shape(leaf)):
                yield f"{path} holds {what}, which the program does not mark as a secret"


def decoded(text: str) -> str:
    """The text inside of base64, "" when it is none."""
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


def outputs(stack: Stack, _: Settings) -> Iterator[Finding]:
    waiting = []
    for path, leaf in leaves(stack.outputs):
        if is_secret(leaf):
            continue
        if NAMES.search(path.rsplit(".", 1)[-1]):
            yield Finding(f"output {path} is called a secret and is not marked as one")
        elif isinstance(leaf, Unknown):
            waiting.append(path)
        elif what := shape(leaf):
            yield Finding(f"output {path} shows {what}")
    if waiting:
        raise NotKnown(waiting[0])


RULES = (
    ResourceRule(
        name="no-secret-in-user-data",
        promise="User data holds no secret; every process of a machine can read it",
        remedy="let the machine fetch it from Secrets Manager with its own role",
        severity=Severity.CRITICAL,
        types=frozenset({INSTANCE, TEMPLATE}),
        check=user_data,
    ),
    ResourceRule(
        name="no-secret-in-commands",
        promise="Command lines hold no secret, and what commands read is marked as one",
        remedy="hand it in by `stdin` as pulumi.Output.secret",
        severity=Severity.CRITICAL,
        types=COMMANDS,
        check=commands,
    ),
    StackRule(
        name="no-secret-in-outputs",
        promise="Outputs show no secret",
        remedy="export it as pulumi.Output.secret, or not at all",
        severity=Severity.CRITICAL,
        check=outputs,
    ),
)
