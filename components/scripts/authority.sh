# The deployment's certificate authority, which signs node and API certificates. The
# user that it belongs to is made along with the database.

set -eu

changed=no
write /etc/anycastle/ca.pem 0644 "$CERTIFICATE" && changed=yes
write /etc/anycastle/ca.key 0600 "$PRIVATE_KEY" && changed=yes
chown anycastle:anycastle /etc/anycastle/ca.key
if [ "$changed" = yes ] && systemctl -q is-active anycastle-control; then
    systemctl restart anycastle-control
fi
