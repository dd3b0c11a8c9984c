# Brings the agent that runs to this version and this node spec, and waits until it says that
# it is ready. The nodes of a deployment do this one after another.
#
# A spec that differs is a reload, after which the agent starts again by itself where it has
# to; another version is a restart. Either way it leaves service in good order first.

set -eu

stamp=/run/anycastle-agent.applied

explain() {
    echo "the agent of this node did not start; its last log lines:" >&2
    journalctl -u anycastle-agent -n 30 -o cat --no-pager >&2
    exit 1
}

applied() {
    sed -n "$1p" "$stamp" 2>/dev/null || :
}

digest=$(printf '%s' "$NODE_SPEC" | sha256sum)
if ! systemctl -q is-active anycastle-agent || [ "$(applied 1)" != "$VERSION" ]; then
    systemctl restart anycastle-agent || explain
elif [ "$(applied 2)" != "$digest" ]; then
    systemctl reload anycastle-agent || explain
fi
printf '%s\n' "$VERSION" "$digest" >"$stamp"
exec anycastle-agent wait-ready --timeout "$TIMEOUT" </dev/null
