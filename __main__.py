"""The deployment of one stack: settings, components, outputs."""

import os

import pulumi

from components import foundations, quiet
from components.client import Client, ClientArgs
from components.datacentre import Datacentre, DatacentreArgs
from components.node import Node
from components.outputs import export
from components.peering import Mesh
from components.previous import Previous
from components.settings import load
from components.settling import settled
from components.worlds import Worlds

quiet.hush(os.environ)
settings = load()
worlds = Worlds(settings)
foundation = foundations.make(settings, worlds)
mesh = Mesh(settings.deployment)
if settings.lab is None:
    Previous("previous")

datacentres: list[Datacentre] = []
nodes: list[Node] = []
for datacentre in settings.datacentres:
    args = DatacentreArgs(
        deployment=settings.deployment,
        datacentre=datacentre,
        world=worlds.of(datacentre),
        bundle=worlds.bundle_of(datacentre),
        foundation=foundation,
        mesh=mesh,
        after=nodes[-1] if nodes else None,
    )
    datacentres.append(Datacentre(datacentre.name, args))
    nodes += datacentres[-1].nodes

for host in worlds.clients:
    Client(host.name, ClientArgs(host=host, nodes=nodes, foundation=foundation))

export(
    settings,
    foundation,
    [
        *foundation.hosts,
        *worlds.hosts,
        *(host for datacentre in datacentres for host in datacentre.hosts),
    ],
    {name: texts for each in datacentres for name, texts in each.routers.items()},
)


async def main() -> None:
    await settled(node.ready for node in nodes)


pulumi.run(main)
