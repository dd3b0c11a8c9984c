"""Cases of rules on machines, data, permissions and secrets."""

from __future__ import annotations

import json

from policy.checks import (
    audit,
    database,
    encryption,
    iam,
    instances,
    secrecy,
)
from policy.rule import Resource
from policy.values import UNKNOWN, UNKNOWN_SECRET, Marked
from tests.unit.policy.subjects import (
    ALL_ON,
    BUCKET,
    DATABASE,
    KEY,
    LOCKED,
    WG,
    Cases,
    a,
    beside,
    encrypted,
    guarded,
    policy,
    stack,
)

CASES: dict[str, Cases] = {
    "imdsv2-only": Cases(
        [
            a(instances.INSTANCE, metadataOptions={"httpTokens": "required"}),
            a(instances.TEMPLATE, metadataOptions={"httpEndpoint": "disabled"}),
        ],
        [
            (a(instances.INSTANCE), "IMDSv1"),
            (a(instances.TEMPLATE, metadataOptions={"httpTokens": "optional"}), "IMDSv1"),
        ],
        [a(instances.INSTANCE, metadataOptions=UNKNOWN)],
    ),
    "volumes-encrypted": Cases(
        [
            a(instances.INSTANCE, rootBlockDevice={"encrypted": True}),
            a(instances.TEMPLATE, blockDeviceMappings=[{"ebs": {"encrypted": "true"}}]),
            a(instances.VOLUME, encrypted=True),
        ],
        [
            (a(instances.INSTANCE), "the root volume is not encrypted"),
            (
                a(
                    instances.INSTANCE,
                    rootBlockDevice={"encrypted": True},
                    ebsBlockDevices=[{"deviceName": "/dev/xvdb"}],
                ),
                "volume /dev/xvdb is not encrypted",
            ),
            (a(instances.TEMPLATE, blockDeviceMappings=[{"deviceName": "d"}]), "volume d is not"),
            (a(instances.VOLUME), "the volume is not encrypted"),
        ],
        [a(instances.VOLUME, encrypted=UNKNOWN)],
    ),
    "encrypted-at-rest": Cases(
        [
            a(database.DATABASE, **DATABASE),
            a(encryption.SECRET, kmsKeyId=UNKNOWN),
            a(encryption.LOG_GROUP, kmsKeyId="arn:aws:kms:…"),
        ],
        [
            (a(database.DATABASE), "storage is not encrypted"),
            (a(encryption.SECRET), "the account's shared key"),
            (a(encryption.LOG_GROUP), "no key of ours"),
        ],
        [a(database.DATABASE, storageEncrypted=UNKNOWN)],
    ),
    "buckets-encrypted": Cases(
        [stack(BUCKET, encrypted("aws:kms")), stack(BUCKET, encrypted("aws:kms:dsse")), stack()],
        [
            (stack(BUCKET), "no encryption by a KMS key"),
            (stack(BUCKET, encrypted("AES256")), "no encryption by a KMS key"),
        ],
        [stack(BUCKET, encrypted(UNKNOWN))],
    ),
    "kms-rotation": Cases(
        [
            a(encryption.KEY, enableKeyRotation=True),
            a(encryption.KEY, customerMasterKeySpec="ECC_NIST_P256"),
        ],
        [(a(encryption.KEY), "the key is not rotated")],
        [a(encryption.KEY, enableKeyRotation=UNKNOWN)],
    ),
    "no-wildcard-iam": Cases(
        [
            policy("s3:PutObject"),
            policy(["ec2:DescribeInstances", "ec2:DescribeTags"], "*"),
            policy("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:r:1:secret:p/dub-1-*"),
            policy("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:r:1:secret:p-??????"),
            policy("logs:PutLogEvents", "arn:aws:logs:r:1:log-group:p-flow-logs:*"),
            a(
                iam.ROLE,
                assumeRolePolicy=json.dumps(
                    {
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Action": "sts:AssumeRole",
                                "Principal": {"Service": "ec2.amazonaws.com"},
                            }
                        ]
                    }
                ),
            ),
            a(
                iam.KEY,
                policy=json.dumps(
                    {
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Action": "kms:*",
                                "Resource": "*",
                                "Principal": {"AWS": "arn:aws:iam::1:root"},
                            }
                        ]
                    }
                ),
            ),
            a(
                iam.BUCKET_POLICY,
                policy=json.dumps(
                    {
                        "Statement": [
                            {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Principal": "*"}
                        ]
                    }
                ),
            ),
            a(iam.ATTACHMENT, policyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"),
        ],
        [
            (policy("s3:*"), "a statement allows the action s3:*"),
            (policy(["ec2:Describe*"], "arn:aws:ec2:r:1:instance/i"), "action ec2:Describe*"),
            (policy("s3:PutObject", "*", Sid="Put"), "Put allows it on *"),
            (
                policy("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:1:secret:p-*"),
                "allows it on arn:aws:secretsmanager:*",
            ),
            (policy("s3:PutObject", "arn:aws:s3:::*"), "allows it on arn:aws:s3:::*"),
            (policy("s3:PutObject", "arn:aws:s3:::b-??????"), "allows it on arn:aws:s3:::b-"),
            (
                policy("logs:PutLogEvents", "arn:aws:logs:r:1:log-group:*"),
                "allows it on arn:aws:logs",
            ),
            (
                a(
                    iam.ROLE,
                    assumeRolePolicy=json.dumps(
                        {
                            "Statement": [
                                {
                                    "Effect": "Allow",
                                    "Action": "sts:AssumeRole",
                                    "Principal": {"AWS": "*"},
                                }
                            ]
                        }
                    ),
                ),
                "to anybody",
            ),
            (
                a(
                    iam.ROLE,
                    inlinePolicies=[
                        {
                            "policy": json.dumps(
                                {
                                    "Statement": {
                                        "Effect": "Allow",
                                        "NotAction": "iam:*",
                                        "Resource": "arn:aws:x:::y/z",
                                    }
                                }
                            )
                        }
                    ],
                ),
                "everything but what NotAction lists",
            ),
            (a(iam.ATTACHMENT, policyArn="arn:aws:iam::aws:policy/AdministratorAccess"), "Admin"),
        ],
        [a(iam.POLICY, policy=UNKNOWN), a(iam.ROLE, inlinePolicies=UNKNOWN)],
    ),
    "no-secret-in-user-data": Cases(
        [a(secrecy.INSTANCE, userData="#cloud-config\npackages: [python3]\n"), a(secrecy.INSTANCE)],
        [
            (a(secrecy.INSTANCE, userData=KEY), "userData holds a private key"),
            (a(secrecy.INSTANCE, userData=Marked("anything")), "userData holds a secret"),
            (
                a(
                    secrecy.TEMPLATE,
                    userData="UHJpdmF0ZUtleSA9IEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9",
                ),
                "a WireGuard key",
            ),
            (a(secrecy.INSTANCE, userData=UNKNOWN_SECRET), "userData holds a secret"),
        ],
        [a(secrecy.INSTANCE, userData=UNKNOWN)],
    ),
    "no-secret-in-commands": Cases(
        [
            a("command:remote:Command", create="sh -s", stdin=Marked(WG)),
            Resource(
                "command:remote:Command",
                "x",
                {"create": "sh -s", "stdin": WG},
                secret_outputs=frozenset({"stdin"}),
            ),
            a("command:local:Command", create="true", stdin=UNKNOWN),
        ],
        [
            (a("command:remote:Command", create=Marked("echo x")), "create holds a secret"),
            (a("command:remote:Command", update=UNKNOWN_SECRET), "update holds a secret"),
            (a("command:local:Command", delete=f"echo '{WG}'"), "delete holds a WireGuard key"),
            (a("command:remote:Command", create="true", stdin=KEY), "does not mark as a secret"),
            (
                a(
                    "command:remote:Command",
                    create="true",
                    environment={"DSN": "postgres://u:p@db/anycastle"},
                ),
                "environment.DSN holds a password in a URL",
            ),
            (a("command:remote:Command", create=UNKNOWN, stdin=KEY), "stdin holds a private key"),
        ],
        [a("command:remote:Command", create=UNKNOWN)],
    ),
    "no-secret-in-outputs": Cases(
        [
            stack(operator_token=Marked("t"), hosts=[{"ssh_key": "/path"}], ca="-----BEGIN CERTIF"),
            stack(operator_token=UNKNOWN_SECRET),
        ],
        [
            (stack(operator_token="t"), "operator_token is called a secret"),
            (stack(operator_token=UNKNOWN), "operator_token is called a secret"),
            (stack(hosts=[{"address": KEY}]), "output hosts[0].address shows a private key"),
            (stack(id="AKIAABCDEFGHIJKLMNOP"), "an AWS access key"),
        ],
        [stack(api=UNKNOWN)],
    ),
    "database-protected": Cases(
        [a(database.DATABASE, **DATABASE)],
        [
            (a(database.DATABASE, **DATABASE | {"multiAz": False}), "stands in one zone"),
            (a(database.DATABASE, **DATABASE | {"backupRetentionPeriod": 3.0}), "3 days, not 7"),
            (a(database.DATABASE, **DATABASE | {"deletionProtection": None}), "by one call"),
            (a(database.DATABASE, **DATABASE | {"skipFinalSnapshot": True}), "no snapshot"),
        ],
        [a(database.DATABASE, multiAz=UNKNOWN)],
    ),
    "database-tls": Cases(
        [
            a(database.DATABASE, **DATABASE),
            a(
                database.PARAMETERS,
                family="postgres17",
                parameters=[{"name": "rds.force_ssl", "value": "1"}],
            ),
            a(database.PARAMETERS, family="mysql8.0"),
        ],
        [
            (a(database.DATABASE), "the default parameters"),
            (a(database.DATABASE, **DATABASE | {"publiclyAccessible": True}), "a public address"),
            (a(database.PARAMETERS, family="postgres17"), "without TLS are allowed"),
        ],
        [a(database.PARAMETERS, family=UNKNOWN)],
    ),
    "audit-locked": Cases(
        [stack(BUCKET, *LOCKED), stack(a(encryption.BUCKET, name="logs"))],
        [
            (stack(a(encryption.BUCKET, name="audit"), *LOCKED), "the bucket has no object lock"),
            (stack(BUCKET, LOCKED[1]), "kept for no set time"),
            (stack(BUCKET, LOCKED[0]), "the bucket has no versions"),
        ],
        [
            stack(
                BUCKET, LOCKED[0], beside(BUCKET, audit.VERSIONING, versioningConfiguration=UNKNOWN)
            )
        ],
    ),
    "buckets-private": Cases(
        [stack(BUCKET, beside(BUCKET, audit.ACCESS_BLOCK, **ALL_ON))],
        [
            (stack(BUCKET), "may be made public"),
            (stack(BUCKET, beside(BUCKET, audit.ACCESS_BLOCK, blockPublicAcls=True)), "public"),
        ],
        [stack(BUCKET, beside(BUCKET, audit.ACCESS_BLOCK, blockPublicAcls=UNKNOWN))],
    ),
    "data-protected": Cases(
        [
            stack(guarded(True)),
            stack(guarded(False), name="lab"),
            stack(),
            stack(a(encryption.SECRET, recoveryWindowInDays=0)),
        ],
        [
            (stack(guarded(False)), "a change could delete it"),
            (stack(a(encryption.SECRET, recoveryWindowInDays=7)), "a change could delete it"),
            (stack(a(encryption.SECRET)), "a change could delete it"),
        ],
    ),
    "tags-required": Cases(
        [
            stack(
                a("aws:ec2/vpc:Vpc", tagsAll={"anycastle:deployment": "p", "anycastle:stack": "s"})
            ),
            stack(a("aws:ec2/route:Route"), a("command:local:Command", tagsAll={})),
        ],
        [
            (
                stack(a("aws:ec2/vpc:Vpc", tagsAll={"anycastle:deployment": "p"})),
                "it has no tag anycastle:stack",
            ),
            (
                stack(a("aws:ec2/vpc:Vpc", tagsAll={})),
                "it has no tag anycastle:deployment, anycastle:stack",
            ),
        ],
        [stack(a("aws:ec2/vpc:Vpc", tagsAll=UNKNOWN))],
    ),
}
