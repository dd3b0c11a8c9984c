"""What a global stack registers: keys, control plane, database, audit trail, accelerator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.program.arguments import faults
from tests.program.conftest import Config, Run, shipped
from tests.program.graph import SECRET, Graph, Registration

STACKS = ("global", "aws-eu-west-1", "aws-us-east-1", "metal-fra")
REGIONS = STACKS[1:]
SHARED = (
    "aws_login_key",
    "aws_login_public_key",
    "aws_listener",
    "aws_api_callers",
    "aws_service_key_version",
    "aws_key_id",
)
SECRET_OUTPUTS = {"aws_login_key", "operator_token", "service_key"}


@pytest.fixture(scope="module")
def shared(run: Run) -> Graph:
    """The shipped global stack."""
    return up(run, shipped("global"))


def up(run: Run, config: Config, *, preview: bool = False) -> Graph:
    others = {name: shipped(name) for name in REGIONS}
    return run(config, stack="global", others=others, preview=preview)


def only(graph: Graph, kind: str) -> Registration:
    (found,) = graph.of_type(kind)
    return found


def statements(text: str) -> dict[str, dict[str, Any]]:
    return {one["Sid"]: one for one in json.loads(text)["Statement"]}


def variable(registration: Registration, name: str) -> str:
    """What a script gets in a variable (quoted, so without quotes inside)."""
    text: str = registration.plain("stdin")
    return text.partition(f"{name}=")[2].partition("\n")[0].strip("'")


def test_every_argument_is_one_that_the_sdk_knows(shared: Graph) -> None:
    assert faults(shared) == []


def test_a_preview_registers_the_same(run: Run, shared: Graph) -> None:
    seen = up(run, shipped("global"), preview=True)
    assert {(r.type, r.name) for r in seen.resources.values()} == {
        (r.type, r.name) for r in shared.resources.values()
    }


# data -----------------------------------------------------------------------------------


def test_what_holds_data_or_addresses_is_protected(shared: Graph) -> None:
    protected = {(r.type, r.name) for r in shared.resources.values() if r.protect}
    assert protected == {
        ("aws:kms/key:Key", "key"),
        ("aws:kms/replicaKey:ReplicaKey", "key/us-east-1"),
        ("aws:rds/instance:Instance", "database"),
        ("aws:s3/bucket:Bucket", "audit"),
        ("aws:secretsmanager/secret:Secret", "service-key"),
        ("aws:globalaccelerator/accelerator:Accelerator", "accelerator"),
    }


def test_there_is_one_rotated_key_with_a_replica_and_an_alias_in_each_region(
    shared: Graph,
) -> None:
    key = only(shared, "aws:kms/key:Key").inputs
    assert key["enableKeyRotation"] is True
    assert key["multiRegion"] is True
    replica = only(shared, "aws:kms/replicaKey:ReplicaKey")
    assert replica.inputs["region"] == "us-east-1"
    assert replica.inputs["primaryKeyArn"] == "arn of key"
    aliases = {a.inputs["region"]: a.inputs for a in shared.of_type("aws:kms/alias:Alias")}
    assert set(aliases) == {"eu-west-1", "us-east-1"}
    assert {alias["name"] for alias in aliases.values()} == {"alias/anycastle-prod"}
    assert aliases["us-east-1"]["targetKeyId"] == "keyId of key/us-east-1"
    logs = statements(replica.inputs["policy"])["Logs"]
    assert logs["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}


def test_the_service_key_is_replicated_under_each_regions_own_key(shared: Graph) -> None:
    secret = shared.named("service-key", "secret:Secret")
    assert secret.inputs["name"] == "anycastle/prod/service-key"
    assert secret.inputs["kmsKeyId"] == "arn of key"
    replicas = [{"region": "us-east-1", "kmsKeyId": "arn of key/us-east-1"}]
    assert secret.inputs["replicas"] == replicas
    version = shared.named("service-key", "secretVersion")
    assert version.is_secret("secretString")
    assert version.plain("secretString") == "private_key of secrets/service-key"


def test_the_database_survives_a_zone_and_speaks_tls_only(shared: Graph) -> None:
    database = only(shared, "aws:rds/instance:Instance")
    wanted = {
        "engine": "postgres",
        "engineVersion": "17",
        "instanceClass": "db.t4g.small",
        "multiAz": True,
        "storageEncrypted": True,
        "kmsKeyId": "arn of key",
        "deletionProtection": True,
        "backupRetentionPeriod": 14,
        "skipFinalSnapshot": False,
        "publiclyAccessible": False,
    }
    assert {name: database.inputs[name] for name in wanted} == wanted
    parameters = only(shared, "aws:rds/parameterGroup:ParameterGroup").inputs
    assert parameters["family"] == "postgres17"
    assert {p["name"]: p["value"] for p in parameters["parameters"]} == {"rds.force_ssl": "1"}
    subnets = only(shared, "aws:rds/subnetGroup:SubnetGroup").inputs["subnetIds"]
    assert subnets == [f"id of control/private/eu-west-1{zone}" for zone in "ab"]


def test_only_the_api_hosts_reach_the_database(shared: Graph) -> None:
    group = shared.named("database/group").urn
    assert group in only(shared, "aws:rds/instance:Instance").dependencies
    rules = [
        r
        for r in shared.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
        if r.inputs["securityGroupId"] == "id of database/group"
    ]
    assert [rule.inputs["referencedSecurityGroupId"] for rule in rules] == ["id of control/hosts"]
    assert {(rule.inputs["fromPort"], rule.inputs["toPort"]) for rule in rules} == {(5432, 5432)}


def test_the_databases_password_is_a_secret_wherever_it_goes(shared: Graph) -> None:
    password = "secret of database/password"
    made = shared.named("database/password")
    assert made.secret_outputs >= {"secret"}
    holders = {r.name for r in shared.resources.values() if password in str(r.inputs)}
    assert holders == {"database", "control-1/database", "control-2/database"}
    for name, kind in (
        ("database", "rds/instance"),
        ("control-1/database", "Command"),
        ("control-2/database", "Command"),
    ):
        found = shared.named(name, kind)
        bare = {key: value for key, value in found.inputs.items() if not found.is_secret(key)}
        assert password not in str(bare), name
    assert password not in str(shared.outputs)


def test_hosts_check_the_databases_name_and_certificate(shared: Graph) -> None:
    assert control_spec(shared, "control-1")["database"] == (
        "host=address of database port=5432 dbname=anycastle user=anycastle "
        "passfile=/etc/anycastle/pgpass sslmode=verify-full sslrootcert=/etc/anycastle/rds.pem"
    )
    command = shared.named("control-1/database")
    assert variable(command, "PASSFILE") == (
        "address of database:5432:anycastle:anycastle:secret of database/password"
    )
    assert variable(command, "CERTIFICATES_URL").startswith("https://truststore.pki.rds.")


def control_spec(graph: Graph, host: str) -> Any:
    text: str = graph.named(f"{host}/api").plain("stdin")
    return json.loads(text.partition("CONTROL_SPEC='")[2].partition("'\n")[0])


# audit ----------------------------------------------------------------------------------


def test_nobody_changes_reads_openly_or_removes_the_audit_trail(shared: Graph) -> None:
    bucket = only(shared, "aws:s3/bucket:Bucket").inputs
    assert bucket["bucket"] == "anycastle-prod-audit-123456789012"
    assert bucket["objectLockEnabled"] is True
    assert bucket["forceDestroy"] is False
    lock = shared.named("audit/lock").inputs["rule"]["defaultRetention"]
    assert lock == {"mode": "GOVERNANCE", "days": 365}
    versions = shared.named("audit/versions").inputs["versioningConfiguration"]
    assert versions == {"status": "Enabled"}
    block = shared.named("audit/private").inputs
    assert all(block[switch] is True for switch in block if switch != "bucket")
    (rule,) = shared.named("audit/encryption").inputs["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {
        "sseAlgorithm": "aws:kms",
        "kmsMasterKeyId": "arn of key",
    }
    assert statements(shared.named("audit/tls").inputs["policy"])["OnlyTls"]["Effect"] == "Deny"


def test_api_hosts_export_events_once_the_bucket_is_guarded(shared: Graph) -> None:
    for host in ("control-1", "control-2"):
        export = shared.named(f"{host}/audit-export")
        assert {"audit/lock", "audit/encryption", "audit/private", f"{host}/api"} <= (
            shared.upstream(export)
        )
        audit = control_spec(shared, host)["audit"]
        assert audit == {
            "name": "anycastle-prod-audit-123456789012",
            "region": "eu-west-1",
            "kms_key": "arn of key",
            "retention_days": 365,
            "mode": "GOVERNANCE",
        }


def test_an_api_host_may_add_to_the_trail_and_delete_nothing(shared: Graph) -> None:
    policy = shared.named("control-1/role", "rolePolicy").plain("policy")
    allowed = {action for one in statements(policy).values() for action in one["Action"]}
    assert "s3:PutObject" in allowed
    assert not [action for action in allowed if "Delete" in action or "*" in action]
    own = statements(policy)["OwnHostKey"]["Resource"]
    prefix = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
    assert own == [f"{prefix}anycastle/prod/hosts/control-1/host-key-??????"]


# control plane --------------------------------------------------------------------------


def test_the_balancer_hands_tls_through_to_a_host_in_each_zone(shared: Graph) -> None:
    balancer = only(shared, "aws:lb/loadBalancer:LoadBalancer")
    assert balancer.inputs["loadBalancerType"] == "network"
    listener = shared.named("control/api", "lb/listener").inputs
    assert (listener["protocol"], listener["port"]) == ("TCP", 8443)
    assert "certificateArn" not in listener
    targets = shared.of_type("aws:lb/targetGroupAttachment:TargetGroupAttachment")
    assert {t.inputs["targetId"] for t in targets} == {"id of control-1", "id of control-2"}
    zones = {
        shared.named(host, "ec2/instance").inputs["availabilityZone"]
        for host in ("control-1", "control-2")
    }
    assert zones == {"eu-west-1a", "eu-west-1b"}


def test_api_hosts_are_made_anew_beside_the_old_ones(shared: Graph) -> None:
    for host in ("control-1", "control-2"):
        instance = shared.named(host, "ec2/instance")
        # An address of its own choice could not be the old and the new one's at the same time.
        assert "privateIp" not in instance.inputs
        assert instance.replace_on_changes == ("instanceType",)


def test_what_crosses_the_control_planes_network_is_logged(run: Run, shared: Graph) -> None:
    (flows,) = shared.of_type("aws:ec2/flowLog:FlowLog")
    assert flows.inputs["vpcId"] == "id of control/vpc"
    group = only(shared, "aws:cloudwatch/logGroup:LogGroup").inputs
    assert (group["kmsKeyId"], group["retentionInDays"]) == ("arn of key", 30)
    config = shipped("global")
    config["anycastle:deployment"]["aws"]["control"]["flow_log_days"] = 0
    assert up(run, config).of_type("aws:ec2/flowLog:FlowLog") == []


def test_only_known_networks_reach_the_api(shared: Graph) -> None:
    rules = [
        r.inputs
        for r in shared.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
        if r.inputs["securityGroupId"] == "id of control/api" and r.inputs["ipProtocol"] == "tcp"
    ]
    assert {rule.get("cidrIpv4") or rule["prefixListId"] for rule in rules} == {
        "203.0.113.0/28",
        "203.0.113.11/32",
        "203.0.113.12/32",
        "id of control/api/nodes",
    }
    assert {rule["fromPort"] for rule in rules} == {8443}


def test_hosts_take_the_api_from_the_balancer_alone(shared: Graph) -> None:
    rule = shared.named("control/hosts/api").inputs
    assert rule["referencedSecurityGroupId"] == "id of control/api"
    assert rule["securityGroupId"] == "id of control/hosts"


def test_a_host_key_waits_for_the_alias_that_encrypts_it(shared: Graph) -> None:
    for host in ("control-1", "control-2"):
        secret = shared.named(f"{host}/host-key", "secret:Secret")
        assert shared.named("key", "kms/alias").urn in secret.dependencies


def test_hosts_change_one_after_another_and_the_token_comes_last(shared: Graph) -> None:
    assert "control-1/api" in shared.upstream(shared.named("control-2/api"))
    assert {"control-1/api", "control-2/api"} <= shared.upstream(shared.named("control-1/operator"))
    for host in ("control-1", "control-2"):
        needs = shared.upstream(shared.named(f"{host}/api"))
        assert {f"{host}/database", f"{host}/authority", f"{host}/install", "database"} <= needs


def test_the_authority_is_on_every_host_as_a_secret(shared: Graph) -> None:
    for host in ("control-1", "control-2"):
        assert shared.named(f"{host}/authority").is_secret("stdin")


def test_the_apis_name_leads_to_the_balancer(run: Run, shared: Graph) -> None:
    record = only(shared, "aws:route53/record:Record").inputs
    assert (record["name"], record["type"]) == ("api.vpn.example.net", "A")
    assert record["aliases"][0]["name"] == "dnsName of control/api"
    config = shipped("global")
    config["anycastle:deployment"]["aws"]["control"]["hosted_zone"] = ""
    assert up(run, config).of_type("aws:route53/record:Record") == []


# accelerator and outputs ----------------------------------------------------------------


def test_the_accelerator_keeps_a_client_with_one_region(run: Run, shared: Graph) -> None:
    listener = only(shared, "aws:globalaccelerator/listener:Listener").inputs
    assert listener["clientAffinity"] == "SOURCE_IP"
    assert listener["protocol"] == "UDP"
    assert listener["portRanges"] == [{"fromPort": 51820, "toPort": 51820}]
    own = only(shared, "aws:globalaccelerator/accelerator:Accelerator").inputs
    assert own["ipAddresses"] == ["198.51.100.1"]
    assert shared.outputs["accelerator"] == ["198.51.100.1"]


def test_an_accelerator_with_addresses_of_aws_tells_which(run: Run) -> None:
    config = shipped("global")
    config["anycastle:deployment"]["aws"]["accelerator"] = {"byoip": False}
    others = {name: shipped(name) for name in REGIONS if name != "metal-fra"}
    graph = run(config, stack="global", others=others)
    own = only(graph, "aws:globalaccelerator/accelerator:Accelerator").inputs
    assert own.get("ipAddresses") is None
    assert graph.outputs["accelerator"] == ["192.0.2.7", "192.0.2.8"]


def test_regions_are_told_what_they_need_and_secrets_are_marked(shared: Graph) -> None:
    assert set(SHARED) <= set(shared.outputs)
    marked = {
        name
        for name, value in shared.outputs.items()
        if isinstance(value, dict) and set(value) == {SECRET}
    }
    assert marked == SECRET_OUTPUTS
    assert shared.outputs["aws_listener"] == "arn of accelerator/listener"
    assert shared.outputs["aws_api_callers"] == "id of control/api/nodes"
    callers = shared.named("control/api/nodes", "PrefixList")
    assert callers.inputs["maxEntries"] == 20
    rule = shared.named("control/api/nodes", "IngressRule")
    assert rule.inputs["prefixListId"] == "id of control/api/nodes"
    assert rule.inputs["securityGroupId"] == "id of control/api"
    assert shared.outputs["api"] == "https://api.vpn.example.net:8443"
    hosts = {host["name"]: host["address"] for host in shared.outputs["hosts"]}
    assert hosts == {f"control-{i}": f"publicIp of control-{i}/address" for i in (1, 2)}


def test_everything_in_aws_says_whose_it_is(shared: Graph) -> None:
    tagged = [r for r in shared.resources.values() if "tags" in r.inputs]
    assert len(tagged) > 40
    for registration in tagged:
        tags = registration.inputs["tags"]
        assert tags["anycastle:deployment"] == "prod", registration.name
        assert tags["anycastle:stack"] == "global", registration.name
        assert tags["team"] == "network", registration.name
