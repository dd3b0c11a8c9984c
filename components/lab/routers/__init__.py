"""Configuration of the lab's routers: cores, and the edge routers of its datacentres.

model      what a router has to know (frozen structs)
policy     which prefixes go where, the same for both daemons
bird, frr  the daemon's own language; pure functions
edge_peer  one node's sessions on its edge: text, and the script that takes it up
"""
