# The node reads its secrets itself, from Secrets Manager: bootstrap carries names only.

set -eu

install -d -m 0755 /etc/anycastle
write /etc/anycastle/control-ca.pem 0644 "$CONTROL_CA" || :
fingerprint() {
    sha256sum /etc/anycastle/service.key 2>/dev/null || :
}
before=$(fingerprint)
# VERSIONS names those of the secrets: another one runs this again.
: "$VERSIONS"
anycastle-agent fetch-secrets --service-key "$SERVICE_KEY_ARN" --join-token "$JOIN_TOKEN_ARN" </dev/null
if [ "$(fingerprint)" != "$before" ] && systemctl -q is-active anycastle-agent; then
    systemctl restart anycastle-agent
fi
