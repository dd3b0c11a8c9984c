# Waits for cloud-init, which installs packages on a new instance, and says what it lacks.

set -eu

cloud-init status --wait >/dev/null || {
    echo "cloud-init did not end well on this host:" >&2
    cloud-init status --long >&2
    exit 1
}
for package in $PACKAGES; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || {
        echo "cloud-init did not install $package; see /var/log/cloud-init-output.log" >&2
        exit 1
    }
done
# The daemons belong to the agent: Debian starts them with configurations of its own.
for unit in bird frr; do
    ! systemctl -q is-enabled "$unit" 2>/dev/null || systemctl disable -q --now "$unit"
done
