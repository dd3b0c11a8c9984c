# A stock client: its wg-quick file, and the tunnel up now and after each boot.

set -eu

unit=wg-quick@$DEVICE

install -d -m 0700 /etc/wireguard
# A client shares its cores with the nodes, whose daemons go first. On a machine of its own it
# would not wait for them, and its small buffers not overflow meanwhile.
if write "/etc/systemd/system/$unit.service.d/priority.conf" 0644 "[Service]
Nice=-10"; then
    systemctl daemon-reload
    systemctl -q is-active "$unit" && systemctl stop "$unit"
fi
systemctl enable -q "$unit"
if write "/etc/wireguard/$DEVICE.conf" 0600 "$CONFIGURATION" || ! systemctl -q is-active "$unit"; then
    systemctl restart "$unit" || {
        echo "the tunnel of this client did not come up; its last log lines:" >&2
        journalctl -u "$unit" -n 15 -o cat --no-pager >&2
        exit 1
    }
fi
