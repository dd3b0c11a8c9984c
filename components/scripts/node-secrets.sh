# What only the node may know. The agent removes the join token after it has joined.

set -eu

install -d -m 0755 /etc/anycastle
write /etc/anycastle/control-ca.pem 0644 "$CONTROL_CA" || :
write /etc/anycastle/join.token 0600 "$JOIN_TOKEN" || :
if write /etc/anycastle/service.key 0600 "$SERVICE_KEY" && systemctl -q is-active anycastle-agent; then
    systemctl restart anycastle-agent
fi
