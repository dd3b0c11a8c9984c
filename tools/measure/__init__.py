"""Measured traffic in a lab, to the packet: what the demo shows, benchmarks and tests count.

One process sends and receives for all hosts (`prober`): it holds a socket in every host's
network namespace, so that both ends of a stream are told by the same clock, a loss has a
direction, and nothing has to be installed or started on a host.

netns      sockets in other network namespaces
wire       what the process is asked and what it answers
streams    one UDP echo stream: what was sent, echoed, answered; pure
transfer   one TCP transfer
prober     the process
probing    the process as its user sees it
switch     takeover on and off on a lab's nodes
"""
