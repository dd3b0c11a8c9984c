# The deployment's certificate authority, which signs node and API certificates.

set -eu

id anycastle >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin anycastle
changed=no
write /etc/anycastle/ca.pem 0644 "$CERTIFICATE" && changed=yes
write /etc/anycastle/ca.key 0600 "$PRIVATE_KEY" && changed=yes
chown anycastle:anycastle /etc/anycastle/ca.key
if [ "$changed" = yes ]; then
    systemctl try-restart anycastle-control 2>/dev/null || :
fi
