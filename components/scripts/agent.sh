# Gives the agent its node spec, and starts it where it does not run.
#
# An agent that runs stays as it is: what it works with changes in `roll`, one node after
# another. The stamp says what that is; it lies in /run, so a reboot forgets it along with
# the process.

set -eu

stamp=/run/anycastle-agent.applied

explain() {
    echo "the agent of this node did not start; its last log lines:" >&2
    journalctl -u anycastle-agent -n 30 -o cat --no-pager >&2
    exit 1
}

write /etc/anycastle/node.json 0644 "$NODE_SPEC" || :
systemctl enable -q anycastle-agent

if systemctl -q is-active anycastle-agent; then
    exit 0
fi
systemctl restart anycastle-agent || explain
digest=$(printf '%s' "$NODE_SPEC" | sha256sum)
printf '%s\n' "$VERSION" "$digest" >"$stamp"
exec anycastle-agent wait-ready --timeout "$TIMEOUT" </dev/null
