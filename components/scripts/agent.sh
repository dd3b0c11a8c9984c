# Puts the agent to work on its node spec, and waits until it says that it is ready.
#
# A spec that differs is a reload; another version, or an agent that does not run, is a
# start. The stamp lies in /run, so a reboot forgets it along with the process.

set -eu

stamp=/run/anycastle-agent.version

explain() {
    echo "the agent of this node did not start; its last log lines:" >&2
    journalctl -u anycastle-agent -n 30 -o cat --no-pager >&2
    exit 1
}

changed=no
write /etc/anycastle/node.json 0644 "$NODE_SPEC" && changed=yes
systemctl enable -q anycastle-agent

if ! systemctl -q is-active anycastle-agent || [ "$(cat "$stamp" 2>/dev/null)" != "$VERSION" ]; then
    systemctl restart anycastle-agent || explain
    printf '%s\n' "$VERSION" >"$stamp"
elif [ "$changed" = yes ]; then
    systemctl reload anycastle-agent || explain
fi
exec anycastle-agent wait-ready --timeout "$TIMEOUT" </dev/null
