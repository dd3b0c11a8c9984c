# Registers the first operator's token; the database keeps a hash of it.

set -eu
cd /

printf '%s\n' "$SECRET" |
    runuser -u anycastle -- anycastle-control token admin --role admin --secret-from-stdin
