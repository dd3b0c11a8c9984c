"""All rules, in the order of docs/policy.md."""

from __future__ import annotations

from policy.checks import (
    audit,
    database,
    deployment,
    encryption,
    entry,
    iam,
    instances,
    network,
    secrecy,
    tags,
    turnover,
)
from policy.rule import Book

BOOK = Book(
    (
        *deployment.RULES,
        *turnover.RULES,
        *network.RULES,
        *entry.RULES,
        *instances.RULES,
        *encryption.RULES,
        *iam.RULES,
        *secrecy.RULES,
        *database.RULES,
        *audit.RULES,
        *tags.RULES,
    )
)
