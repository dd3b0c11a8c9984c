"""Properties whose change replaces a resource.

The Python SDK does not carry this; the table follows the provider's own schema (`ForceNew` of the AWS
provider 6, which Pulumi's 7 is built on) for the types that the stacks use. A test holds the stacks'
types against it, so that a new type gets its line. A dotted entry is a property inside of another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

NAMES = frozenset({"name", "namePrefix"})
BUCKET = frozenset({"bucket", "expectedBucketOwner"})

ALWAYS = frozenset({"region"})
"""Of every AWS resource."""


def _of(*properties: str) -> frozenset[str]:
    return frozenset(properties)


REPLACING: Mapping[str, frozenset[str]] = {
    "aws:acm/certificate:Certificate": _of("domainName", "subjectAlternativeNames"),
    "aws:cloudwatch/logGroup:LogGroup": NAMES | {"logGroupClass"},
    "aws:cloudwatch/metricAlarm:MetricAlarm": _of("name"),
    "aws:ebs/volume:Volume": _of("availabilityZone", "encrypted", "kmsKeyId", "snapshotId"),
    "aws:ec2/egressOnlyInternetGateway:EgressOnlyInternetGateway": _of("vpcId"),
    "aws:ec2/eip:Eip": _of("domain", "address", "networkBorderGroup", "publicIpv4Pool"),
    "aws:ec2/eipAssociation:EipAssociation": _of(
        "allocationId", "instanceId", "networkInterfaceId", "privateIpAddress", "publicIp"
    ),
    "aws:ec2/flowLog:FlowLog": _of(
        "destinationOptions", "iamRoleArn", "logDestination", "logDestinationType", "logFormat",
        "maxAggregationInterval", "subnetId", "trafficType", "vpcId",
    ),
    "aws:ec2/instance:Instance": _of(
        "ami", "associatePublicIpAddress", "availabilityZone", "cpuOptions", "enclaveOptions",
        "ephemeralBlockDevices", "hibernation", "hostId", "keyName", "networkInterfaces",
        "placementGroup", "primaryNetworkInterface", "privateIp", "rootBlockDevice.deviceName",
        "rootBlockDevice.encrypted", "rootBlockDevice.kmsKeyId", "subnetId", "tenancy",
    ),
    "aws:ec2/internetGateway:InternetGateway": _of(),
    "aws:ec2/keyPair:KeyPair": _of("keyName", "keyNamePrefix", "publicKey"),
    "aws:ec2/launchTemplate:LaunchTemplate": NAMES,
    "aws:ec2/managedPrefixList:ManagedPrefixList": _of("addressFamily"),
    "aws:ec2/managedPrefixListEntry:ManagedPrefixListEntry": _of("cidr", "prefixListId"),
    "aws:ec2/natGateway:NatGateway": _of("allocationId", "connectivityType", "privateIp", "subnetId"),
    "aws:ec2/networkInterface:NetworkInterface": _of("interfaceType", "subnetId"),
    "aws:ec2/networkInterfaceAttachment:NetworkInterfaceAttachment": _of(
        "deviceIndex", "instanceId", "networkInterfaceId"
    ),
    "aws:ec2/placementGroup:PlacementGroup": _of("name", "partitionCount", "spreadLevel", "strategy"),
    "aws:ec2/route:Route": _of(
        "destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId", "routeTableId"
    ),
    "aws:ec2/routeTable:RouteTable": _of("vpcId"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _of("gatewayId", "subnetId"),
    "aws:ec2/securityGroup:SecurityGroup": NAMES | {"description", "vpcId"},
    "aws:ec2/subnet:Subnet": _of(
        "availabilityZone", "availabilityZoneId", "cidrBlock", "ipv6Native", "outpostArn", "vpcId"
    ),
    "aws:ec2/vpc:Vpc": _of("cidrBlock", "ipv4IpamPoolId", "ipv4NetmaskLength"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _of(
        "serviceName", "serviceRegion", "vpcEndpointType", "vpcId"
    ),
    "aws:ec2/vpcPeeringConnection:VpcPeeringConnection": _of(
        "peerOwnerId", "peerRegion", "peerVpcId", "vpcId"
    ),
    "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter": _of(
        "vpcPeeringConnectionId"
    ),
    "aws:globalaccelerator/accelerator:Accelerator": _of("ipAddresses"),
    "aws:globalaccelerator/endpointGroup:EndpointGroup": _of("endpointGroupRegion", "listenerArn"),
    "aws:globalaccelerator/listener:Listener": _of("acceleratorArn"),
    "aws:iam/instanceProfile:InstanceProfile": NAMES | {"path"},
    "aws:iam/policy:Policy": NAMES | {"description", "path"},
    "aws:iam/role:Role": NAMES | {"path"},
    "aws:iam/rolePolicy:RolePolicy": NAMES | {"role"},
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _of("policyArn", "role"),
    "aws:kms/alias:Alias": NAMES,
    "aws:kms/key:Key": _of(
        "customKeyStoreId", "customerMasterKeySpec", "keyUsage", "multiRegion", "xksKeyId"
    ),
    "aws:kms/replicaKey:ReplicaKey": _of("primaryKeyArn"),
    "aws:lb/listener:Listener": _of("loadBalancerArn"),
    "aws:lb/loadBalancer:LoadBalancer": NAMES | {
        "customerOwnedIpv4Pool", "internal", "loadBalancerType"
    },
    "aws:lb/targetGroup:TargetGroup": NAMES | {
        "ipAddressType", "port", "protocol", "protocolVersion", "targetType", "vpcId"
    },
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": _of(
        "availabilityZone", "port", "targetGroupArn", "targetId"
    ),
    "aws:rds/instance:Instance": _of(
        "availabilityZone", "characterSetName", "dbName", "engine", "identifierPrefix", "kmsKeyId",
        "storageEncrypted", "username",
    ),
    "aws:rds/parameterGroup:ParameterGroup": NAMES | {"description", "family"},
    "aws:rds/subnetGroup:SubnetGroup": NAMES,
    "aws:route53/record:Record": _of("name", "setIdentifier", "type", "zoneId"),
    "aws:route53/zone:Zone": _of("delegationSetId", "name"),
    "aws:s3/bucket:Bucket": _of("bucket", "bucketPrefix", "objectLockEnabled"),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": BUCKET,
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": BUCKET,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _of("bucket"),
    "aws:s3/bucketPolicy:BucketPolicy": _of("bucket"),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _of("bucket"),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": BUCKET,
    "aws:s3/bucketVersioning:BucketVersioning": BUCKET,
    "aws:secretsmanager/secret:Secret": NAMES,
    "aws:secretsmanager/secretPolicy:SecretPolicy": _of("secretArn"),
    "aws:secretsmanager/secretVersion:SecretVersion": _of("secretBinary", "secretId", "secretString"),
    "aws:vpc/routeServer:RouteServer": _of("amazonSideAsn"),
    "aws:vpc/routeServerEndpoint:RouteServerEndpoint": _of("routeServerId", "subnetId"),
    "aws:vpc/routeServerPeer:RouteServerPeer": _of(
        "bgpOptions", "peerAddress", "routeServerEndpointId"
    ),
    "aws:vpc/routeServerPropagation:RouteServerPropagation": _of("routeServerId", "routeTableId"),
    "aws:vpc/routeServerVpcAssociation:RouteServerVpcAssociation": _of("routeServerId", "vpcId"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _of("securityGroupId"),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _of("securityGroupId"),
    "command:local:Command": _of("triggers"),
    "command:remote:Command": _of("triggers"),
    "command:remote:CopyToRemote": _of("triggers"),
}  # fmt: skip

CONDITIONAL: Mapping[str, Mapping[str, str]] = {
    "aws:ec2/instance:Instance": {
        "userData": "userDataReplaceOnChange",
        "userDataBase64": "userDataReplaceOnChange",
    },
}
"""Type -> property -> the input that, when true, makes a change of the property replace."""


def replaces(token: str, path: str, inputs: Mapping[str, object]) -> bool:
    """Whether a change at `path` (Pulumi's notation) of a `token` with these new inputs replaces it."""
    plain = re.sub(r"\[\d+\]", "", path)
    wanted = REPLACING.get(token, frozenset()) | (ALWAYS if token.startswith("aws:") else set())
    if any(plain == entry or plain.startswith(f"{entry}.") for entry in wanted):
        return True
    switch = CONDITIONAL.get(token, {}).get(plain)
    return switch is not None and inputs.get(switch) is True
