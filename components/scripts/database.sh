# Postgres with a role and a database of the control plane's own.

set -eu
cd /

exists() { # exists QUERY
    [ "$(runuser -u postgres -- psql -qtAX -c "$1")" = 1 ]
}

if ! command -v pg_lsclusters >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -qy --no-install-recommends postgresql
fi
if [ -z "$(pg_lsclusters -h)" ]; then
    version=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1)
    pg_createcluster "$version" main
fi
systemctl enable -q postgresql
systemctl start postgresql

id anycastle >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin anycastle
exists "SELECT 1 FROM pg_roles WHERE rolname = 'anycastle'" || runuser -u postgres -- createuser anycastle
exists "SELECT 1 FROM pg_database WHERE datname = 'anycastle'" || runuser -u postgres -- createdb -O anycastle anycastle
