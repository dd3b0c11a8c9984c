"""Keeps what is a secret apart from what is not.

The engine tells a pack which values are secrets, and the SDK takes these marks off before a policy
sees them. Rules about secrets need them. So the SDK's own deserializer is wrapped: a text that was
part of a secret arrives as `Marked`, which is a text in every other respect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi_policy import Secret, deserialize
from pulumi_policy import policy as sdk

from policy.values import Marked


def keep_marks() -> None:
    """From now on, in this process. A second call changes nothing."""
    sdk.deserialize_properties = _deserialize  # type: ignore[attr-defined]


def _deserialize(props: Mapping[str, Any], proxy_secrets: bool = False) -> Any:
    """Remediations (proxy_secrets) get what the SDK means them to; rules get marked texts."""
    if proxy_secrets:
        return deserialize.deserialize_properties(dict(props), proxy_secrets)
    return {
        key: mark(deserialize._deserialize_property(value, True), secret=False)  # noqa: SLF001
        for key, value in props.items()
    }


def mark(value: Any, *, secret: bool) -> Any:
    """Marked texts instead of the SDK's wrappers, at any depth; what else was secret stays plain."""
    if isinstance(value, Secret):
        return mark(value.value, secret=True)
    if isinstance(value, Mapping):
        plain = value["__target"] if type(value).__name__ == "_DictSecretsProxy" else value
        return {key: mark(item, secret=secret) for key, item in plain.items()}
    if isinstance(value, list):
        return [mark(item, secret=secret) for item in value]
    return Marked(value) if secret and isinstance(value, str) else value
