# One iBGP peer of the node. A running agent takes it up without dropping a session.

set -eu

if write "/etc/anycastle/peers.d/$NAME.json" 0644 "$PEER" && systemctl -q is-active anycastle-agent; then
    systemctl reload anycastle-agent
fi
