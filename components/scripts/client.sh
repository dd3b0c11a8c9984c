# A stock client: its wg-quick file, and the tunnel up now and after each boot.

set -eu

unit=wg-quick@$DEVICE

install -d -m 0700 /etc/wireguard
systemctl enable -q "$unit"
if write "/etc/wireguard/$DEVICE.conf" 0600 "$CONFIGURATION" || ! systemctl -q is-active "$unit"; then
    systemctl restart "$unit" || {
        echo "the tunnel of this client did not come up; its last log lines:" >&2
        journalctl -u "$unit" -n 15 -o cat --no-pager >&2
        exit 1
    }
fi
