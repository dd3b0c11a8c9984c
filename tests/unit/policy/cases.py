"""For each rule: subjects that pass, that fail (with words of the message), and that are not known yet."""

from __future__ import annotations

from tests.unit.policy import cloud_cases, deployment_cases, entry_cases
from tests.unit.policy.subjects import Cases, Subject

CASES: dict[str, Cases] = {**deployment_cases.CASES, **entry_cases.CASES, **cloud_cases.CASES}
ALWAYS_KNOWN = frozenset({"data-protected"})
"""Rules on what only the program decides."""
__all__ = ["ALWAYS_KNOWN", "CASES", "Cases", "Subject"]
