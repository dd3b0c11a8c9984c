"""The deployment of one stack: settings, components, outputs."""

from components.client import Client, ClientArgs
from components.control_plane import ControlPlane, ControlPlaneArgs
from components.datacentre import Datacentre, DatacentreArgs
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
datacentres = [
    Datacentre(
        datacentre.name,
        DatacentreArgs(
            deployment=deployment,
            datacentre=datacentre,
            world=worlds.of(datacentre),
            bundle=agent_bundle,
            secrets=secrets,
            control_plane=control_plane,
        ),
    )
    for datacentre in deployment.datacentres
]

nodes = [node for datacentre in datacentres for node in datacentre.nodes]
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
