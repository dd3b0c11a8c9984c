# Puts the addresses of a point-to-point link on a device, now and at each boot. Whatever
# else the device has stays as it is.

set -eu

if ! ip link show dev "$NIC" >/dev/null 2>&1; then
    echo "this host has no network device $NIC; it has: $(ls /sys/class/net | tr '\n' ' ')" >&2
    exit 1
fi

unit=/etc/systemd/system/anycastle-uplink-$NIC.service
# What an earlier setting put there and this one does not.
if [ -f "$unit" ]; then
    for old in $(sed -n 's/^ExecStart=.* replace \([^ ]*\) dev .*/\1/p' "$unit"); do
        case " $ADDRESSES " in
            *" $old "*) ;;
            *) ip address delete "$old" dev "$NIC" 2>/dev/null || : ;;
        esac
    done
fi

text="[Unit]
Description=Addresses of the uplink $NIC
After=network.target
Before=anycastle-agent.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip link set dev $NIC up"
for address in $ADDRESSES; do
    text="$text
ExecStart=/sbin/ip address replace $address dev $NIC"
done
text="$text

[Install]
WantedBy=multi-user.target"

if write "$unit" 0644 "$text"; then
    systemctl daemon-reload
fi
systemctl enable -q "anycastle-uplink-$NIC"
systemctl restart "anycastle-uplink-$NIC"
