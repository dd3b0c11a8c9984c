# How the API reaches the database in RDS: certificates of its CA, and the password in a
# file of libpq's own (postgresql.org, 34.16). The certificates come by HTTPS from AWS.

set -eu

id anycastle >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin anycastle
install -d -m 0755 /etc/anycastle
if [ ! -s /etc/anycastle/rds.pem ]; then
    curl -fsS --retry 5 --proto =https -o /etc/anycastle/rds.pem.new "$CERTIFICATES_URL"
    grep -q 'BEGIN CERTIFICATE' /etc/anycastle/rds.pem.new
    mv /etc/anycastle/rds.pem.new /etc/anycastle/rds.pem
fi
write /etc/anycastle/pgpass 0600 "$PASSFILE" || :
chown anycastle:anycastle /etc/anycastle/pgpass
