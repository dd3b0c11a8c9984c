# Installs the bundle that was copied to $ARCHIVE. It starts nothing.

set -eu

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
tar -xf "$ARCHIVE" -C "$unpacked"
sh "$unpacked/install.sh" </dev/null
