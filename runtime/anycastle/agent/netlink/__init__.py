"""Links, addresses, routes, rules and sysctls of one network namespace.

edge        structs, operations and the protocol that the agent sees
kernel      the edge over rtnetlink and /proc/sys
messages    rtnetlink messages of those structs, pure; pyroute2 has the layouts
socket      netlink requests, dumps and errors; WireGuard's edge uses it, too
attributes  type-length-value attributes, pure
watch       wakes the loop when something changes
fake        the edge in memory, for tests

pyroute2 encodes and decodes the messages. Its sockets are not used: they keep an
event loop and a socket for each thread that calls them, and the agent wants one
socket that blocks.
"""
