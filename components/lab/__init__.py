"""The lab: a whole internet in miniature, on one machine.

settings     what a stack file says about the lab's world
world        the shape of a plan: hosts, links, files (frozen structs)
topology     deployment + settings -> world; pure
kinds        what a host of each kind has on its disk and in its kernel; pure
routers/     BIRD's and FRR's configuration of cores and edges; pure
inventory    the list of hosts that people and tests work with; pure
layout       names and paths of what a lab makes on the machine; pure

ip           the `ip` command: namespaces, links, addresses
cgroup       a container's processes as one thing that can be killed
disk         files on a host, whether it runs or not
container    boot of a host under systemd-nspawn
registry     which labs stand on this machine, and their numbers
network, disks, hosts, links, edge_peers
             create, update, read and delete one of them (what the provider calls)
power        kill, start and list hosts; `python -m components.lab.power`
sweep        remove a lab in whatever state; `python -m components.lab.sweep`

provider     a dynamic provider's calls, from and to plain dicts
resources    its resources: Network, Disk, Host, Link, EdgePeer
lab          the components that make up the world
"""
