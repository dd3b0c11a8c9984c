#!/bin/sh
# Turns the fresh root $1 into the lab's image: no daemon starts by itself, nothing that a container has
# no use for runs at boot, and nothing in it is a secret or a host's identity (those come per host).
set -eu
root=$1

run() { chroot "$root" "$@"; }

# Bootstrap and the lab enable what a host needs.
run systemctl disable --quiet bird frr nftables postgresql ssh.socket
run systemctl enable --quiet ssh

# inotify instances are scarce (128 for all of root's processes on the machine, and a lab must not change
# that): without D-Bus and the password agents' path units a host needs three instead of six.
run systemctl mask --quiet systemd-ask-password-console.path systemd-ask-password-wall.path

# Masked: work of the machine's own kernel, devices and disks, or of a machine with a console.
run systemctl mask --quiet \
    systemd-networkd systemd-networkd-wait-online systemd-resolved systemd-timesyncd \
    systemd-udevd systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger \
    systemd-logind systemd-user-sessions console-getty getty.target \
    systemd-binfmt proc-sys-fs-binfmt_misc.automount systemd-modules-load systemd-pstore \
    systemd-random-seed systemd-firstboot systemd-update-utmp systemd-update-utmp-runlevel \
    systemd-hwdb-update systemd-journal-catalog-update systemd-update-done ldconfig \
    systemd-remount-fs dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-kernel-config.mount sys-fs-fuse-connections.mount e2scrub_reap remote-fs.target \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-tmpfiles-clean.timer
run systemctl set-default --quiet multi-user.target

mkdir -p "$root/etc/systemd/journald.conf.d" "$root/etc/ssh/sshd_config.d" "$root/etc/systemd/system.conf.d"
cat >"$root/etc/systemd/journald.conf.d/lab.conf" <<'END'
[Journal]
Storage=persistent
SystemMaxUse=32M
RuntimeMaxUse=8M
ForwardToSyslog=no
ReadKMsg=no
Audit=no
END
cat >"$root/etc/systemd/system.conf.d/lab.conf" <<'END'
[Manager]
DefaultTimeoutStartSec=60s
DefaultTimeoutStopSec=10s
END
cat >"$root/etc/ssh/sshd_config.d/lab.conf" <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxSessions 64
MaxStartups 64:30:128
END

# FRR: zebra, bgpd and bfdd; its own log goes to the journal.
sed -i 's/^bgpd=.*/bgpd=yes/; s/^bfdd=.*/bfdd=yes/' "$root/etc/frr/daemons"
# Postgres: the cluster of the package is the host's; it is started by enabling postgresql.service.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
: >"$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
: >"$root/etc/fstab"

# Compiled once here instead of at the first start on every host.
run python3 -m compileall -q /usr/lib/python3.11 /usr/lib/python3/dist-packages || true
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt \
    "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/var/log/journal
mkdir -p "$root/var/log/journal" "$root/var/lib/apt/lists/partial"
find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
