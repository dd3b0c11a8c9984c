#!/bin/sh
# edge-peer set NODE < block   take the sessions with a node up
# edge-peer remove NODE        take them away
# edge-peer reload             take a new base configuration up
# edge-peer assemble           write what the daemon reads when it starts (FRR)
#
# The daemon's own parser judges the whole configuration first, other sessions are not
# touched, and a block that the parser refuses leaves no trace.
set -eu
action=$1
node=${2-}
exec 9>/run/edge-peer.lock
flock 9

neighbours() {
    sed -n 's/^ neighbor \([^ ]*\) peer-group .*/\1/p' "$1" 2>/dev/null || true
}

if [ -d /etc/bird/nodes.d ]; then
    directory=/etc/bird/nodes.d
    assemble() { :; }
    check() { bird -p -c /etc/bird/bird.conf; }
    running() { birdc show status >/dev/null 2>&1; }
    load() { birdc configure; }
    reload() { birdc configure; }
else
    directory=/etc/frr/nodes.d
    frr_reload=/usr/lib/frr/frr-reload.py
    assemble() {
        cat /etc/frr/base.conf /etc/frr/nodes.d/*.conf >/etc/frr/frr.conf.new
        chown frr:frr /etc/frr/frr.conf.new
        chmod 640 /etc/frr/frr.conf.new
    }
    check() { vtysh --dryrun --inputfile /etc/frr/frr.conf.new; }
    running() { vtysh -c 'show version' >/dev/null 2>&1; }
    # zebra 8.4 reads links and addresses in two threads: an address that it hears of
    # before its new link is lost. To replace addresses by themselves tells it again.
    tell_addresses() {
        ip -oneline address show scope global | while read -r _ device _ address _; do
            ip address replace "$address" dev "$device"
        done
    }
    # $1: the old block, $2: the new one. Neighbours that only the old one has go first.
    load() {
        router=$(grep -m 1 '^router bgp ' /etc/frr/base.conf)
        neighbours "$1" | while read -r address; do
            neighbours "$2" | grep -qxF "$address" ||
                vtysh -c 'configure terminal' -c "$router" -c "no neighbor $address"
        done
        tell_addresses
        if [ -s "$2" ]; then vtysh --inputfile "$2"; fi
        mv /etc/frr/frr.conf.new /etc/frr/frr.conf
    }
    # frr-reload gives every command twice, and some are refused the second time: what
    # counts is whether a difference is left.
    reload() {
        if ! said=$($frr_reload --reload /etc/frr/frr.conf.new 2>&1); then
            left=$($frr_reload --test /etc/frr/frr.conf.new |
                sed -e '1,/^Lines To/d' -e '/^Lines To/d' -e '/^=*$/d' -e '/^no hostname/d')
            if [ -n "$left" ]; then
                echo "edge-peer: FRR does not take $left: $said" >&2
                exit 1
            fi
        fi
        mv /etc/frr/frr.conf.new /etc/frr/frr.conf
    }
fi

case $action in
    assemble)
        assemble
        [ ! -e /etc/frr/frr.conf.new ] || mv /etc/frr/frr.conf.new /etc/frr/frr.conf
        exit 0 ;;
    reload)
        assemble
        check >/dev/null
        if running; then reload; fi
        exit 0 ;;
    set | remove) ;;
    *)
        echo "edge-peer: unknown action $action" >&2
        exit 2 ;;
esac

file=$directory/$node.conf
old=$(mktemp)
trap 'rm -f "$old"' EXIT
[ ! -e "$file" ] || cp "$file" "$old"
if [ "$action" = set ]; then cat >"$file"; else rm -f "$file"; fi
assemble
if ! problem=$(check 2>&1); then
    if [ -s "$old" ]; then cp "$old" "$file"; else rm -f "$file"; fi
    echo "edge-peer: the daemon refuses the block of $node: $problem" >&2
    exit 1
fi
# A daemon that does not run reads the file when it starts.
if running; then load "$old" "$file"; fi
