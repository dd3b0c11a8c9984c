# The node's iBGP peers. A running agent takes the change up without dropping another session.

set -eu

if write /etc/anycastle/peers.json 0644 "$PEERS" && systemctl -q is-active anycastle-agent; then
    systemctl reload anycastle-agent
fi
