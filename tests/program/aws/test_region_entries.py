"""How clients reach a region, and how regions reach each other."""

from __future__ import annotations

from tests.program.graph import Graph, document

TARGETS = "aws:lb/targetGroup:TargetGroup"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
PROPAGATION = "aws:vpc/routeServerPropagation:RouteServerPropagation"


def test_a_client_stays_with_its_node_and_its_address(dublin: Graph) -> None:
    (targets,) = dublin.of_type(TARGETS)
    assert targets.inputs["protocol"] == "UDP"
    assert targets.inputs["port"] == 51820
    assert targets.inputs["stickiness"] == {"enabled": True, "type": "source_ip"}
    assert targets.inputs["preserveClientIp"] == "true"


def test_the_agent_decides_and_a_flow_moves_at_once(dublin: Graph) -> None:
    (targets,) = dublin.of_type(TARGETS)
    check = targets.inputs["healthCheck"]
    assert (check["protocol"], check["port"], check["path"]) == ("HTTP", "9178", "/readyz")
    assert check["interval"] * check["unhealthyThreshold"] <= 10
    assert targets.inputs["deregistrationDelay"] == 0
    assert targets.inputs["connectionTermination"] is True
    # AWS has these for TCP and TLS alone.
    assert "targetHealthStates" not in targets.inputs


def test_each_node_is_a_target(dublin: Graph) -> None:
    targets = dublin.of_type("aws:lb/targetGroupAttachment:TargetGroupAttachment")
    found = {one.name: one.inputs["targetId"] for one in targets}
    assert found == {
        "dub-1/target": "10.20.0.38",
        "dub-2/target": "10.20.16.40",
        "dub-3/target": "10.20.32.42",
    }


def test_the_accelerator_sends_to_an_internal_load_balancer(dublin: Graph) -> None:
    (balancer,) = dublin.of_type(BALANCER)
    assert balancer.inputs["internal"] is True
    assert len(balancer.inputs["subnets"]) == 3
    # Without a security group the client's address would be lost on the way.
    assert balancer.inputs["securityGroups"] == ["id of dub/nlb/group"]
    group = dublin.named("dub/accelerator")
    assert group.inputs["listenerArn"] == "arn of the listener"
    assert group.inputs["endpointGroupRegion"] == "eu-west-1"
    (endpoint,) = group.inputs["endpointConfigurations"]
    assert endpoint["endpointId"] == "arn of dub/nlb"
    assert endpoint["clientIpPreservationEnabled"] is True


def test_a_load_balancer_of_its_own_has_addresses_that_last(by_nlb: Graph) -> None:
    (balancer,) = by_nlb.of_type(BALANCER)
    assert balancer.inputs["internal"] is False
    zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert balancer.inputs["subnetMappings"] == [
        {
            "subnetId": f"id of dub/network/public/{zone}",
            "allocationId": f"id of dub/nlb/{zone}",
        }
        for zone in zones
    ]
    assert all(by_nlb.named(f"dub/nlb/{zone}").protect for zone in zones)
    assert by_nlb.outputs["entries"] == {"dub": [f"publicIp of dub/nlb/{zone}" for zone in zones]}
    assert not by_nlb.of_type("aws:globalaccelerator/endpointGroup:EndpointGroup")


def test_a_route_server_as_entry_needs_no_load_balancer(by_route_server: Graph) -> None:
    assert not by_route_server.of_type(BALANCER)
    assert not by_route_server.of_type(TARGETS)
    tables = {one.name for one in by_route_server.of_type(PROPAGATION)}
    assert tables == {f"dub/route-server/{kind}" for kind in ("public", "private", "internet")}
    internet = by_route_server.named("dub/route-server/internet", "RouteTableAssociation")
    assert internet.inputs["gatewayId"] == "id of dub/network/gateway"


def test_the_return_path_is_in_the_tables_of_the_subnets(dublin: Graph) -> None:
    tables = {one.name: one.inputs["routeTableId"] for one in dublin.of_type(PROPAGATION)}
    assert tables == {
        "dub/route-server/public": "id of dub/network/public",
        "dub/route-server/private": "id of dub/network/private",
    }


def test_a_node_peers_with_the_endpoints_of_its_zone(dublin: Graph) -> None:
    peer = dublin.named("dub-2/route-server/1")
    assert peer.inputs["routeServerEndpointId"] == (
        "routeServerEndpointId of dub/route-server/eu-west-1b/1"
    )
    assert peer.inputs["peerAddress"] == "10.20.16.40"
    assert peer.inputs["bgpOptions"] == {"peerAsn": 64512, "peerLivenessDetection": "bfd"}
    (edge,) = document(dublin.named("dub-2/agent"), "NODE_SPEC")["edges"]
    assert (edge["name"], edge["asn"], edge["device"]) == ("rs-eu-west-1b-1", 65011, "ens5")
    assert edge["local4"] == "10.20.16.40/20"
    assert edge["remote4"].startswith("10.99.")
    assert edge["bfd"] == {"interval": 300, "multiplier": 3}


def test_without_a_route_server_there_are_no_edges(virginia: Graph) -> None:
    assert document(virginia.named("iad-1/agent"), "NODE_SPEC")["edges"] == []
    assert not virginia.of_type("aws:vpc/routeServer:RouteServer")


def test_the_region_with_the_higher_ids_makes_the_peering(dublin: Graph, virginia: Graph) -> None:
    kind = "aws:ec2/vpcPeeringConnection:VpcPeeringConnection"
    assert not dublin.of_type(kind)
    (peering,) = virginia.of_type(kind)
    assert (peering.inputs["peerVpcId"], peering.inputs["peerRegion"]) == ("vpc-dub", "eu-west-1")
    accepted = virginia.named("iad/peering/dub", "Accepter")
    assert accepted.inputs["region"] == "eu-west-1"
    near, far = (virginia.named(f"iad/peering/dub/{end}") for end in ("near", "far"))
    assert near.inputs["destinationCidrBlock"] == "10.20.0.0/16"
    assert near.inputs["region"] == "us-east-1"
    assert far.inputs["destinationCidrBlock"] == "10.30.0.0/16"
    assert (far.inputs["routeTableId"], far.inputs["region"]) == ("rtb-dub", "eu-west-1")
    assert accepted.urn in far.dependencies


def test_what_later_regions_read_is_an_output(dublin: Graph) -> None:
    ids = {"vpc": "id of dub/network/vpc", "table": "id of dub/network/public"}
    assert dublin.outputs["networks"] == {"dub": ids}
