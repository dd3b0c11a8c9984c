"""The agent's BGP speaker: two iBGP sessions to the node's own daemon.

wire        numbers of the protocol, its errors, prefixes in bytes (pure)
attributes  path attributes (pure)
messages    OPEN, UPDATE, NOTIFICATION, KEEPALIVE (pure)
fsm         the session's state machine (pure)
session     one TCP connection at a time, driven by fsm; the only I/O
routes      client routes, anycast routes and beacons as path attributes (pure)
ribs        what is to be sent, what was heard (pure)
sides       what each of the two sessions announces and hears
speaker     the two sessions together; what the agent's loop talks to
"""
