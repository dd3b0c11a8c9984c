"""The WireGuard device behind one edge: in the kernel, or by wireguard-go.

edge       what the rest of the agent sees: structs, operations, the protocol
netlink    messages of the kernel's generic-netlink family, pure
kernel     the edge over them
uapi       text of the userspace configuration protocol, pure
userspace  the edge over wireguard-go's socket
buffers    room in wireguard-go's sockets
choose     which of the two a node uses
fake       the edge in memory, for tests
"""
