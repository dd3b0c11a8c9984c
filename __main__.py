"""The deployment of one stack: settings, components, outputs."""

from components.client import Client, ClientArgs
from components.control_plane import ControlPlane, ControlPlaneArgs
from components.datacentre import Datacentre, DatacentreArgs
from components.node import Node
from components.outputs import export
from components.secrets import DeploymentSecrets, DeploymentSecretsArgs
from components.settings import load
from components.worlds import Worlds
from tools import bundle

settings = load()
deployment = settings.deployment
worlds = Worlds(settings)

secrets = DeploymentSecrets("secrets", DeploymentSecretsArgs(deployment=deployment.name))

control_plane = ControlPlane(
    worlds.control.name,
    ControlPlaneArgs(
        host=worlds.control,
        deployment=deployment,
        secrets=secrets,
        bundle=bundle.build("control"),
    ),
)

agent_bundle = bundle.build("agent")
datacentres: list[Datacentre] = []
nodes: list[Node] = []
for datacentre in deployment.datacentres:
    args = DatacentreArgs(
        deployment=deployment,
        datacentre=datacentre,
        world=worlds.of(datacentre),
        bundle=agent_bundle,
        secrets=secrets,
        control_plane=control_plane,
        after=nodes[-1] if nodes else None,
    )
    datacentres.append(Datacentre(datacentre.name, args))
    nodes += datacentres[-1].nodes

clients = [
    Client(
        host.name,
        ClientArgs(host=host, nodes=nodes, control_plane=control_plane, secrets=secrets),
    )
    for host in worlds.clients
]

export(
    deployment,
    secrets,
    control_plane,
    [*worlds.hosts, *(host for datacentre in datacentres for host in datacentre.hosts)],
)
