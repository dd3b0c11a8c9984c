# A stock client: its wg-quick file, and the tunnel up now and after each boot.

set -eu

install -d -m 0700 /etc/wireguard
systemctl enable -q "wg-quick@$DEVICE"
if write "/etc/wireguard/$DEVICE.conf" 0600 "$CONFIGURATION" || ! systemctl -q is-active "wg-quick@$DEVICE"; then
    systemctl restart "wg-quick@$DEVICE"
fi
