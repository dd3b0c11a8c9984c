"""The control plane's database."""

from __future__ import annotations

from collections.abc import Iterator

from policy.rule import Resource, ResourceRule, Severity, Unknowns
from policy.settings import Settings
from policy.values import each, look, yes

DATABASE = "aws:rds/instance:Instance"
PARAMETERS = "aws:rds/parameterGroup:ParameterGroup"


def protected(resource: Resource, settings: Settings) -> Iterator[str]:
    if not yes(resource.props, "multiAz"):
        yield "the database stands in one zone"
    days = look(resource.props, "backupRetentionPeriod", 0)
    if days < settings.backup_days:
        yield f"backups are kept for {days:g} days, not {settings.backup_days}"
    if not yes(resource.props, "deletionProtection"):
        yield "the database can be deleted by one call"
    if yes(resource.props, "skipFinalSnapshot"):
        yield "deleting it leaves no snapshot"


def tls(resource: Resource, _: Settings) -> Iterator[str]:
    if resource.type == DATABASE:
        if resource.props.get("parameterGroupName") is None:  # its name may be unknown yet
            yield "the database has the default parameters, which allow connections without TLS"
        if yes(resource.props, "publiclyAccessible"):
            yield "the database has a public address"
        return
    family = str(look(resource.props, "family", ""))
    values = {
        look(item, "name"): look(item, "value") for item in each(resource.props, "parameters")
    }
    if family.startswith("postgres") and str(values.get("rds.force_ssl")) != "1":
        yield "connections without TLS are allowed"


RULES = (
    ResourceRule(
        name="database-protected",
        promise="The database survives a zone, a mistake and a deletion",
        remedy="set multi_az, backup_retention_period, deletion_protection, and a final snapshot",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        types=frozenset({DATABASE}),
        check=protected,
    ),
    ResourceRule(
        name="database-tls",
        promise="The database speaks TLS only, and to nobody outside",
        remedy="give it a parameter group with rds.force_ssl=1, and publicly_accessible=False",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        types=frozenset({DATABASE, PARAMETERS}),
        check=tls,
    ),
)
