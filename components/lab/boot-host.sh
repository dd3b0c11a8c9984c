#!/bin/sh
# Boots a lab host and stays as its keeper: when systemd-nspawn ends, whatever ended it,
# nothing of the container is left, and its cables lose their carrier, as when a machine's
# power is cut. Settings come by environment:
#   GROUP    control group directory    IMAGE    lower layer of the disk
#   DISK     the host's directory       MACHINE  name of machine and network namespace
set -eu
case ${1-keep} in
    keep)
        mkdir -p "$GROUP/machine"
        echo $$ >"$GROUP/cgroup.procs"
        sh "$0" enter || echo "systemd-nspawn ended with $?"
        ip -netns "$MACHINE" -brief link show type veth | while read -r device _; do
            [ "${device%@*}" = mgmt0 ] || ip -netns "$MACHINE" link set dev "${device%@*}" down
        done
        echo 1 >"$GROUP/cgroup.kill"
        ;;
    enter)
        # A group of its own below, as processes and controlled groups must not mix.
        echo $$ >"$GROUP/machine/cgroup.procs"
        # The overlay lives in this mount namespace and goes with its last process.
        exec unshare --mount --propagation slave -- sh "$0" run
        ;;
    run)
        mount -t overlay overlay \
            -o "lowerdir=$IMAGE,upperdir=$DISK/upper,workdir=$DISK/work" "$DISK/root"
        # network: services inside may write the net.* sysctls of their own namespace.
        # LOCK: the lock files would outlive a container that is killed.
        export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network SYSTEMD_NSPAWN_LOCK=0
        export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
        exec systemd-nspawn --quiet --boot --directory="$DISK/root" --machine="$MACHINE" \
            --network-namespace-path="/run/netns/$MACHINE" --register=no --keep-unit --link-journal=no \
            --capability=all --system-call-filter='bpf pidfd_getfd' --resolv-conf=off --timezone=off \
            --console=read-only
        ;;
esac
