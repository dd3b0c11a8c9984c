"""What the lab's dynamic provider does at each call, from and to plain dicts.

`resources` has the classes, which Pulumi pickles; they import this module inside
their methods. Inputs of every resource include `lab`, the lab's name. A difference is
looked for in the inputs that a resource names only, so other code is no difference.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anycastle.model.codec import from_plain
from components.lab import disks, edge_peers, hosts, links, network
from components.lab.layout import Layout
from components.lab.world import Link

Properties = dict[str, Any]


def create_network(inputs: Properties) -> Properties:
    return inputs | {"index": network.create(_layout(inputs))}


def read_network(state: Properties) -> Properties | None:
    return state if network.present(int(state["index"])) else None


def delete_network(state: Properties) -> None:
    network.delete(_layout(state), int(state["index"]))


def create_disk(inputs: Properties) -> Properties:
    public, private = _key_pair()
    layout = _layout(inputs)
    record = disks.create(layout, inputs["host"], disks.chosen_image(layout), private)
    return inputs | {
        "incarnation": record.incarnation,
        "host_key": public,
        "private_key": private,
    }


def read_disk(state: Properties) -> Properties | None:
    record = disks.load(_layout(state), state["host"])
    if record is None or record.incarnation != state["incarnation"]:
        return None
    return state


def delete_disk(state: Properties) -> None:
    disks.delete(_layout(state), state["host"])


def create_host(inputs: Properties) -> Properties:
    layout, record = _layout(inputs), _record(inputs)
    hosts.create(layout, record)
    return inputs | _observed(layout, record.host.name)


def update_host(state: Properties, inputs: Properties) -> Properties:
    layout, record = _layout(inputs), _record(inputs)
    hosts.update(layout, _record(state), record)
    return inputs | _observed(layout, record.host.name)


def read_host(state: Properties) -> Properties | None:
    """A dead host is still there, but not running: the next update starts it."""
    layout, name = _layout(state), _record(state).host.name
    if hosts.read(layout, name) is None:
        return None
    return state | _observed(layout, name)


def delete_host(state: Properties) -> None:
    hosts.delete(_layout(state), _record(state).host.name)


def create_link(inputs: Properties) -> Properties:
    links.create(_layout(inputs), _link(inputs))
    return inputs | {"up": True}


def update_link(state: Properties, inputs: Properties) -> Properties:
    links.update(_layout(inputs), _link(state), _link(inputs))
    return inputs | {"up": True}


def read_link(state: Properties) -> Properties | None:
    """A cable that is cut or gone is not up: the next update puts it right."""
    return state | {"up": links.up(_layout(state), _link(state))}


def delete_link(state: Properties) -> None:
    links.delete(_layout(state), _link(state))


def create_edge_peer(inputs: Properties) -> Properties:
    edge_peers.put(_layout(inputs), inputs["edge"], inputs["node"], inputs["block"])
    return inputs


def update_edge_peer(_: Properties, inputs: Properties) -> Properties:
    return create_edge_peer(inputs)


def read_edge_peer(state: Properties) -> Properties:
    """It lies on the edge's disk, and is gone when that is."""
    return state


def delete_edge_peer(state: Properties) -> None:
    edge_peers.remove(_layout(state), state["edge"], state["node"])


def _key_pair() -> tuple[str, str]:
    """(public, private) ed25519 key in OpenSSH's text format."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return public.decode(), private.decode()


def _layout(properties: Properties) -> Layout:
    return Layout.of(properties["lab"])


def _record(properties: Properties) -> hosts.HostRecord:
    names = ("host", "index", "incarnation", "authorized_key")
    return from_plain(_whole({name: properties[name] for name in names}), hosts.HostRecord)


def _link(properties: Properties) -> Link:
    return from_plain(_whole(properties["link"]), Link)


def _whole(value: Any) -> Any:
    """Pulumi's wire format knows floats only; the plan's numbers are whole."""
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole(member) for member in value]
    return int(value) if isinstance(value, float) else value


def _observed(layout: Layout, host: str) -> Properties:
    observed = hosts.read(layout, host)
    assert observed is not None
    return {"running": observed.running, "boot": observed.boot}
