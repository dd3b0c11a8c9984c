"""The lab: a whole internet in miniature, on one machine (docs/lab.md draws it).

Plan, pure:
    settings     what a stack file says about the lab's world
    world        the shape of a plan: hosts, links, files (frozen structs)
    topology     deployment + settings -> world
    kinds        what a host of each kind has on its disk and in its kernel
    routing      who speaks BGP with whom
    routers/     BIRD's and FRR's configuration of cores and edges
    layout       names and paths of what a lab makes on the machine
    wiring       lines for `ip -batch`

On the machine:
    ip           the `ip` command: namespaces, links, addresses
    cgroup       a container's processes as one thing that can be killed
    disk         files on a host, whether it runs or not
    container    boot of a host under systemd-nspawn
    registry     which labs stand on this machine, and their numbers
    network, disks, hosts, links, edge_peers
                 create, update, read and delete one of them (what the provider calls)
    power        kill, start and list hosts; `python -m components.lab.power`
    sweep        remove a lab in whatever state; `python -m components.lab.sweep`

Pulumi:
    provider     a dynamic provider's calls, from and to plain dicts
    resources    its resources: Network, Disk, Host, Link, EdgePeer
    machines     a plan as resources, and as hosts that bootstrap can work with
    login        the lab's SSH key
    lab          the components that make up the world
"""
