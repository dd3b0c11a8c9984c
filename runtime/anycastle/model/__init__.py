"""What the parts of Anycastle say to each other: frozen structs, no I/O.

addresses   address types, and the arithmetic that hands addresses out
deployment  what one anycast service consists of, as written in a stack file
node        what one node has to know to do its work (its node spec)
client      enrolled devices and their credentials
feed        the frames of the control feed
status      what a node reports about itself
api         bodies of the operators' and agents' HTTP API
control     configuration of a control-plane host
codec       JSON, MessagePack and plain objects in and out, errors with a path

Every other package imports this one; this one imports msgspec and the standard
library only (a unit test holds it to that).
"""
