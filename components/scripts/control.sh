# Puts the API to work on its configuration, and waits until it answers.

set -eu
cd /

stamp=/run/anycastle-control.version
configured=/etc/anycastle/control.json

explain() {
    echo "the control plane's API $1; its last log lines:" >&2
    journalctl -u anycastle-control -n 30 -o cat --no-pager >&2
    exit 1
}

answers() {
    curl -fsS -o /dev/null --max-time 5 --cacert /etc/anycastle/ca.pem "$HEALTH_URL"
}

changed=no
write "$configured" 0644 "$CONTROL_SPEC" && changed=yes
systemctl enable -q anycastle-control
if [ "$changed" = yes ] || ! systemctl -q is-active anycastle-control ||
    [ "$(cat "$stamp" 2>/dev/null)" != "$VERSION" ]; then
    systemctl restart anycastle-control || explain "did not start"
    printf '%s\n' "$VERSION" >"$stamp"
fi

deadline=$(($(date +%s) + TIMEOUT))
until answers 2>/dev/null; do
    [ "$(date +%s)" -lt "$deadline" ] || explain "did not answer within $TIMEOUT s"
    sleep 0.2
done
