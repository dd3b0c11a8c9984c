#!/bin/sh
# Installs the bundle that this file lies in, as root, on Debian 12, without any network.
# Idempotent. Neither enables nor starts a unit. Prints the version.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
role=$(cat "$here/role")
version=$(cat "$here/version")
base=/opt/anycastle
target=$base/versions/$version

if [ ! -e "$target/complete" ]; then
    rm -rf "$target"
    mkdir -p "$base/versions"
    /usr/bin/python3 -m venv --without-pip "$target"
    /usr/bin/python3 "$here/unpack.py" "$here" "$target"
    # Proves that the entry point loads before anything points to it, and compiles what it loads once,
    # as root: the service itself may not be allowed to write there.
    "$target/bin/python" -c "import anycastle.$role.main"
    touch "$target/complete"
fi

# Flip the link in one step; keep the version that it showed before, remove older ones.
previous=$(readlink "$base/current" 2>/dev/null || true)
if [ "$previous" != "versions/$version" ]; then
    ln -sfn "versions/$version" "$base/.current.new"
    mv -T "$base/.current.new" "$base/current"
    [ -z "$previous" ] || ln -sfn "$previous" "$base/previous"
fi
previous=$(readlink "$base/previous" 2>/dev/null || true)
for old in "$base"/versions/*; do
    case "versions/$(basename "$old")" in
        "versions/$version" | "$previous") ;;
        *) rm -rf "$old" ;;
    esac
done

mkdir -p /usr/local/bin
ln -sfn "$base/current/bin/anycastle-$role" "/usr/local/bin/anycastle-$role"

reload=
for unit in "$target"/lib/python3*/site-packages/anycastle/"$role"/units/*; do
    [ -e "$unit" ] || continue
    if ! cmp -s "$unit" "/etc/systemd/system/$(basename "$unit")"; then
        install -m 644 "$unit" /etc/systemd/system/
        reload=yes
    fi
done
# In a root that is not booted (an image under construction) there is no systemd to tell.
if [ -n "$reload" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
echo "$version"
