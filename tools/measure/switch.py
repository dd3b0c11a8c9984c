"""Takeover off on a lab's nodes for a while, and on again, without `pulumi up`.

The setting is `takeover.enabled` of /etc/anycastle/node.json. The file that Pulumi wrote is
kept beside the changed one and put back byte by byte, so that Pulumi never sees a
difference; after an interrupted run `make lab` puts it back.
"""

from __future__ import annotations

SPEC = "/etc/anycastle/node.json"
OFF = f"""
[ -e {SPEC}.before ] || cp -p {SPEC} {SPEC}.before
jq '.takeover.enabled = false' {SPEC}.before >{SPEC}.new
chmod --reference={SPEC}.before {SPEC}.new
mv {SPEC}.new {SPEC}
systemctl reload anycastle-agent
"""
ON = f"""
[ -e {SPEC}.before ] || exit 0
mv {SPEC}.before {SPEC}
systemctl reload anycastle-agent
"""


def script(enabled: bool) -> str:
    """Shell lines for every node. Twice the same is as once."""
    return ON if enabled else OFF
